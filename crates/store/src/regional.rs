//! A region's counts: written once, by way of the ledger, into the tables that replication carries to the centre.

mod blocks;
mod ledger;
mod outbox;
mod report;
mod reuse;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant as Monotonic};

use hashbrown::{HashMap, HashSet};
use model::{Batch, BatchId, EventId, EventName, Instant, Minute, Shard};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

pub(crate) use self::outbox::{CHECK_LIMIT, checked};
pub use self::report::{Disk, Mark, Report};
pub use self::reuse::Reused;
use self::reuse::{Named, statement};
use crate::account::checked_word;
use crate::link::{BRIEF_LIMIT, Link};
use crate::script::Script;
use crate::{Error, Server};

/// Longest wait for one transaction: half of a job's time to run, so that the jobs are still ours when it ends.
const COMMIT_LIMIT: Duration = Duration::from_secs(15);

/// How often a transaction that lost against another worker's is repeated.
const ATTEMPTS_MAX: u32 = 5;

/// Longest name of a region and of a worker; the widths of the columns.
pub(crate) const REGION_BYTES_MAX: usize = 32;
const SOURCE_BYTES_MAX: usize = 64;

const ERROR_DEADLOCK: u16 = 1213;
const ERROR_LOCK_WAIT: u16 = 1205;

/// What one transaction writes.
#[derive(Clone, Copy)]
pub struct Flush<'a> {
    /// Counted unless the ledger has their id; of two with the same id, the first.
    pub batches: &'a [Batch],
    /// The names of what the batches count, but for those that the centre knows; written with what is counted here.
    pub new_names: &'a HashMap<EventId, EventName<'static>>,
    /// Whether a name has reached the centre.
    pub is_known: &'a (dyn Fn(EventId) -> bool + Sync),
    /// Counts to add to names that the centre knows.
    pub popularity: &'a [(EventId, EventName<'static>, u64)],
    pub report: &'a Report,
}

/// What a transaction did.
#[derive(Debug, Default)]
pub struct Committed {
    /// Batches whose id was new to the ledger.
    pub counted: HashSet<BatchId>,
    /// Batches whose id the ledger had already.
    pub batches_recognised: u64,
    pub rows: usize,
    /// Sums per name of what was counted, each name once.
    pub totals: Vec<(EventId, u64)>,
    /// Of the batches recognised, those that say something else than what was counted under their id, by client.
    pub reused: BTreeMap<String, Reused>,
}

impl Committed {
    /// Sum of all counts.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.totals
            .iter()
            .fold(0, |sum, of_name| sum.saturating_add(of_name.1))
    }
}

/// What a worker asks its region's MariaDB before it looks at the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub now: Instant,
    /// As in [`Report`], by whichever worker was last.
    pub mark: Option<Mark>,
}

/// How an attempt at a transaction ended.
enum Attempt {
    Committed(Committed),
    /// Nothing was written: the region's counts are written at this address.
    Moved(String),
    /// Nothing was written: the ledger has no clock to be stamped by.
    NoClock,
    /// Nothing is written, for this reason: counts would vanish.
    Refused(&'static str),
}

/// A worker's connection to its region's MariaDB.
pub struct Regional {
    link: Link,
    region: String,
    source: String,
    /// When this worker last let the ledger's clock go on. `None` where that is not known, and then it stands still.
    ledger_advanced: Option<Monotonic>,
    named: Named,
}

impl Regional {
    /// `source` names the worker, uniquely within `region`. Connects when first needed.
    ///
    /// # Errors
    /// A region or worker name that cannot be quoted, a password that cannot be read.
    pub fn new(server: Server, region: &str, source: &str) -> Result<Self, Error> {
        server.options(&[])?;
        Ok(Self {
            link: Link::new(server),
            region: checked_word("region name", region, REGION_BYTES_MAX)?.to_owned(),
            source: checked_word("worker name", source, SOURCE_BYTES_MAX)?.to_owned(),
            ledger_advanced: None,
            named: Named::default(),
        })
    }

    /// Makes sure that there is a connection, so that no job is reserved in vain.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn connect(&mut self) -> Result<(), Error> {
        if self.link.session().is_none() {
            let conn = outbox::connect(self.link.server(), &self.region).await?;
            self.link.hold(conn);
        }
        Ok(())
    }

