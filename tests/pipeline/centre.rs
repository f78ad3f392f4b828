//! What a centre holds, by SQL.

use std::collections::BTreeMap;

use model::{EventId, Shard};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use playground::Database;

/// Counts by eventId and minute (unix seconds).
pub(crate) type Counts = BTreeMap<(u64, i64), u64>;

pub(crate) async fn connect(centre: &Database) -> Conn {
    centre.root().connect().await.unwrap()
}

/// Every count of every shard. Fails on an id outside its shard's range.
pub(crate) async fn counts(conn: &mut Conn) -> Result<Counts, mysql_async::Error> {
    let selects = Shard::all().map(|shard| {
        let n = shard.number();
        format!("SELECT {n}, eventId, UNIX_TIMESTAMP(createDate), count FROM {shard}.EventMinute")
    });
    let union = selects.collect::<Vec<_>>().join(" UNION ALL ");
    let rows: Vec<(u8, u64, i64, u64)> = conn.query(union).await?;
    Ok(rows
        .into_iter()
        .map(|(shard, id, minute, count)| {
            assert_eq!(
                Shard::of(EventId(id)).number(),
                shard,
                "eventId {id} lies in the wrong shard"
            );
            ((id, minute), count)
        })
        .collect())
}

/// The conservation ledger's sum over all regions and minutes.
pub(crate) async fn region_total(conn: &mut Conn) -> u128 {
    let sum: Option<String> = conn
        .query_first("SELECT CAST(COALESCE(SUM(count), 0) AS CHAR) FROM bigdata_0.RegionMinute")
        .await
        .unwrap();
    sum.unwrap().parse().unwrap()
}
