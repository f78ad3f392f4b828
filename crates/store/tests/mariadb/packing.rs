//! Packing gives way: a row that another transaction has is left, at once and unchanged.

use std::time::Instant;

use model::{Day, EventId, Shard};
use mysql_async::prelude::Queryable;
use store::upkeep::{OpenName, Packed, Packer};

use crate::servers::{LIMIT, MINUTE_S, Servers, first};

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
