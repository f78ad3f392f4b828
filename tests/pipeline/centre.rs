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
             UNION ALL SELECT {n}, eventId, UNIX_TIMESTAMP(day), 0, counts FROM {shard}.EventDay \
             UNION ALL SELECT {n}, NULL, UNIX_TIMESTAMP(day), 0, counts FROM {shard}.EventBlock"
        )
    });
    let union = selects.collect::<Vec<_>>().join(" UNION ALL ");
    type Row = (u8, Option<u64>, i64, u64, Option<String>);
    let rows: Vec<Row> = conn.query(union).await?;
    let mut counts = Counts::new();
    for (shard, id, unix_s, count, packed) in rows {
        let mut add = |id, unix_s, count| {
            let of = Shard::of(EventId(id)).number();
            assert_eq!(of, shard, "eventId {id} lies in the wrong shard");
            *counts.entry((id, unix_s)).or_default() += count;
        };
        match (id, packed) {
            (None, block) => {
                for_each_in_block(&block.unwrap(), |id, minute, count| {
                    add(id, unix_s + 60 * minute, count);
                });
            }
            (Some(id), None) => add(id, unix_s, count),
            (Some(id), Some(packed)) => {
                for_each_minute(&packed, |minute, count| add(id, unix_s + 60 * minute, count));
            }
        }
    }
    Ok(counts)
}

/// Reads a block as anybody could, from its JSON.
fn for_each_in_block(block: &str, mut each: impl FnMut(u64, i64, u64)) {
    let runs: Vec<(u64, i64, Vec<u64>)> = serde_json::from_str(block).unwrap();
    for (id, first, counts) in runs {
        for (minute, count) in (first..).zip(counts) {
            if count > 0 {
                each(id, minute, count);
            }
        }
    }
}

/// Reads a packed day as anybody could, from its JSON.
fn for_each_minute(packed: &str, mut each: impl FnMut(i64, u64)) {
    if !packed.starts_with('[') {
        return for_each_digit(packed, each);
    }
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

/// Of the least count, and of a string for each digit that is added to it.
fn for_each_digit(packed: &str, mut each: impl FnMut(i64, u64)) {
    let parts: Vec<Value> = serde_json::from_str(&format!("[{packed}]")).unwrap();
    let mut counts = vec![parts[0].as_u64().unwrap(); 1_440];
    for (position, digits) in (0..).zip(&parts[1..]) {
        let digits = digits.as_str().unwrap().as_bytes();
        assert_eq!(digits.len(), 1_440, "{packed}");
        for (count, digit) in counts.iter_mut().zip(digits) {
            *count += u64::from(digit - b'#') * 92u64.pow(position);
        }
    }
    for (at, count) in (0..).zip(counts) {
        if count > 0 {
            each(at, count);
        }
    }
}

/// Minutes that are not packed, be they in blocks or rows, and packed days.
pub(crate) async fn rows(conn: &mut Conn) -> (u64, u64) {
    let sum = |table| {
        let counts = Shard::all().map(|shard| format!("(SELECT COUNT(*) FROM {shard}.{table})"));
        counts.collect::<Vec<_>>().join(" + ")
    };
    let tables = ["EventMinute", "EventBlock", "EventDay"].map(sum);
    let sql = format!("SELECT {} + {}, {}", tables[0], tables[1], tables[2]);
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
