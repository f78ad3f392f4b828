//! The shards that a server of a centre has: taken in and given up while regions count on.

#![expect(clippy::disallowed_methods, reason = "a server has so long to catch up")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::{Shard, Shards};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::centre::Centre;
use crate::account::checked_word;
use crate::gtid::{self, Gtid};
use crate::held::{self, Held};
use crate::regional::REGION_BYTES_MAX;
use crate::source::wild_do_tables;
use crate::{Error, abandoned};

/// Longest wait for a statement that empties a table: it frees its pages.
const EMPTY_LIMIT: Duration = Duration::from_secs(60);

/// Seconds that emptying waits for readers of a table, while replication stands still.
const READERS_WAIT_S: u32 = 20;

/// Longest wait for a statement about replication: stopping a thread waits for the transaction that it is applying.
const REPLICATION_LIMIT: Duration = Duration::from_secs(30);

/// Longest time for which a server's replication is held up until another one has applied what it has: below that for which it waits for a
/// row (`innodb_lock_wait_timeout`).
pub const HAND_OVER_LIMIT: Duration = Duration::from_secs(2);

/// Pause between two looks of those.
const HAND_OVER_POLL: Duration = Duration::from_millis(10);

/// The lock held while a command changes what one of several servers replicates.
const LOCK: &str = "eventtracker.replication";

/// In place of a shard, the row that says that there are notes: a server may have no shard.
const NOTED: u8 = 255;

/// The tables of a shard, in the order in which the keeper moves counts on: emptied in this order, none is left of a transaction of the keeper
/// that had begun before.
pub(super) const TABLES: [&str; 3] = ["EventBlock", "EventMinute", "EventDay"];

impl Centre {
    /// The shards that it has by its own word.
    ///
    /// # Errors
    /// The server refused, as where the tables are of an earlier version, or did not answer.
    pub async fn held(&mut self) -> Result<Held, Error> {
        self.link()
            .brief("read which shards it has", async |conn| held::read(conn).await)
            .await
            .map(Option::unwrap_or_default)
    }

    /// The shards that its replication applies: by its own word, else those of the configuration.
    ///
    /// # Errors
    /// The server refused, as where the tables are of an earlier version, or did not answer.
    pub async fn read_shards(&mut self) -> Result<Shards, Error> {
        let held = self
            .link()
            .brief("read which shards it has", async |conn| held::read(conn).await)
            .await?;
        if let Some(held) = held {
            self.set_shards(held.applied);
        }
        Ok(self.shards())
    }

