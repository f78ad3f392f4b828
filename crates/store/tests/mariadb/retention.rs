//! Partitions come where they are asked for, and what is dropped is said.

use model::{Day, EventId, Glob, Shard};
use mysql_async::prelude::Queryable;
use store::{Central, Dropped, Found, Grain, Side};

use crate::servers::{Servers, first};

fn day(month: i32) -> Day {
    Day::first_of_month(2026 * 12 + month - 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_goes_as_a_whole_and_is_noted() {
    let mut servers = Servers::start().await;
    let root = servers.description().central.root();
    let id = EventId::of("a");
    let shard = Shard::of(id);
    let mut conn = root.connect().await.unwrap();
    conn.query_drop(format!("INSERT INTO bigdata_0.EventTags VALUES ({id}, 'a', 1)"))
        .await
        .unwrap();
    let months = [3, 4, 5].map(|month| format!("('{}', {id}, {month}, '[[0,{month}]]')", day(month)));
    conn.query_drop(format!(
        "INSERT INTO {shard}.EventDay VALUES {}",
        months.join(",")
    ))
    .await
    .unwrap();

    let central = Central::new(&root).unwrap();
    let patterns = [Glob::new("a").unwrap()];
    let minute = |day: Day| model::Minute::from_unix_s(day.unix_s()).unwrap();
    let range = (minute(day(3)), minute(day(6)));
    let mut keeper = servers.centre_keeper();
    assert_eq!(keeper.partitions(shard).await.unwrap(), []);
    let (mut copied_under, found) = central.snapshot(&patterns, 10).await.unwrap();
    assert!(matches!(found, Found::Names(names) if names.len() == 1));
    keeper
        .cut_partitions(shard, &[day(4), day(5)], true)
        .await
        .unwrap();
    let read = copied_under
        .counts(&[id], range, Grain::Minute, |_, _, _| {})
        .await;
    assert!(read.unwrap_err().is_table_changed());
    drop(copied_under);
    keeper.cut_partitions(shard, &[day(6)], false).await.unwrap();
    let partitions = keeper.partitions(shard).await.unwrap();
    let ends: Vec<Option<Day>> = partitions.iter().map(|partition| partition.before).collect();
    assert_eq!(ends, [Some(day(4)), Some(day(5)), Some(day(6)), None]);
    assert!(store::check(&root, Side::Central).await.unwrap().is_empty());

    // What is dropped under a snapshot is missing in it, and it says so.
    let (mut snapshot, _) = central.snapshot(&patterns, 10).await.unwrap();
    let dropped = keeper
        .drop_partition(shard, &partitions[0].name, day(4))
        .await
        .unwrap();
    let expected = Dropped {
        before: day(4),
        first: Some("2026-03-01".to_owned()),
        rows: 1,
        total: "3".to_owned(),
    };
    assert_eq!(dropped, expected);
    let mut sum = 0;
    snapshot
        .counts(&[id], range, Grain::Day, |_, _, count| sum += count)
        .await
        .unwrap();
    assert_eq!(sum, 4 + 5);
    assert_eq!(snapshot.finish().await.unwrap().kept_since, Some(day(4)));

    // An empty one is no loss.
    keeper.cut_partitions(shard, &[day(7)], false).await.unwrap();
    conn.query_drop(format!("DELETE FROM {shard}.EventDay"))
        .await
        .unwrap();
    let dropped = keeper
        .drop_partition(shard, &partitions[1].name, day(5))
        .await
        .unwrap();
    assert_eq!((dropped.rows, dropped.first), (0, None));
    let notes = "SELECT COUNT(*) FROM eventtracker.DroppedDays";
    assert_eq!(first(&root, notes).await, Some(1));
    servers.playground.stop().await;
}
