//! A region's counts: written once, by way of the ledger, into the tables that replication carries to the centre.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Write};
use std::time::Duration;

use model::{Batch, BatchId, EventId, EventName, Instant, Minute, MinuteCounts, Shard, TubeState};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::account::checked_word;
use crate::{Error, Server, outbox};

/// Longest wait for one transaction: half of a job's time to run, so that the jobs are still ours when it ends.
const COMMIT_LIMIT: Duration = Duration::from_secs(15);

/// How often a transaction that lost against another worker's is repeated.
const ATTEMPTS_MAX: u32 = 5;

/// A statement is sent once it is this long; the server's `max_allowed_packet` is 16 MiB or more.
const STATEMENT_BYTES_MAX: usize = 1_000_000;

/// Longest name of a region and of a worker; the widths of the columns.
pub(crate) const REGION_BYTES_MAX: usize = 32;
const SOURCE_BYTES_MAX: usize = 64;

const ERROR_DEADLOCK: u16 = 1213;
const ERROR_LOCK_WAIT: u16 = 1205;

/// What one transaction writes.
#[derive(Debug, Clone, Copy)]
pub struct Flush<'a> {
    /// Counted unless the ledger has their id; of two with the same id, the first.
    pub batches: &'a [Batch],
    /// The names of what the batches count.
    pub names: &'a HashMap<EventId, EventName<'static>>,
    /// Those that have reached the centre; others are written with what is counted here.
    pub names_known: &'a HashSet<EventId>,
    /// Counts to add to names that the centre knows.
    pub popularity: &'a HashMap<EventId, (EventName<'static>, u64)>,
    /// The queue as this worker last saw it.
    pub tube: (TubeState, Instant),
}

/// What a transaction did.
#[derive(Debug, Default)]
pub struct Committed {
    pub batches_counted: u64,
    /// Batches whose id the ledger had already.
    pub batches_recognised: u64,
    pub rows: usize,
    /// Sums per name of what was counted.
    pub totals: HashMap<EventId, u64>,
}

impl Committed {
    /// Sum of all counts.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.totals.values().fold(0, |sum, &n| sum.saturating_add(n))
    }
}

/// A worker's connection to its region's MariaDB.
pub struct Regional {
    server: Server,
    region: String,
    source: String,
    conn: Option<Conn>,
}

impl Regional {
    /// `source` names the worker, uniquely within `region`. Connects when first needed.
    ///
    /// # Errors
    /// A region or worker name that cannot be quoted, a password that cannot be read.
    pub fn new(server: Server, region: &str, source: &str) -> Result<Self, Error> {
        server.options(&[])?;
        Ok(Self {
            server,
            region: checked_word("region name", region, REGION_BYTES_MAX)?.to_owned(),
            source: checked_word("worker name", source, SOURCE_BYTES_MAX)?.to_owned(),
            conn: None,
        })
    }

