//! Partitions come where they are asked for, and what is dropped is said.

use std::time::{Duration, Instant};

use model::{Day, EventId, Glob, Minute, Shard};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use store::central::{Central, Grain, Matched, Wanted};
use store::setup::Site;
use store::upkeep::{self, Dropped, Partition};
use store::{Error, Members};

use crate::servers::{LIMIT, Servers, first};

/// The first of a month of 2026.
fn day(month: i32) -> Day {
    Day::first_of_month(2026 * 12 + month - 1)
}

/// A name with a packed day in each of March, April and May.
struct Filled {
    servers: Servers,
    conn: Conn,
    keeper: upkeep::Centre,
    id: EventId,
    shard: Shard,
}

impl Filled {
    async fn start() -> Self {
        let servers = Servers::start().await;
        let id = EventId::of("a");
        let shard = Shard::of(id);
        let mut conn = servers.description().central.root().connect().await.unwrap();
        let months = [3, 4, 5].map(|month| format!("('{}', {id}, {month}, '[[0,{month}]]')", day(month)));
        conn.query_drop(format!(
            "INSERT INTO bigdata_0.EventTags VALUES ({id}, 'a', 1); INSERT INTO {shard}.EventDay VALUES {}",
            months.join(",")
        ))
        .await
        .unwrap();
        Self {
            keeper: servers.centre_keeper(),
            servers,
            conn,
            id,
            shard,
        }
    }

    /// By the month, and one of the summer.
    async fn cut(&mut self) -> Vec<Partition> {
        let shard = self.shard;
        assert_eq!(self.keeper.partitions(shard).await.unwrap(), []);
        self.keeper
            .cut_partitions(shard, &[day(4), day(5)], true)
            .await
            .unwrap();
        cut(&mut self.keeper, shard, day(6)).await;
        let partitions = self.keeper.partitions(shard).await.unwrap();
        let ends: Vec<Option<Day>> = partitions.iter().map(|partition| partition.before).collect();
        assert_eq!(ends, [Some(day(4)), Some(day(5)), Some(day(6)), None]);
        partitions
    }
}

fn minutes() -> (Minute, Minute) {
    let minute = |day: Day| Minute::from_unix_s(day.unix_s()).unwrap();
    (minute(day(3)), minute(day(6)))
}

/// Cuts off what comes before a day. The server's own statistics may have the table open: then it is left for later.
async fn cut(keeper: &mut upkeep::Centre, shard: Shard, before: Day) {
    let begun = Instant::now();
    while let Err(error) = keeper.cut_partitions(shard, &[before], false).await {
        let is_in_use = error.with_causes().contains("Lock wait timeout exceeded");
        assert!(is_in_use && begun.elapsed() < LIMIT, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_under_which_partitions_change_says_so() {
    let mut filled = Filled::start().await;
    let root = filled.servers.description().central.root();
    let central = Central::new(&Members::alone(root.clone())).unwrap();
    let patterns = [Glob::new("a").unwrap()];
    let (copied_under, found) = central.snapshot(&patterns, 10, None).await.unwrap();
    assert!(matches!(found, Matched::Names(names) if names.len() == 1));
    let partitions = filled.cut().await;
    let ids = [filled.id];
    let wanted = |grain| Wanted {
        ids: &ids,
        minutes: minutes(),
        grain,
    };
    let read = copied_under.read(&[wanted(Grain::Minute)], |_, _, _| {}).await;
    assert!(read.unwrap_err().is_changed());
    assert!(
        store::setup::check(&root, Site::Central)
            .await
            .unwrap()
            .is_empty()
    );

    // What is dropped under a snapshot is missing in it.
    let (snapshot, _) = central.snapshot(&patterns, 10, None).await.unwrap();
    let dropped = filled
        .keeper
        .drop_partition(filled.shard, &partitions[0].name, day(4));
    assert_eq!(dropped.await.unwrap().rows, 1);
    let mut sum = 0;
    let extent = snapshot
        .read(&[wanted(Grain::Day)], |_, _, counted| {
            counted.each(|_, count| sum += count);
        })
        .await;
    assert_eq!(sum, 4 + 5);
    assert_eq!(extent.unwrap().extent.kept_since, Some(day(4)));
    filled.servers.playground.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_is_noted_and_refused_to_analysts() {
    let mut filled = Filled::start().await;
    let partitions = filled.cut().await;
    let (shard, conn) = (filled.shard, &mut filled.conn);
    let dropped = filled.keeper.drop_partition(shard, &partitions[0].name, day(4));
    let expected = Dropped {
        before: day(4),
        first: Some("2026-03-01".to_owned()),
        rows: 1,
        total: "3".to_owned(),
    };
    assert_eq!(dropped.await.unwrap(), expected);
    for (procedure, step) in [("total", ""), ("series", ", '1mo'")] {
        let call = |from: &str| format!("CALL eventtracker.{procedure}('a', '{from}', '2026-06-01'{step})");
        let refused = conn.query_drop(call("2026-03-31")).await.unwrap_err().to_string();
        assert!(
            refused.contains("counts before 2026-04-01 are not kept"),
            "{refused}"
        );
        conn.query_drop(call("2026-04-01")).await.unwrap();
    }

    // An empty one is no loss.
    conn.query_drop(format!("DELETE FROM {shard}.EventDay"))
        .await
        .unwrap();
    let dropped = filled
        .keeper
        .drop_partition(shard, &partitions[1].name, day(5))
        .await
        .unwrap();
    assert_eq!((dropped.rows, dropped.first), (0, None));
    let root = filled.servers.description().central.root();
    let notes = "SELECT COUNT(*) FROM eventtracker.DroppedDays";
    assert_eq!(first(&root, notes).await, Some(1));

    // A reader is not waited for.
    conn.query_drop(format!("START TRANSACTION; SELECT * FROM {shard}.EventDay"))
        .await
        .unwrap();
    let refused = filled
        .keeper
        .drop_partition(shard, &partitions[2].name, day(6))
        .await
        .unwrap_err();
    assert!(
        refused.with_causes().contains("Lock wait timeout"),
        "{}",
        refused.with_causes()
    );
    conn.query_drop("ROLLBACK").await.unwrap();
    // The refused one's lock is free once the server has noticed that its connection is closed.
    let begun = Instant::now();
    let dropped = loop {
        let dropped = filled
            .keeper
            .drop_partition(shard, &partitions[2].name, day(6))
            .await;
        if !matches!(dropped, Err(Error::Partitioning { .. })) || begun.elapsed() > LIMIT {
            break dropped;
        }
    };
    dropped.unwrap();
    filled.servers.playground.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_changed_by_one_keeper_at_a_time() {
    let mut filled = Filled::start().await;
    filled.cut().await;
    let lock = "SELECT GET_LOCK('eventtracker.partitions', 0)";
    assert_eq!(filled.conn.query_first(lock).await.unwrap(), Some(1));
    let bounds = [day(7)];
    let refused = filled.keeper.cut_partitions(filled.shard, &bounds, false).await;
    assert!(matches!(refused, Err(Error::Partitioning { .. })));
    filled
        .conn
        .query_drop("DO RELEASE_LOCK('eventtracker.partitions')")
        .await
        .unwrap();
    for month in [7, 8] {
        cut(&mut filled.keeper, filled.shard, day(month)).await;
        let free = "SELECT IS_FREE_LOCK('eventtracker.partitions')";
        assert_eq!(filled.conn.query_first(free).await.unwrap(), Some(1));
    }
    filled.servers.playground.stop().await;
}
