//! What the centre has stored, read as an analyst would: with SQL.

use std::collections::HashSet;
use std::time::Instant;

use anyhow::{Context, Result};
use model::{EventId, Minute, Shard, for_each_in_block};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::events::{Name, Row};
use crate::pipeline::Pipeline;

#[derive(Debug)]
pub(crate) struct Centre {
    conn: Conn,
    /// One per shard.
    queries: Vec<String>,
    /// Of which rows are read; of all if there are none.
    ids: HashSet<EventId>,
}

#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Everything in `rows` was there at this time.
    pub(crate) taken: Instant,
    pub(crate) rows: Vec<Row>,
}

impl Centre {
    /// Reads the rows of `names`; on a pipeline of our own every row, as nothing else may be there.
    pub(crate) async fn connect(pipeline: &Pipeline, names: &[Name]) -> Result<Self> {
        Self::reading(pipeline, (!pipeline.is_fresh()).then_some(names)).await
    }

    /// Reads the rows of `names`, whatever else is there.
    pub(crate) async fn of_names(pipeline: &Pipeline, names: &[Name]) -> Result<Self> {
        Self::reading(pipeline, Some(names)).await
    }

    async fn reading(pipeline: &Pipeline, names: Option<&[Name]>) -> Result<Self> {
        let query = |shard: Shard| {
            let mut query =
                format!("SELECT eventId, UNIX_TIMESTAMP(createDate), count FROM {shard}.EventMinute");
            if let Some(names) = names {
                let ids = names
                    .iter()
                    .map(|name| name.id)
                    .filter(|&id| Shard::of(id) == shard);
                // No event has the id 0 by chance, and an empty list is no SQL.
                let ids: Vec<String> = ids.chain([EventId(0)]).map(|id| id.to_string()).collect();
                query += &format!(" WHERE eventId IN ({})", ids.join(","));
            }
            query
        };
        Ok(Self {
            conn: pipeline.description.central.root().connect().await?,
            queries: Shard::all().map(query).collect(),
            ids: names.into_iter().flatten().map(|name| name.id).collect(),
        })
    }

    pub(crate) async fn read(&mut self) -> Result<Snapshot> {
        self.conn
            .query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            .await?;
        let taken = Instant::now();
        let mut rows = Vec::new();
        for query in &self.queries {
            let stored: Vec<(u64, i64, u64)> = self.conn.query(query).await?;
            for (id, unix_s, count) in stored {
                rows.push((EventId(id), Minute::from_unix_s(unix_s)?, count));
            }
        }
        for shard in Shard::all() {
            let query = format!("SELECT UNIX_TIMESTAMP(day), counts FROM {shard}.EventBlock");
            let blocks: Vec<(i64, Vec<u8>)> = self.conn.query(query).await?;
            for (day, counts) in blocks {
                for_each_in_block(&counts, |id, minute, count| {
                    let minute = Minute::from_unix_s(day + 60 * i64::from(minute));
                    if self.ids.is_empty() || self.ids.contains(&id) {
                        rows.extend(minute.ok().map(|minute| (id, minute, count)));
                    }
                })?;
            }
        }
        self.conn.query_drop("COMMIT").await?;
        Ok(Snapshot { taken, rows })
    }

    /// Rows that the server has written since it started, an update counting as one. Nearly all of it is replication's:
    /// counts, and for each transaction a few rows of bookkeeping.
    pub(crate) async fn rows_written(&mut self) -> Result<u64> {
        let status: Option<(String, u64)> = self
            .conn
            .query_first("SHOW GLOBAL STATUS LIKE 'Handler_write'")
            .await?;
        Ok(status.context("the centre does not count its writes")?.1)
    }
}
