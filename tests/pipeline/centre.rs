//! What a centre holds, by SQL.

use std::collections::BTreeMap;

use model::{EventId, Shard};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use playground::Database;
use serde_json::Value;

/// Counts by eventId and minute (unix seconds).
pub(crate) type Counts = BTreeMap<(u64, i64), u64>;

pub(crate) async fn connect(centre: &Database) -> Conn {
    centre.root().connect().await.unwrap()
}

/// Every count of every shard, packed or not, as of one moment. Fails on an id outside its shard's range.
pub(crate) async fn counts(conn: &mut Conn) -> Result<Counts, mysql_async::Error> {
    let selects = Shard::all().map(|shard| {
        let n = shard.number();
        format!(
            "SELECT {n}, eventId, UNIX_TIMESTAMP(createDate), count, NULL FROM {shard}.EventMinute \
             UNION ALL SELECT {n}, eventId, UNIX_TIMESTAMP(day), 0, counts FROM {shard}.EventDay"
        )
    });
    let union = selects.collect::<Vec<_>>().join(" UNION ALL ");
    let rows: Vec<(u8, u64, i64, u64, Option<String>)> = conn.query(union).await?;
    let mut counts = Counts::new();
    for (shard, id, unix_s, count, packed) in rows {
        assert_eq!(
            Shard::of(EventId(id)).number(),
            shard,
            "eventId {id} lies in the wrong shard"
        );
        let mut add = |unix_s, count| *counts.entry((id, unix_s)).or_default() += count;
        match packed {
            None => add(unix_s, count),
            Some(packed) => for_each_minute(&packed, |minute, count| add(unix_s + 60 * minute, count)),
        }
    }
    Ok(counts)
}

/// Reads a packed day as anybody could, from its JSON.
fn for_each_minute(packed: &str, mut each: impl FnMut(i64, u64)) {
    let minutes: Vec<Value> = serde_json::from_str(packed).unwrap();
    let is_array = minutes.first().is_some_and(Value::is_number);
    assert!(!is_array || minutes.len() == 1_440, "{packed}");
    for (at, value) in (0..).zip(&minutes) {
        match value.as_u64() {
            Some(0) => {}
            Some(count) => each(at, count),
            None => each(value[0].as_i64().unwrap(), value[1].as_u64().unwrap()),
        }
    }
}

/// Minutes that are not packed, and packed days.
pub(crate) async fn rows(conn: &mut Conn) -> (u64, u64) {
    let sum = |table| {
        let counts = Shard::all().map(|shard| format!("(SELECT COUNT(*) FROM {shard}.{table})"));
        counts.collect::<Vec<_>>().join(" + ")
    };
    let sql = format!("SELECT {}, {}", sum("EventMinute"), sum("EventDay"));
    conn.query_first(sql).await.unwrap().unwrap()
}

/// The conservation ledger's sum over all regions and minutes.
pub(crate) async fn region_total(conn: &mut Conn) -> u128 {
    let sum: Option<String> = conn
        .query_first("SELECT CAST(COALESCE(SUM(count), 0) AS CHAR) FROM bigdata_0.RegionMinute")
        .await
        .unwrap();
    sum.unwrap().parse().unwrap()
}