    /// The regional database's clock, a moment ago, and what rides along for the queue.
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
            now: Instant::from_unix_ms(now_ms),
            mark: epoch.zip(number).map(|(epoch, number)| Mark { epoch, number }),
        })
    }

    /// Forgets batches and flushes that were counted longer than `age` ago, by the ledger's clock, which no step of another
    /// clock moves. The caller knows that no job which may hold one of them is left. Returns the number of batches
    /// forgotten; 0 while another worker prunes.
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

    /// Counts what the ledger does not know, in one transaction with the ledger itself.
    ///
    /// # Errors
    /// `Moved` where the region's database is another one now, `WouldVanish` where it would count only a part; then nothing was
    /// counted. After any other error it is *unknown* whether the transaction was committed; redelivery and the ledger decide.
    pub async fn commit(&mut self, flush: &Flush<'_>) -> Result<Committed, Error> {
        self.connect().await?;
        let mut transaction = Transaction {
            region: &self.region,
            source: &self.source,
            ledger_advanced: self.ledger_advanced,
            named: &mut self.named,
            flush,
        };
        let begun = Monotonic::now();
        let outcome = self
            .link
            .call("commit counts", COMMIT_LIMIT, async |conn| {
                transaction.run(conn).await
            })
            .await;
        self.ledger_advanced = matches!(outcome, Ok(Attempt::Committed(_))).then_some(begun);
        let attempt = outcome?;
        if !matches!(attempt, Attempt::Committed(_)) {
            // The transaction is rolled back with its connection.
            self.link.close();
        }
        match attempt {
            Attempt::Committed(committed) => Ok(committed),
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
struct Transaction<'a> {
    region: &'a str,
    source: &'a str,
    ledger_advanced: Option<Monotonic>,
    named: &'a mut Named,
    flush: &'a Flush<'a>,
}

impl Transaction<'_> {
    /// Repeats it where another worker's was in the way.
    async fn run(&mut self, conn: &mut Conn) -> Result<Attempt, mysql_async::Error> {
        let mut attempt = 1;
        loop {
            match self.attempt(conn).await {
                Err(error) if attempt < ATTEMPTS_MAX && lost_against_another(&error) => {
                    metrics::counter!("store_transactions_repeated_total").increment(1);
                    tracing::warn!(%error, attempt, "repeating a transaction");
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
        let begun = begin(conn).await?;
        if let Some(to) = begun.moved_to {
            return Ok(Attempt::Moved(to));
        }
        let Some(ledger_s) = begun.ledger_s else {
            return Ok(Attempt::NoClock);
        };
        let new: HashSet<BatchId> = ledger::enter(conn, &batches, ledger_s)
            .await?
            .into_iter()
            .collect();
        let known: Vec<&BatchId> = batches.keys().filter(|id| !new.contains(*id)).collect();
        if new.len() + known.len() != batches.len() {
            return Ok(Attempt::Refused(
                "the ledger has taken a batch that was not given to it",
            ));
        }
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
        self.write_counts(&mut out, &rows, &mut committed).await?;
        self.write_names(&mut out, &committed).await?;
        if !rows.is_empty() {
            // Other workers wait for its row from here on.
            out.push(self.running_total(committed.count(), ledger_s)).await?;
        }
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
            let (blocks, thin) = if are_many {
                blocks::split(of_shard)
            } else {
                (Vec::new(), None)
            };
            for (day, block) in blocks {
                out.push(blocks::statement(shard, day, block)?).await?;
            }
            out.upsert_minutes(shard, thin.as_deref().unwrap_or(of_shard))
                .await?;
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

    /// The region's total and its number of flushes, for the region itself and, as of this flush, for the centre.
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

/// What a transaction asks first.
struct Begun {
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

/// By id, in the ids' order: every worker takes the ledger's locks in the same order.
fn first_of_each_id(batches: &[Batch]) -> BTreeMap<BatchId, &Batch> {
    let mut first = BTreeMap::new();
    for batch in batches {
        first.entry(batch.id).or_insert(batch);
    }
    first
}

fn lost_against_another(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(e) if [ERROR_DEADLOCK, ERROR_LOCK_WAIT].contains(&e.code))
}
