//! Packing gives way: a row that another transaction has is left, at once and unchanged.

use std::time::Instant;

use model::{Day, DayCounts, EventId, Shard};
use mysql_async::prelude::Queryable;
use store::setup::Site;
use store::upkeep::{OpenName, Packed, PackedAnew, Packer};

use crate::servers::{LIMIT, MINUTE_S, Servers, apply, first};

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_another_transaction_has_is_left() {
    let mut servers = Servers::start().await;
    let root = servers.description().central.root();
    let day = Day::containing(MINUTE_S);
    let id = EventId::of("a");
    let shard = Shard::of(id);
    let minutes = format!("{shard}.EventMinute");
    let mut conn = root.connect().await.unwrap();
    // The day's first and last minute, and one of either neighbour.
    let rows = [(-60, 5), (0, 7), (86_340, 7), (86_400, 5)]
        .map(|(offset, count)| format!("({id}, FROM_UNIXTIME({}), {count})", day.unix_s() + offset));
    conn.query_drop(format!("INSERT INTO {minutes} VALUES {}", rows.join(",")))
        .await
        .unwrap();

    let mut packer = Packer::new(root.clone());
    let before = day.earlier(1);
    let open = |day| vec![OpenName { day, id }];
    for (from, until, expected) in [
        (before, day.next().next(), open(day.next())),
        (before, day.next(), open(day)),
        (before, day, open(before)),
        (day.next().next(), day.next().next().next(), Vec::new()),
        (before, before, Vec::new()),
    ] {
        let days = from..until;
        assert_eq!(packer.open_names(shard, &days, None).await.unwrap(), expected);
        assert_eq!(
            packer.open_among(shard, &days, &[EventId(1), id]).await.unwrap(),
            expected
        );
        assert_eq!(packer.open_names(shard, &days, Some(id)).await.unwrap(), []);
    }

    // As replication adds to a minute, and as another keeper writes the day.
    for held in [
        format!(
            "UPDATE {minutes} SET count = count + 1 WHERE createDate = FROM_UNIXTIME({})",
            day.unix_s()
        ),
        format!("INSERT INTO {shard}.EventDay VALUES ('{day}', {id}, 1, '[[3,1]]')"),
    ] {
        conn.query_drop("START TRANSACTION").await.unwrap();
        conn.query_drop(held).await.unwrap();
        let begun = Instant::now();
        assert_eq!(packer.pack(shard, day, &[id]).await.unwrap(), Packed::Held);
        assert!(begun.elapsed() < LIMIT, "it waited");
        conn.query_drop("ROLLBACK").await.unwrap();
        let open = first(&root, &format!("SELECT COUNT(*) FROM {minutes}")).await;
        assert_eq!(open, Some(4), "nothing has changed");
    }

    let moved = packer.pack(shard, day, &[id, EventId(id.0 + 1)]).await.unwrap();
    let expected = Packed::Moved {
        minutes: 2,
        days: 1,
        merged: 0,
    };
    assert_eq!(moved, expected);
    let neighbours = format!("SELECT SUM(count) FROM {minutes}");
    assert_eq!(first(&root, &neighbours).await, Some(10));
    let packed: Vec<(String, u64, u64, String)> = conn
        .query(format!(
            "SELECT CAST(day AS CHAR), eventId, total, counts FROM {shard}.EventDay"
        ))
        .await
        .unwrap();
    assert_eq!(
        packed,
        [(day.to_string(), id.0, 14, "[[0,7],[1439,7]]".to_owned())]
    );
    servers.playground.stop().await;
}