    /// The shards that its replication applies, by its own word, which goes before the configuration from now on. A server that has no note yet
    /// notes those of the configuration, as whole: it must replicate from each region's beginning, or have done so before there were notes.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn note_shards(&mut self) -> Result<Shards, Error> {
        let configured = self.shards();
        let mut script = vec![format!(
            "INSERT IGNORE INTO eventtracker.OwnShard (shard, isWhole) VALUES ({NOTED}, FALSE)"
        )];
        let row = |shard: Shard| {
            format!(
                "INSERT INTO eventtracker.OwnShard (shard, isWhole) VALUES ({}, TRUE)",
                shard.number()
            )
        };
        script.extend(configured.iter().map(row));
        let held = self
            .link()
            .brief("note which shards it has", async |conn: &mut Conn| {
                let noted: Option<u8> = conn
                    .query_first("SELECT 1 FROM eventtracker.OwnShard LIMIT 1")
                    .await?;
                if noted.is_none() {
                    conn.query_drop("START TRANSACTION").await?;
                    for statement in script {
                        conn.query_drop(statement).await?;
                    }
                    conn.query_drop("COMMIT").await?;
                }
                held::read(conn).await
            })
            .await?;
        let own = held.unwrap_or_default().applied;
        self.set_shards(own);
        Ok(own)
    }

    /// Keeps other commands that change replication away from this server for as long as its connection lasts: a region that came in the middle of
    /// a move would be applied from another position than the rest.
    ///
    /// # Errors
    /// `ReplicationChanging` where another one is at it; the server refused or did not answer.
    pub async fn hold_replication(&mut self) -> Result<(), Error> {
        if self.link().lock(LOCK, 0).await? {
            return Ok(());
        }
        let holder = self
            .link()
            .brief("ask who moves a shard", async |conn| {
                abandoned::holder(conn, LOCK).await
            })
            .await?;
        Err(Error::ReplicationChanging {
            server: self.server().to_string(),
            session: holder.map_or("that has just ended".to_owned(), |session| session.to_string()),
        })
    }

    /// Lets the running connections of these regions apply what a server with `shards` needs. They must be stopped.
    ///
    /// # Errors
    /// `Word` for a region's name that cannot be quoted; the server refused, as where one of them runs, or did not answer.
    pub async fn set_filters(&mut self, regions: &[String], shards: Shards) -> Result<(), Error> {
        let tables = wild_do_tables(shards).join(",").replace('\\', r"\\");
        let mut script = Vec::new();
        for region in regions {
            let region = checked_word("region name", region, REGION_BYTES_MAX)?;
            // The server takes a filter only for the connection that is the session's default.
            script.push(format!("SET default_master_connection = '{region}'"));
            script.push(format!("SET GLOBAL replicate_wild_do_table = '{tables}'"));
        }
        script.push("SET default_master_connection = ''".to_owned());
        self.run("set what is applied", REPLICATION_LIMIT, script).await
    }

    /// Starts replication from a region up to a transaction, such as `1-1-100`, after which it stops.
    ///
    /// # Errors
    /// `Word` for a region's name that cannot be quoted; the server refused or did not answer.
    pub async fn start_until(&mut self, region: &str, gtid: &str) -> Result<(), Error> {
        let region = checked_word("region name", region, REGION_BYTES_MAX)?;
        let gtid = checked_word("transaction", gtid, REGION_BYTES_MAX)?;
        let start = format!("START SLAVE '{region}' UNTIL master_gtid_pos = '{gtid}'");
        self.run(
            "start replication up to a position",
            REPLICATION_LIMIT,
            vec![start],
        )
        .await
    }

    /// Notes that these shards are applied here, and not whole.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn take_in(&mut self, shards: Shards) -> Result<(), Error> {
        let note = |shard: Shard| {
            format!(
                "INSERT INTO eventtracker.OwnShard (shard, isWhole) VALUES ({}, FALSE) ON DUPLICATE KEY UPDATE isWhole = FALSE",
                shard.number()
            )
        };
        self.run(
            "note which shards come",
            REPLICATION_LIMIT,
            shards.iter().map(note).collect(),
        )
        .await
    }

    /// Notes that these shards are whole here.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn note_whole(&mut self, shards: Shards) -> Result<(), Error> {
        let sql = format!(
            "UPDATE eventtracker.OwnShard SET isWhole = TRUE WHERE shard IN ({})",
            numbers(shards)
        );
        self.run("note which shards are whole", REPLICATION_LIMIT, vec![sql])
            .await
    }

    /// Notes that it has these shards no more, as soon as `receiver` has applied whatever this server has: from then on nobody reads them here,
    /// and what is there may go. This server commits nothing between the two, and waits for [`HAND_OVER_LIMIT`] at most. Returns whether the
    /// receiver was there in time; if it was not, nothing is changed.
    ///
    /// # Errors
    /// A server refused or did not answer.
    pub async fn hand_over(&mut self, receiver: &mut Self, shards: Shards) -> Result<bool, Error> {
        let position = self
            .link()
            .brief("hold the position", async |conn| gtid::hold(conn).await)
            .await?;
        failpoint::crash("shard.position_held");
        let begun = Instant::now();
        let lacks = |applied: &BTreeMap<u32, u64>| {
            let is_behind = |gtid: &Gtid| applied.get(&gtid.domain).is_none_or(|&at| at < gtid.sequence);
            position.values().any(is_behind)
        };
        let mut is_there = !lacks(&receiver.upkeep().positions().await?);
        while !is_there && begun.elapsed() < HAND_OVER_LIMIT {
            tokio::time::sleep(HAND_OVER_POLL).await;
            is_there = !lacks(&receiver.upkeep().positions().await?);
        }
        let mut script = vec!["COMMIT".to_owned()];
        if is_there {
            let numbers = numbers(shards);
            script.insert(
                0,
                format!("DELETE FROM eventtracker.OwnShard WHERE shard IN ({numbers})"),
            );
        }
        self.run("note which shards went", REPLICATION_LIMIT, script)
            .await?;
        Ok(is_there)
    }

    /// Whether it has no row of any of these shards.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn is_empty_of(&mut self, shards: Shards) -> Result<bool, Error> {
        let table = |shard: Shard| TABLES.map(|table| format!("EXISTS (SELECT 1 FROM {shard}.{table})"));
        let sql: Vec<String> = shards.iter().flat_map(table).collect();
        let sql = format!("SELECT {}", sql.join(" OR "));
        let has_any: Option<bool> = self
            .link()
            .brief("look for rows of a shard", async |conn| {
                conn.query_first(sql).await
            })
            .await?;
        Ok(has_any != Some(true))
    }

    /// Throws away what it has of these shards, partitions stay. Replication must be stopped, and the shards must not be whole here.
    ///
    /// # Errors
    /// A reader has one of the tables for too long; the server refused or did not answer. A repetition goes on.
    pub async fn empty(&mut self, shards: Shards) -> Result<(), Error> {
        let mut script = vec![format!("SET lock_wait_timeout = {READERS_WAIT_S}")];
        for shard in shards.iter() {
            script.extend(TABLES.map(|table| format!("TRUNCATE TABLE {shard}.{table}")));
        }
        script.push("SET lock_wait_timeout = DEFAULT".to_owned());
        self.run("empty a shard", EMPTY_LIMIT, script).await
    }

    async fn run(&mut self, action: &'static str, limit: Duration, script: Vec<String>) -> Result<(), Error> {
        self.link()
            .call(action, limit, async |conn: &mut Conn| {
                for statement in script {
                    conn.query_drop(statement).await?;
                }
                Ok(())
            })
            .await
    }
}

/// The shards' numbers, with commas between them.
pub(super) fn numbers(shards: Shards) -> String {
    let numbers: Vec<String> = shards.iter().map(|shard| shard.number().to_string()).collect();
    numbers.join(",")
}
