//! A region's counts, as a worker writes them: once, by way of the ledger, into the outbox. The outbox is the region's `bigdata_…` tables,
//! which keep nothing themselves (engine BLACKHOLE): what is written there stands in the binlog, and replication carries it to the centre.

#![expect(
    clippy::disallowed_methods,
    reason = "the ledger's clock advances by what this worker saw pass"
)]

mod blocks;
mod ledger;
mod outbox;
mod report;
mod reuse;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};
use model::{Batch, BatchId, EventId, EventName, Minute, Shard, Timestamp};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

pub(crate) use self::ledger::PRUNING_LOCK;
pub(crate) use self::outbox::{CHECK_LIMIT, checked};
pub use self::report::{Disk, Mark, Report};
pub use self::reuse::Reused;
use self::reuse::{NamedClients, statement};
use crate::account::checked_word;
use crate::limits::BRIEF_LIMIT;
use crate::link::Link;
use crate::script::Script;
use crate::{Error, Server};

/// Longest wait for one transaction: half of a job's time to run, so that the jobs are still ours when it ends.
pub const COMMIT_LIMIT: Duration = Duration::from_secs(15);

/// Most attempts at a transaction that lost against another worker's.
const ATTEMPTS_MAX: u32 = 5;

/// Longest name of a region and of a worker, in bytes: the widths of the columns.
pub(crate) const REGION_BYTES_MAX: usize = 32;
const SOURCE_BYTES_MAX: usize = 64;

const ERROR_DEADLOCK: u16 = 1213;
const ERROR_LOCK_WAIT: u16 = 1205;

/// The content of one transaction.
#[derive(Clone, Copy)]
pub struct Flush<'a> {
    /// Batches to count unless the ledger has their id; of two with the same id, the first.
    pub batches: &'a [Batch],
    /// The names of what the batches count, but for those that the centre knows; written with what is counted here.
    pub new_names: &'a HashMap<EventId, EventName<'static>>,
    /// Whether a name has reached the centre.
    pub is_known: &'a (dyn Fn(EventId) -> bool + Sync),
    /// Popularity to add to names that the centre knows: id, name, number of events.
    pub popularity: &'a [(EventId, EventName<'static>, u64)],
    /// The region's state, for the centre.
    pub report: &'a Report,
    /// When the batches may be others', too, who count them and forget them again; `None` for none.
    pub deadline: Option<Instant>,
}

/// The outcome of a transaction that was committed.
#[derive(Debug, Default)]
pub struct Committed {
    /// Ids of the batches that were new to the ledger, and are counted now.
    pub counted: HashSet<BatchId>,
    /// Number of batches whose id the ledger had already: a redelivered job or a client's retry.
    pub batches_recognised: u64,
    /// Number of counts that were written, one for each name and minute.
    pub rows: usize,
    /// Sums per name of what was counted, each name once.
    pub totals: Vec<(EventId, u64)>,
    /// Recognised batches whose content differs from what was counted under their id, by client.
    pub reused: BTreeMap<String, Reused>,
}

impl Committed {
    /// Sum of all counts; saturates.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.totals
            .iter()
            .fold(0, |sum, of_name| sum.saturating_add(of_name.1))
    }
}

/// A reading of the regional database's clock, which a worker takes before it looks at the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The database's clock, to the millisecond.
    pub now: Timestamp,
    /// The queue's low-water mark, as the last worker to commit one has left it ([`Report::mark`]).
    pub mark: Option<Mark>,
}

/// The outcome of an attempt at a transaction.
enum Attempt {
    Committed(Committed),
    /// Nothing was written: the region's counts are written at this address now.
    Moved(String),
    /// Nothing was written: the ledger has no clock to stamp its rows by.
    NoClock,
    /// Nothing was written: others may have the jobs.
    TooLate,
    /// Nothing was written, for this reason: counts would vanish.
    Refused(&'static str),
}

/// A worker's connection to its region's MariaDB. It is made when first needed, and anew after a failure.
pub struct Regional {
    link: Link,
    region: String,
    /// The worker's name, unique within the region.
    source: String,
    /// The instant at which this worker last advanced the ledger's clock. `None` where that is not known: the next flush then advances it by
    /// nothing.
    ledger_advanced: Option<Instant>,
    named: NamedClients,
}

impl Regional {
    /// A connection that is made when first needed. `source` names the worker, uniquely within `region`.
    ///
    /// # Errors
    /// `Word` for a region or worker name that cannot be quoted, `PasswordVariable` or `PasswordFile` for a password that cannot be read.
    pub fn new(server: Server, region: &str, source: &str) -> Result<Self, Error> {
        server.options(&[])?;
        Ok(Self {
            link: Link::new(server),
            region: checked_word("region name", region, REGION_BYTES_MAX)?.to_owned(),
            source: checked_word("worker name", source, SOURCE_BYTES_MAX)?.to_owned(),
            ledger_advanced: None,
            named: NamedClients::default(),
        })
    }

