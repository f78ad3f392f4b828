//! A further server of a centre that counts already: it begins without shards, with what every server has, as of a position of another one.
//!
//! It cannot read the regions' binlogs from their beginning, which the keeper has purged.

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::centre::Centre;
use super::shard_copy::ShardSnapshot;
use super::shards::TABLES;
use crate::gtid::Gtid;
use crate::{Error, Server};

/// Rows that are written at once, of some 100 bytes.
const ROWS_PER_PIECE: usize = 2_000;

/// Longest wait for one table: of ten million names, some minutes.
const TABLE_LIMIT: Duration = Duration::from_secs(1_800);

/// Longest wait for a statement that takes a moment.
const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// The database of what every server has, beside shard 0.
const DATABASE: &str = "bigdata_0";

impl Centre {
    /// Takes over what every server of a centre has, and the position, from a snapshot of another one. Nothing of any region may be replicated
    /// yet, and what an earlier try has left is thrown away. `progress` hears of each table, and its rows.
    ///
    /// # Errors
    /// `HasShards` where this server has shards of its own; a server refused or did not answer, and a repetition begins anew.
    pub async fn join(
        &mut self,
        snapshot: &mut ShardSnapshot,
        mut progress: impl FnMut(&str, u64),
    ) -> Result<(), Error> {
        let held = self.held().await?;
        if !held.applied.is_empty() {
            return Err(Error::HasShards {
                server: self.server().to_string(),
                shards: held.applied,
            });
        }
        for state in self.upkeep().sources().await? {
            self.end_replication(&state.source.region).await?;
        }
        let receiver = self.server().clone();
        for table in tables(snapshot).await? {
            let rows = copy(snapshot, &receiver, &table).await?;
            progress(&table, rows);
        }
        let position: Vec<String> = snapshot.position().values().map(Gtid::to_string).collect();
        let set = format!("SET GLOBAL gtid_slave_pos = '{}'", position.join(","));
        self.link()
            .call("set the position", STATEMENT_LIMIT, async |conn| {
                conn.query_drop(set).await
            })
            .await
    }
}

/// The tables that every server has.
async fn tables(snapshot: &mut ShardSnapshot) -> Result<Vec<String>, Error> {
    let of_shard = TABLES.map(|table| format!("'{table}'")).join(",");
    let sql = format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{DATABASE}' \
         AND TABLE_TYPE = 'BASE TABLE' AND TABLE_NAME NOT IN ({of_shard}) ORDER BY TABLE_NAME"
    );
    snapshot
        .link()
        .brief("list what every server has", async |conn| conn.query(sql).await)
        .await
}

/// Copies one table, row by row, as text that can stand in statements. Returns how many rows it has.
async fn copy(snapshot: &mut ShardSnapshot, receiver: &Server, table: &str) -> Result<u64, Error> {
    let columns = format!(
        "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{DATABASE}' AND TABLE_NAME = '{table}' \
         ORDER BY ORDINAL_POSITION"
    );
    let columns: Vec<String> = snapshot
        .link()
        .brief("list a table's columns", async |conn| conn.query(columns).await)
        .await?;
    let texts: Vec<String> = columns.iter().map(|column| format!("QUOTE({column})")).collect();
    let question = format!(
        "SELECT CONCAT_WS(',', {}) FROM {DATABASE}.{table}",
        texts.join(", ")
    );
    let insert = format!("INSERT INTO {DATABASE}.{table} ({}) VALUES ", columns.join(", "));
    let mut to = receiver.connect().await?;
    snapshot
        .link()
        .call("copy a table", TABLE_LIMIT, async |from: &mut Conn| {
            to.query_drop(format!("TRUNCATE TABLE {DATABASE}.{table}"))
                .await?;
            let mut rows = from.query_iter(question).await?;
            let (mut piece, mut count) = (Vec::new(), 0);
            while let Some(row) = rows.next().await? {
                let values: String = mysql_async::from_row(row);
                piece.push(format!("({values})"));
                count += 1;
                if piece.len() == ROWS_PER_PIECE {
                    to.query_drop(insert.clone() + &piece.join(",")).await?;
                    piece.clear();
                }
            }
            if !piece.is_empty() {
                to.query_drop(insert + &piece.join(",")).await?;
            }
            Ok(count)
        })
        .await
}