/// The days of an earlier version come into the present form while another keeper adds to one of them, and nothing else changes.
#[tokio::test(flavor = "multi_thread")]
async fn days_of_an_earlier_version_are_packed_anew() {
    const NAMES: u64 = 100;
    let mut servers = Servers::start().await;
    let root = servers.description().central.root();
    let shard = Shard::of(EventId(1));
    let days = [Day::containing(MINUTE_S), Day::containing(MINUTE_S).next()];
    let mut conn = root.connect().await.unwrap();
    conn.query_drop("DELETE FROM eventtracker.PackedAnew")
        .await
        .unwrap();
    apply(&root, Site::Central).await.unwrap();
    let numbers = |id: u64| {
        let counts: Vec<String> = (0..1_440).map(|minute| (minute * id % 101).to_string()).collect();
        format!("[{}]", counts.join(","))
    };
    let text = |id: u64| match id % 10 {
        0 => "[[7,3]]".to_owned(),
        5 => "[1,2]".to_owned(),
        _ => numbers(id),
    };
    for day in days {
        let row = |id: u64| format!("('{day}',{id},{id},'{}')", text(id));
        let rows: Vec<String> = (1..=NAMES).map(row).collect();
        conn.query_drop(format!("INSERT INTO {shard}.EventDay VALUES {}", rows.join(",")))
            .await
            .unwrap();
    }
    let mut packer = Packer::new(root.clone());
    let mut other = root.connect().await.unwrap();
    other.query_drop("START TRANSACTION").await.unwrap();
    let lock = format!(
        "SELECT * FROM {shard}.EventDay WHERE day = '{}' AND eventId = 7 FOR UPDATE",
        days[0]
    );
    other.query_drop(lock).await.unwrap();
    assert_eq!(packer.pack_anew(shard).await.unwrap(), PackedAnew::Held);
    other.query_drop("ROLLBACK").await.unwrap();

    let mut packed = 0;
    while let PackedAnew::Days(days) = packer.pack_anew(shard).await.unwrap() {
        packed += days;
    }
    assert_eq!(packed, 2 * NAMES * 8 / 10);
    let rows: Vec<(u64, u64, String)> = conn
        .query(format!(
            "SELECT eventId, total, counts FROM {shard}.EventDay ORDER BY day, eventId"
        ))
        .await
        .unwrap();
    assert_eq!(rows.len() as u64, 2 * NAMES);
    for (id, total, now) in rows {
        assert_eq!(total, id, "the total, which an audit compares");
        match id % 10 {
            0 | 5 => assert_eq!(now, text(id)),
            _ => {
                let counts = |text: &str| {
                    let mut counts = DayCounts::default();
                    counts.add_packed(text.as_bytes()).unwrap();
                    counts
                };
                assert_eq!(counts(&now), counts(&numbers(id)));
                assert!(now.starts_with("0,\""), "{now}");
            }
        }
    }
    assert_eq!(packer.pack_anew(shard).await.unwrap(), PackedAnew::All);
    servers.playground.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_centre_of_another_version_is_refused() {
    let mut servers = Servers::start().await;
    let root = servers.description().central.root();
    let (shard, day) = (Shard::of(EventId(1)), Day::containing(MINUTE_S));
    let mut conn = root.connect().await.unwrap();
    conn.query_drop("UPDATE eventtracker.PackedAnew SET form = 3 WHERE shard = 0")
        .await
        .unwrap();
    let sentence = |error: store::Error| error.to_string();
    let refusals = [
        sentence(store::setup::check(&root, Site::Central).await.unwrap_err()),
        sentence(apply(&root, Site::Central).await.unwrap_err()),
        sentence(Packer::new(root.clone()).pack_anew(shard).await.unwrap_err()),
        sentence(
            Packer::new(root.clone())
                .pack(shard, day, &[EventId(1)])
                .await
                .unwrap_err(),
        ),
    ];
    for refusal in refusals {
        assert!(
            refusal.ends_with("are in form 3, and this version writes form 2: take the version that wrote them, or a later one"),
            "{refusal}"
        );
    }
    // Before the schema has come, nothing is packed that its views could not read.
    conn.query_drop("DROP TABLE eventtracker.PackedAnew")
        .await
        .unwrap();
    let refused = Packer::new(root.clone()).pack(shard, day, &[EventId(1)]).await;
    assert!(
        refused
            .unwrap_err()
            .with_causes()
            .contains("eventtracker.PackedAnew")
    );
    apply(&root, Site::Central).await.unwrap();
    assert!(Packer::new(root).pack(shard, day, &[EventId(1)]).await.is_ok());
    servers.playground.stop().await;
}