    /// Makes sure that there is a connection, so that no job is reserved in vain.
    ///
    /// # Errors
    /// `Setting`, `NotAnOutbox` or `Tables` for a server on which counts would be lost, `Moved` where the region has left it; or the server
    /// refused or did not answer.
    pub async fn connect(&mut self) -> Result<(), Error> {
        if self.link.session().is_none() {
            let conn = outbox::connect(self.link.server(), &self.region).await?;
            self.link.hold(conn);
        }
        Ok(())
    }

    /// Reads the regional database's clock, and the queue's low-water mark in the same round trip.
    ///
    /// # Errors
    /// The server refused or did not answer; the connection is made anew by the next call.
    pub async fn clock(&mut self) -> Result<Reading, Error> {
        const SQL: &str = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED), process, lowest \
                           FROM (SELECT 1) one LEFT JOIN eventtracker.TubeMark ON id = 1";
        self.connect().await?;
        let row: Option<(i64, Option<String>, Option<u64>)> = self
            .link
            .call("read the clock", BRIEF_LIMIT, async |conn| {
                conn.query_first(SQL).await
            })
            .await?;
        let (now_ms, epoch, number) = row.ok_or(Error::Shape { what: SQL })?;
        Ok(Reading {
            now: Timestamp::from_unix_ms(now_ms),
            mark: epoch.zip(number).map(|(epoch, number)| Mark { epoch, number }),
        })
    }

    /// Prunes the ledger: deletes batches and flushes that were counted longer than `age` ago, by the ledger's clock, which no step of
    /// another clock moves. The caller knows that no job which may hold one of them is left. Returns the number of batches deleted; 0
    /// while another worker prunes.
    ///
    /// # Errors
    /// The server refused or did not answer; what was deleted stays deleted.
    pub async fn prune(&mut self, age: Duration) -> Result<u64, Error> {
        self.connect().await?;
        self.link
            .call("prune the ledger", COMMIT_LIMIT, async |conn| {
                ledger::prune(conn, age).await
            })
            .await
    }

    /// Counts the batches that the ledger does not know, in one transaction with the ledger itself. Either all of `flush` is committed or
    /// none of it.
    ///
    /// # Errors
    /// `Moved` where the region's database is another one now, `TooLate` after the flush's deadline, `NoLedgerClock` where the schema is not complete, `WouldVanish` where it
    /// would count only a part; then nothing was counted. After any other error it is *unknown* whether the transaction was committed: the
    /// connection may have been lost before the `COMMIT` arrived, or before its answer did. The caller gives the jobs back, and when they
    /// are delivered again, the ledger has their ids or it does not.
    pub async fn commit(&mut self, flush: &Flush<'_>) -> Result<Committed, Error> {
        self.connect().await?;
        let mut transaction = Transaction {
            region: &self.region,
            source: &self.source,
            ledger_advanced: self.ledger_advanced,
            named: &mut self.named,
            flush,
        };
        let begun = Instant::now();
        let outcome = self
            .link
            .call("commit counts", COMMIT_LIMIT, async |conn| {
                transaction.run(conn).await
            })
            .await;
        // From before the transaction: the server's time counts from within it, and the lesser of the two is what passes. After an unknown
        // outcome nobody can say from when on to count, and a ledger whose clock is behind only keeps its rows for longer.
        self.ledger_advanced = matches!(outcome, Ok(Attempt::Committed(_))).then_some(begun);
        let attempt = outcome?;
        if !matches!(attempt, Attempt::Committed(_)) {
            // The transaction is rolled back with its connection.
            self.link.close();
        }
        match attempt {
            Attempt::Committed(committed) => Ok(committed),
            Attempt::TooLate => Err(Error::TooLate),
            Attempt::NoClock => Err(Error::NoLedgerClock {
                server: self.link.server().to_string(),
            }),
            Attempt::Moved(to) => Err(Error::Moved {
                region: self.region.clone(),
                to,
            }),
            Attempt::Refused(reason) => Err(Error::WouldVanish {
                server: self.link.server().to_string(),
                reason,
            }),
        }
    }
}

/// A transaction that counts a flush, from the ledger to the report.
///
/// It is a single one, so that a crash leaves all of it or nothing: counts without their ids would be counted again, ids without their
/// counts would be lost. All workers take the locks that they share in the same order, so none waits for another in a circle: the fence
/// (shared), batch ids in their order, then the rows of which a region has only one, the running total, the queue's mark and the ledger's
/// clock. Whoever holds one of these keeps all other workers of the region waiting until it commits: hence they come last.
struct Transaction<'a> {
    region: &'a str,
    source: &'a str,
    ledger_advanced: Option<Instant>,
    named: &'a mut NamedClients,
    flush: &'a Flush<'a>,
}