    /// Makes sure that there is a connection, so that no job is reserved in vain.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn connect(&mut self) -> Result<(), Error> {
        if self.conn.is_none() {
            self.conn = Some(outbox::connect(&self.server).await?);
        }
        Ok(())
    }

    /// Counts what the ledger does not know, in one transaction with the ledger itself.
    ///
    /// # Errors
    /// After any error it is *unknown* whether the transaction was committed; redelivery and the ledger decide.
    pub async fn commit(&mut self, flush: &Flush<'_>) -> Result<Committed, Error> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => outbox::connect(&self.server).await?,
        };
        let attempts = async {
            let mut attempt = 1;
            loop {
                match self.attempt(&mut conn, flush).await {
                    Err(error) if attempt < ATTEMPTS_MAX && lost_against_another(&error) => {
                        metrics::counter!("store_transactions_repeated_total").increment(1);
                        tracing::warn!(%error, attempt, "repeating a transaction");
                        conn.query_drop("ROLLBACK").await?;
                        attempt += 1;
                    }
                    outcome => return outcome,
                }
            }
        };
        let committed = self
            .server
            .limited("commit counts", COMMIT_LIMIT, attempts)
            .await?;
        self.conn = Some(conn);
        Ok(committed)
    }

    async fn attempt(&self, conn: &mut Conn, flush: &Flush<'_>) -> Result<Committed, mysql_async::Error> {
        let batches = first_of_each_id(flush.batches);
        conn.query_drop("START TRANSACTION").await?;
        let new = enter_into_ledger(conn, &batches).await?;
        let mut counts = MinuteCounts::default();
        for batch in new.iter().filter_map(|id| batches.get(id)) {
            for &(id, minute, count) in &batch.counts {
                counts.add(id, minute, count);
            }
        }
        let mut committed = Committed {
            batches_counted: new.len() as u64,
            batches_recognised: (flush.batches.len() - new.len()) as u64,
            ..Committed::default()
        };
        let mut out = Script {
            conn,
            text: String::new(),
        };
        self.write_counts(&mut out, &counts.sorted(), &mut committed)
            .await?;
        self.write_names(&mut out, flush, &committed).await?;
        self.write_tube(&mut out, flush).await?;
        out.finish().await?;
        Ok(committed)
    }

    async fn write_counts(
        &self,
        out: &mut Script<'_>,
        rows: &[(EventId, Minute, u64)],
        committed: &mut Committed,
    ) -> Result<(), mysql_async::Error> {
        committed.rows = rows.len();
        let mut minutes: BTreeMap<Minute, u64> = BTreeMap::new();
        for &(id, minute, count) in rows {
            let sum = minutes.entry(minute).or_default();
            *sum = sum.saturating_add(count);
            let total = committed.totals.entry(id).or_default();
            *total = total.saturating_add(count);
        }
        for shard_rows in rows.chunk_by(|a, b| Shard::of(a.0) == Shard::of(b.0)) {
            let shard = Shard::of(shard_rows[0].0);
            let table = format!("{shard}.EventMinute (eventId, createDate, count)");
            let values = shard_rows
                .iter()
                .map(|(id, minute, n)| format!("({id},{},{n})", minute.sql_literal()));
            out.upsert(&table, "count", values).await?;
        }
        let region = &self.region;
        let values = minutes
            .iter()
            .map(|(minute, n)| format!("('{region}',{},{n})", minute.sql_literal()));
        out.upsert(
            "bigdata_0.RegionMinute (region, createDate, count)",
            "count",
            values,
        )
        .await?;
        let total = (!rows.is_empty()).then(|| format!("(1,{})", committed.count()));
        out.upsert(
            "eventtracker.CountedTotal (id, total)",
            "total",
            total.into_iter(),
        )
        .await
    }

    async fn write_names(
        &self,
        out: &mut Script<'_>,
        flush: &Flush<'_>,
        committed: &Committed,
    ) -> Result<(), mysql_async::Error> {
        let unknown = committed
            .totals
            .iter()
            .filter(|(id, _)| !flush.names_known.contains(id));
        let new = unknown.filter_map(|(id, &n)| flush.names.get(id).map(|name| (*id, name, n)));
        let known = flush.popularity.iter().map(|(&id, (name, n))| (id, name, *n));
        let mut rows: Vec<(EventId, &EventName<'_>, u64)> = new.chain(known).collect();
        rows.sort_unstable();
        let values = rows.iter().map(|(id, name, n)| format!("({id},'{name}',{n})"));
        out.upsert(
            "bigdata_0.EventTags (eventId, tagName, popularity)",
            "popularity",
            values,
        )
        .await
    }

    async fn write_tube(&self, out: &mut Script<'_>, flush: &Flush<'_>) -> Result<(), mysql_async::Error> {
        let (tube, seen_at) = flush.tube;
        let age = tube
            .oldest_ready_age_s
            .map_or_else(|| "NULL".to_owned(), |s| s.to_string());
        out.push(format_args!(
            "INSERT INTO bigdata_0.RegionStatus \
             (region, source, seenAt, jobsReady, jobsReserved, jobsDelayed, jobsBuried, oldestJobAgeS) \
             VALUES ('{}','{}',FROM_UNIXTIME({:.3}),{},{},{},{},{age}) \
             ON DUPLICATE KEY UPDATE seenAt = VALUES(seenAt), jobsReady = VALUES(jobsReady), \
             jobsReserved = VALUES(jobsReserved), jobsDelayed = VALUES(jobsDelayed), \
             jobsBuried = VALUES(jobsBuried), oldestJobAgeS = VALUES(oldestJobAgeS)",
            self.region,
            self.source,
            seen_at.unix_s(),
            tube.ready,
            tube.reserved,
            tube.delayed,
            tube.buried,
        ))
        .await
    }
}

/// By id, in the ids' order: every worker takes the ledger's locks in the same order.
fn first_of_each_id(batches: &[Batch]) -> BTreeMap<BatchId, &Batch> {
    let mut first = BTreeMap::new();
    for batch in batches {
        first.entry(batch.id).or_insert(batch);
    }
    first
}

/// Returns the ids that were new. `IGNORE` passes over a known id and nothing else can fail: all values were checked.
async fn enter_into_ledger(
    conn: &mut Conn,
    batches: &BTreeMap<BatchId, &Batch>,
) -> Result<Vec<BatchId>, mysql_async::Error> {
    /// Rows of 80 bytes: far below the server's limit for one statement.
    const ROWS_MAX: usize = 10_000;
    let mut new = Vec::new();
    for chunk in batches.values().collect::<Vec<_>>().chunks(ROWS_MAX) {
        let mut sql =
            "INSERT IGNORE INTO eventtracker.CountedBatch (batchId, acceptedAt, countedAt, total) VALUES "
                .to_owned();
        for (at, batch) in chunk.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let id = u128::from_be_bytes(*batch.id.as_bytes());
            let accepted_s = batch.accepted.unix_ms().div_euclid(1000) + 1;
            let total = batch.counts.iter().fold(0_u64, |sum, c| sum.saturating_add(c.2));
            write_to(
                &mut sql,
                format_args!("{comma}(x'{id:032x}',FROM_UNIXTIME({accepted_s}),CURRENT_TIMESTAMP,{total})"),
            );
        }
        sql.push_str(" RETURNING batchId");
        let ids: Vec<[u8; 16]> = conn.query(sql).await?;
        new.extend(ids.into_iter().map(BatchId::from_bytes));
    }
    Ok(new)
}

/// Statements on their way to the server, sent together up to [`STATEMENT_BYTES_MAX`].
struct Script<'a> {
    conn: &'a mut Conn,
    text: String,
}

impl Script<'_> {
    /// Adds rows to `table`, and to the `sum` column of those that exist. A sum saturates: one that overflowed
    /// would be an error at the centre and stop its replication.
    async fn upsert(
        &mut self,
        table: &str,
        sum: &str,
        values: impl Iterator<Item = String>,
    ) -> Result<(), mysql_async::Error> {
        let mut values = values.peekable();
        while values.peek().is_some() {
            let mut statement = format!("INSERT INTO {table} VALUES ");
            let mut comma = "";
            while let Some(row) = values.next_if(|_| statement.len() < STATEMENT_BYTES_MAX) {
                statement.push_str(comma);
                statement.push_str(&row);
                comma = ",";
            }
            self.push(format_args!(
                "{statement} ON DUPLICATE KEY UPDATE {sum} = {sum} + LEAST(VALUES({sum}), 18446744073709551615 - {sum})"
            ))
            .await?;
        }
        Ok(())
    }

    async fn push(&mut self, statement: fmt::Arguments<'_>) -> Result<(), mysql_async::Error> {
        write_to(&mut self.text, statement);
        self.text.push(';');
        if self.text.len() >= STATEMENT_BYTES_MAX {
            self.conn.query_drop(std::mem::take(&mut self.text)).await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<(), mysql_async::Error> {
        self.text.push_str("COMMIT");
        self.conn.query_drop(self.text).await
    }
}

fn write_to(text: &mut String, arguments: fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("writing into a String cannot fail");
}

fn lost_against_another(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(e) if [ERROR_DEADLOCK, ERROR_LOCK_WAIT].contains(&e.code))
}