impl Transaction<'_> {
    /// Makes attempts until one is not in another worker's way. Only a deadlock or a lock wait is repeated: the server has answered then,
    /// so it is known that nothing was committed.
    async fn run(&mut self, conn: &mut Conn) -> Result<Attempt, mysql_async::Error> {
        let mut attempt = 1;
        loop {
            match self.attempt(conn).await {
                Err(error) if attempt < ATTEMPTS_MAX && lost_against_another(&error) => {
                    failpoint::sometimes("worker.deadlock_or_lock_wait");
                    metrics::counter!("store_transactions_repeated_total").increment(1);
                    tracing::warn!(%error, attempt, "repeating a transaction");
                    // After a lock wait only the statement was rolled back: what was entered in the ledger would still be there.
                    conn.query_drop("ROLLBACK").await?;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn attempt(&mut self, conn: &mut Conn) -> Result<Attempt, mysql_async::Error> {
        let flush = self.flush;
        let batches = first_of_each_id(flush.batches);
        // The fence before anything else: its shared lock lasts until the end, so a switch of the region waits for this transaction, or
        // this transaction sees where the region has gone.
        let begun = begin(conn).await?;
        if let Some(to) = begun.moved_to {
            failpoint::sometimes("worker.fence_refused");
            return Ok(Attempt::Moved(to));
        }
        let Some(ledger_s) = begun.ledger_s else {
            return Ok(Attempt::NoClock);
        };
        // Within the transaction, which the server ends if this worker stalls from here on. Before it, jobs of which it does not know any
        // more could have been counted, deleted and forgotten by others.
        if flush.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            failpoint::sometimes("worker.held_too_long");
            return Ok(Attempt::TooLate);
        }
        failpoint::crash("worker.begun");
        // The ledger before the counts: it decides what is counted. An id that another worker has entered and not yet committed makes this
        // statement wait; afterwards the id is known, or it is new again because the other transaction was rolled back.
        let new: HashSet<BatchId> = ledger::enter(conn, &batches, ledger_s)
            .await?
            .into_iter()
            .collect();
        failpoint::crash("worker.entered");
        let known: Vec<&BatchId> = batches.keys().filter(|id| !new.contains(*id)).collect();
        if new.len() + known.len() != batches.len() {
            return Ok(Attempt::Refused(
                "the ledger has taken a batch that was not given to it",
            ));
        }
        // An id that was passed over must be there, or its job would be deleted and nothing counted.
        let holds = ledger::holding(conn, &known).await?;
        if holds.len() != known.len() {
            return Ok(Attempt::Refused(
                "the ledger has not taken a batch, and does not have it",
            ));
        }
        let counted = batches.iter().filter(|(id, _)| new.contains(*id));
        let rows = model::sums(counted.flat_map(|(_, batch)| batch.counts.iter().copied()));
        let has_name = |id| (flush.is_known)(id) || flush.new_names.contains_key(&id);
        let mut of_names = rows.chunk_by(|a, b| a.0 == b.0);
        if !of_names.all(|rows| has_name(rows[0].0)) {
            return Ok(Attempt::Refused("a count has no name, so nobody would find it"));
        }
        let mut committed = Committed {
            batches_recognised: (flush.batches.len() - new.len()) as u64,
            reused: self.named.reused(flush.batches, &new, &holds),
            counted: new,
            ..Committed::default()
        };
        let mut out = Script::new(conn);
        // Counts and names are most of the work, and lock no row here, since the outbox keeps none: first, before the others wait.
        self.write_counts(&mut out, &rows, &mut committed).await?;
        self.write_names(&mut out, &committed).await?;
        if !rows.is_empty() {
            // Other workers wait for its row from here on until the commit, so flushes are numbered in the order of the binlog.
            out.push(self.running_total(committed.count(), ledger_s)).await?;
        }
        // In the same transaction as the counts that the claim of completeness rests on, so it cannot reach the centre before them.
        report::write(&mut out, self.region, self.source, flush.report).await?;
        if !committed.reused.is_empty() {
            let seen_at = report::timestamp(flush.report.seen_at);
            out.push(statement(self.region, &seen_at, &committed.reused))
                .await?;
        }
        let passed = self
            .ledger_advanced
            .map_or(Duration::ZERO, |advanced| advanced.elapsed());
        out.push(ledger::advance(passed)).await?;
        failpoint::crash("worker.counted");
        out.finish().await?;
        Ok(Attempt::Committed(committed))
    }

    async fn write_counts(
        &self,
        out: &mut Script<'_>,
        rows: &[(EventId, Minute, u64)],
        committed: &mut Committed,
    ) -> Result<(), mysql_async::Error> {
        committed.rows = rows.len();
        let mut minutes: BTreeMap<Minute, u64> = BTreeMap::new();
        for of_name in rows.chunk_by(|a, b| a.0 == b.0) {
            let mut total: u64 = 0;
            for &(_, minute, count) in of_name {
                let sum = minutes.entry(minute).or_default();
                *sum = sum.saturating_add(count);
                total = total.saturating_add(count);
            }
            committed.totals.push((of_name[0].0, total));
        }
        let are_many = rows.len() > blocks::ROWS_MAX;
        for of_shard in rows.chunk_by(|a, b| Shard::of(a.0) == Shard::of(b.0)) {
            let shard = Shard::of(of_shard[0].0);
            if !are_many {
                out.upsert_minutes(shard, of_shard).await?;
                continue;
            }
            let (blocks, thin) = blocks::split(of_shard);
            for (day, block) in blocks {
                out.push(blocks::statement(shard, day, block)?).await?;
            }
            out.upsert_minutes(shard, &thin).await?;
        }
        let region = self.region;
        let values = minutes
            .iter()
            .map(|(minute, n)| fmt::from_fn(move |f| write!(f, "('{region}',{},{n})", minute.digits())));
        out.upsert(
            "bigdata_0.RegionMinute (region, createDate, count)",
            "count",
            values,
        )
        .await?;
        Ok(())
    }

    /// The statements that add a flush to the region's running total and give it its number, in the region's own tables and, with the
    /// total as of this flush, in the outbox. The binlog is one of statements: the centre gets the values of `@total` and `@flushes` with
    /// the statement that uses them.
    fn running_total(&self, count: u64, ledger_s: i64) -> String {
        let region = self.region;
        format!(
            "INSERT INTO eventtracker.CountedTotal (id, total, flushes) VALUES (1,{count},1) \
             ON DUPLICATE KEY UPDATE flushes = flushes + 1, \
             total = total + LEAST(VALUES(total), 18446744073709551615 - total);\
             SELECT total, flushes INTO @total, @flushes FROM eventtracker.CountedTotal WHERE id = 1;\
             INSERT INTO eventtracker.CountedFlush (number, count, countedAt) VALUES (@flushes,{count},FROM_UNIXTIME({ledger_s}));\
             INSERT INTO bigdata_0.RegionTotal (region, total, flushes) VALUES ('{region}',@total,@flushes) \
             ON DUPLICATE KEY UPDATE total = VALUES(total), flushes = VALUES(flushes)"
        )
    }

    async fn write_names(
        &self,
        out: &mut Script<'_>,
        committed: &Committed,
    ) -> Result<(), mysql_async::Error> {
        let totals = committed.totals.iter().copied();
        let flush = self.flush;
        let new = totals.filter_map(|(id, n)| flush.new_names.get(&id).map(|name| (id, name, n)));
        let known = flush.popularity.iter().map(|(id, name, n)| (*id, name, *n));
        let mut rows: Vec<(EventId, &EventName<'_>, u64)> = new.chain(known).collect();
        rows.sort_unstable();
        let values = rows
            .iter()
            .map(|(id, name, n)| fmt::from_fn(move |f| write!(f, "({id},'{name}',{n})")));
        out.upsert(
            "bigdata_0.EventTags (eventId, tagName, popularity)",
            "popularity",
            values,
        )
        .await
    }
}

/// The answers that a transaction begins with.
struct Begun {
    /// Host and port of the server that the region has moved to.
    moved_to: Option<String>,
    /// The ledger's clock, in unix seconds.
    ledger_s: Option<i64>,
}

/// Begins a transaction, in one round trip with the questions whether the region's counts are still written here, and what
/// time it is. Shared locks do not keep workers from each other; `region switch` waits for them to end.
async fn begin(conn: &mut Conn) -> Result<Begun, mysql_async::Error> {
    let script = format!(
        "START TRANSACTION; {}; {}",
        outbox::MOVED_TO_LOCKED,
        ledger::REACHED
    );
    let mut answers = conn.query_iter(script).await?;
    answers.collect::<Row>().await?;
    let moved: Vec<Option<String>> = answers.collect().await?;
    let reached: Vec<i64> = answers.collect().await?;
    Ok(Begun {
        moved_to: moved.into_iter().next().flatten(),
        ledger_s: reached.first().copied(),
    })
}

/// The batches by id, in the ids' order: every worker takes the ledger's locks in the same order.
fn first_of_each_id(batches: &[Batch]) -> BTreeMap<BatchId, &Batch> {
    let mut first = BTreeMap::new();
    for batch in batches {
        first.entry(batch.id).or_insert(batch);
    }
    first
}

/// Whether another transaction was in the way, so that a repetition may succeed.
fn lost_against_another(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(e) if [ERROR_DEADLOCK, ERROR_LOCK_WAIT].contains(&e.code))
}
