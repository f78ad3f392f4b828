//! Packing, the compaction of counts: the minutes of closed days move from `EventMinute` into one row of `EventDay` for each name and day,
//! and counts that came in blocks move into rows.
//!
//! Each transaction deletes first and writes afterwards. `DELETE … RETURNING` hands over exactly what it removes, so what replication adds
//! to the same minutes meanwhile is either handed over, too, or stays for the next pass; with a read first, a count that came between the
//! read and the delete would be lost. Between the two the counts are only in this process: a crash, a lost connection or an error rolls the
//! delete back, so each count is always in exactly one place.
//!
//! No statement waits for a lock. Replication applies one region's transactions one after the other, and a lock that packing holds stops
//! that region's counts. Where packing meets a row that is locked, it gives way and comes back in the next pass, holding nothing meanwhile.

mod anew;
mod blocks;
mod progress;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use model::{Day, DayCounts, EventId, MINUTES_PER_DAY, OutsideDay, PACKED_FORM, PackedDayError, Shard};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

pub use self::anew::PackedAnew;
pub use self::blocks::{BLOCKS_LISTED_MAX, StoredBlock};
use crate::link::Link;
use crate::{Error, Server};

/// Longest wait for one answer: a list of the names of a large shard takes seconds.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// Seconds after which the server itself ends a statement; before [`CALL_LIMIT`], so that the connection survives.
const STATEMENT_S_MAX: u32 = 20;

/// Most names of one shard that are listed at once: half a megabyte.
pub const OPEN_NAMES_LISTED_MAX: usize = 20_000;

/// Most names whose next day is looked for at once. From a thousand on, MariaDB makes a table of them and reads all of the shard.
const NAMES_ADVANCED_MAX: usize = 500;

/// Most minutes that one transaction moves: some 60 ms, whatever its names hold.
pub const MINUTES_PER_TRANSACTION_MAX: u64 = 4 * MINUTES_PER_DAY as u64;

/// A connection to the centre for packing. It is made when first needed, and anew after a failure.
///
/// It never waits for a row: replication goes first. Counts change only within transactions that end whole or not at all, so it
/// may be stopped at any moment, and several may work at once.
pub struct Packer {
    link: Link,
    /// The session at whose beginning the form of packed days was looked at, and was ours.
    form_known_in: Option<u32>,
}

/// A name with minutes that are not packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenName {
    /// The day of its newest minute among those that were asked for.
    pub day: Day,
    /// The name's id.
    pub id: EventId,
}

/// The outcome of a transaction that packs or merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packed {
    /// The counts were moved.
    Moved {
        /// Number of minutes that were moved.
        minutes: u64,
        /// Number of rows of `EventDay` that they are in now.
        days: u64,
        /// Number of those rows that were there already.
        merged: u64,
    },
    /// Replication or another keeper has one of the rows at the moment: nothing was changed.
    Held,
}

impl Packer {
    /// A connection that is made when first needed, with an account that may change counts.
    #[must_use]
    pub fn new(server: Server) -> Self {
        let setup = [
            // What is read is what is there now and no snapshot, and no gap is locked that replication inserts into.
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned(),
            // Nothing is waited for: see the head of this file.
            "SET innodb_lock_wait_timeout = 0, lock_wait_timeout = 0".to_owned(),
            format!("SET max_statement_time = {STATEMENT_S_MAX}"),
            // Digits have no words that come again: to look for them costs room.
            "SET column_compression_zlib_strategy = FILTERED".to_owned(),
        ];
        Self {
            link: Link::with_setup(server, setup.into()),
            form_known_in: None,
        }
    }

    /// Makes sure, once for each connection, that the centre's views read the form that is written here, and that no later one is there.
    ///
    /// # Errors
    /// `Form` where that is not so; the server refused or did not answer.
    async fn expect_form(&mut self) -> Result<(), Error> {
        const SQL: &str = "SELECT MIN(form), MAX(form) FROM eventtracker.PackedAnew";
        if self.form_known_in.is_some() && self.form_known_in == self.link.session() {
            return Ok(());
        }
        let forms: Option<(Option<u8>, Option<u8>)> = self
            .link
            .call("look at the form of packed days", CALL_LIMIT, async |conn| {
                conn.query_first(SQL).await
            })
            .await?;
        match forms {
            Some((Some(PACKED_FORM), Some(PACKED_FORM))) => {
                self.form_known_in = self.link.session();
                Ok(())
            }
            forms => Err(Error::Form {
                server: self.link.server().to_string(),
                form: forms.and_then(|(_, last)| last),
            }),
        }
    }

    /// The names of `shard` after `after` with minutes in `days`, in the order of ids; the first [`OPEN_NAMES_LISTED_MAX`].
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn open_names(
        &mut self,
        shard: Shard,
        days: &Range<Day>,
        after: Option<EventId>,
    ) -> Result<Vec<OpenName>, Error> {
        let after = after.map_or(String::new(), |id| format!("eventId > {id} AND "));
        let sql = newest_days(shard, days, &after);
        self.link
            .call("list what is not packed", CALL_LIMIT, async |conn| {
                open(conn, &sql).await
            })
            .await
    }

    /// The names among `ids`, all of `shard`, that have minutes in `days`.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn open_among(
        &mut self,
        shard: Shard,
        days: &Range<Day>,
        ids: &[EventId],
    ) -> Result<Vec<OpenName>, Error> {
        let mut names = Vec::new();
        for some in ids.chunks(NAMES_ADVANCED_MAX) {
            let among = format!("eventId IN ({}) AND ", listed(some.iter()));
            let sql = newest_days(shard, days, &among);
            names.extend(
                self.link
                    .call("look for what is not packed", CALL_LIMIT, async |conn| {
                        open(conn, &sql).await
                    })
                    .await?,
            );
        }
        Ok(names)
    }

    /// Packs one day of `ids`, names of `shard`, in one transaction. It moves at most [`MINUTES_PER_TRANSACTION_MAX`] minutes; where it has
    /// moved so many, there may be more.
    ///
    /// # Errors
    /// The server refused or did not answer, and whether the transaction was committed is not known; or `PackedDay` for a row of
    /// `EventDay` that cannot be read, `OutsideDay` for a minute that would vanish, `Form` where days are packed in another form, and
    /// nothing was changed.
    pub async fn pack(&mut self, shard: Shard, day: Day, ids: &[EventId]) -> Result<Packed, Error> {
        self.expect_form().await?;
        let action = "pack a day";
        let mut refused = None;
        let outcome = self
            .link
            .call(action, CALL_LIMIT, async |conn| {
                let outcome = pack(conn, shard, day, ids).await;
                settle(conn, outcome, &mut refused).await
            })
            .await?;
        match refused {
            Some(failure) => self.refusal(shard, day, "EventMinute", failure),
            None => Ok(outcome),
        }
    }

    /// The reason why nothing was changed, where the counts were to come from `table`.
    fn refusal(&self, shard: Shard, day: Day, table: &str, failure: Failure) -> Result<Packed, Error> {
        let server = self.link.server().to_string();
        Err(match failure {
            Failure::Server(_) => return Ok(Packed::Held),
            Failure::Block(source) => Error::PackedDay {
                server,
                row: format!("{shard}.{table}, day {day}"),
                source,
            },
            Failure::PackedDay(id, source) => Error::PackedDay {
                server,
                row: format!("{shard}.EventDay, day {day}, eventId {id}"),
                source,
            },
            Failure::Minute(id, source) => Error::OutsideDay {
                server,
                row: format!("{shard}.{table}, day {day}, eventId {id}"),
                source,
            },
        })
    }
}

/// The question for each name's newest day: one dive into the index for each name, however many minutes it has.
fn newest_days(shard: Shard, days: &Range<Day>, which: &str) -> String {
    format!(
        "SELECT UNIX_TIMESTAMP(MAX(createDate)), eventId FROM {shard}.EventMinute \
         WHERE {which}createDate >= FROM_UNIXTIME({}) AND createDate < FROM_UNIXTIME({}) \
         GROUP BY eventId ORDER BY eventId LIMIT {OPEN_NAMES_LISTED_MAX}",
        days.start.unix_s(),
        days.end.unix_s()
    )
}

/// Reads the answer to [`newest_days`].
async fn open(conn: &mut Conn, sql: &str) -> Result<Vec<OpenName>, mysql_async::Error> {
    let rows: Vec<(i64, u64)> = conn.query(sql).await?;
    let open = rows.into_iter().map(|(unix_s, id)| OpenName {
        day: Day::containing(unix_s),
        id: EventId(id),
    });
    Ok(open.collect())
}

/// Rolls a transaction back that has not ended well, and leaves in `refused` why, unless somebody else has one of its rows. An error that
/// is returned closes the connection, which rolls it back, too. A lock that was not to be had ends only its statement: without the rollback
/// the next `START TRANSACTION` on this connection would commit the delete, and its counts would be lost.
async fn settle(
    conn: &mut Conn,
    outcome: Result<Packed, Failure>,
    refused: &mut Option<Failure>,
) -> Result<Packed, mysql_async::Error> {
    match outcome {
        Ok(packed) => return Ok(packed),
        Err(Failure::Server(error)) if !is_held(&error) => return Err(error),
        Err(Failure::Server(_)) => {}
        Err(failure) => *refused = Some(failure),
    }
    conn.query_drop("ROLLBACK").await?;
    Ok(Packed::Held)
}

/// Why a transaction did not end well.
enum Failure {
    /// The server refused a statement or did not answer; another transaction's lock among the reasons.
    Server(mysql_async::Error),
    /// A row of `EventDay` that cannot be read.
    PackedDay(EventId, PackedDayError),
    /// A block that cannot be read.
    Block(PackedDayError),
    /// A minute that the day does not have.
    Minute(EventId, OutsideDay),
}

impl From<mysql_async::Error> for Failure {
    fn from(error: mysql_async::Error) -> Self {
        Self::Server(error)
    }
}

/// Delete, then lock and write the packed days, then commit: see the head of this file.
async fn pack(conn: &mut Conn, shard: Shard, day: Day, ids: &[EventId]) -> Result<Packed, Failure> {
    let rows = take_minutes(conn, shard, day, ids).await?;
    failpoint::crash("keeper.taken");
    let days = by_name(day, &rows)?;
    let names = days.len() as u64;
    let merged = add_days(conn, shard, day, days).await?;
    failpoint::crash("keeper.packed");
    conn.query_drop("COMMIT").await?;
    failpoint::crash("keeper.pack_committed");
    Ok(Packed::Moved {
        minutes: rows.len() as u64,
        days: names,
        merged,
    })
}

/// Adds counts to the names' packed day. Returns how many of them had one. The rows are locked when they are read, since their text is
/// changed here and not by the server: another keeper's change in between would be overwritten.
async fn add_days(
    conn: &mut Conn,
    shard: Shard,
    day: Day,
    mut days: BTreeMap<EventId, DayCounts>,
) -> Result<u64, Failure> {
    let stored = lock_days(conn, shard, day, days.keys()).await?;
    let mut merged = 0;
    for (id, counts) in &mut days {
        if let Some(text) = stored.get(id) {
            let added = counts.add_packed(text.as_bytes());
            added.map_err(|error| Failure::PackedDay(*id, error))?;
            failpoint::sometimes("keeper.late_merge");
            merged += 1;
        }
    }
    write_days(conn, shard, day, &days, &stored).await?;
    Ok(merged)
}

/// A row of `EventMinute`: eventId, the minute in unix seconds, count.
type MinuteRow = (u64, i64, u64);

/// The condition that no copy of a shard is being made here: until that is whole, rows of it may only come. In the statement that takes the
/// counts, which has its table by then: whoever empties that, once it is said that a copy is to be made, waits for this transaction.
fn is_no_copy(shard: Shard) -> String {
    let number = shard.number();
    format!("NOT EXISTS (SELECT 1 FROM eventtracker.OwnShard WHERE shard = {number} AND NOT isWhole)")
}

/// Deletes minutes of the day and returns them. Until the commit the counts are only here.
async fn take_minutes(
    conn: &mut Conn,
    shard: Shard,
    day: Day,
    ids: &[EventId],
) -> Result<Vec<MinuteRow>, mysql_async::Error> {
    let script = format!(
        "START TRANSACTION; DELETE FROM {shard}.EventMinute WHERE eventId IN ({}) \
         AND createDate >= FROM_UNIXTIME({}) AND createDate < FROM_UNIXTIME({}) AND {} \
         LIMIT {MINUTES_PER_TRANSACTION_MAX} RETURNING eventId, UNIX_TIMESTAMP(createDate), count",
        listed(ids.iter()),
        day.unix_s(),
        day.end_unix_s(),
        is_no_copy(shard)
    );
    let mut answers = conn.query_iter(script).await?;
    answers.collect::<Row>().await?;
    answers.collect().await
}

/// The counts of each name. A row that has no place in the day has been deleted, so the transaction must not go on.
fn by_name(day: Day, rows: &[MinuteRow]) -> Result<BTreeMap<EventId, DayCounts>, Failure> {
    let mut days = BTreeMap::<EventId, DayCounts>::new();
    for &(id, unix_s, count) in rows {
        let id = EventId(id);
        let minute = day.minute_of(unix_s);
        minute
            .and_then(|minute| days.entry(id).or_default().add(minute, count))
            .map_err(|outside| Failure::Minute(id, outside))?;
    }
    Ok(days)
}

/// Locks and reads the packed days of `ids` that are there already: their text by id.
async fn lock_days(
    conn: &mut Conn,
    shard: Shard,
    day: Day,
    ids: impl ExactSizeIterator<Item = &EventId>,
) -> Result<BTreeMap<EventId, String>, mysql_async::Error> {
    if ids.len() == 0 {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT eventId, counts FROM {shard}.EventDay WHERE day = '{day}' AND eventId IN ({}) FOR UPDATE",
        listed(ids)
    );
    let rows: Vec<(u64, String)> = conn.query(sql).await?;
    Ok(rows.into_iter().map(|(id, text)| (EventId(id), text)).collect())
}

/// Writes the packed days. A row that another keeper has inserted since [`lock_days`] found none takes the key: the transaction fails as
/// held, and loses nothing.
async fn write_days(
    conn: &mut Conn,
    shard: Shard,
    day: Day,
    days: &BTreeMap<EventId, DayCounts>,
    stored: &BTreeMap<EventId, String>,
) -> Result<(), mysql_async::Error> {
    let mut rows = String::new();
    let mut script = String::new();
    for (id, counts) in days {
        let (total, text) = (counts.total(), quoted(&counts.pack()));
        if stored.contains_key(id) {
            script += &format!(
                "UPDATE {shard}.EventDay SET total = {total}, counts = {text} WHERE day = '{day}' AND eventId = {id}; "
            );
        } else {
            let separator = if rows.is_empty() { "" } else { "," };
            rows += &format!("{separator}('{day}',{id},{total},{text})");
        }
    }
    if !rows.is_empty() {
        script += &format!("INSERT INTO {shard}.EventDay (day, eventId, total, counts) VALUES {rows}");
    }
    if script.is_empty() {
        return Ok(());
    }
    conn.query_drop(script).await
}

/// The text of a packed day as a SQL literal.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}

/// The ids as a SQL list.
fn listed<'a>(ids: impl Iterator<Item = &'a EventId>) -> String {
    ids.map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Whether another transaction has a row that this one wanted, or has just written one.
fn is_held(error: &mysql_async::Error) -> bool {
    const DUPLICATE_KEY: u16 = 1062;
    const LOCK_WAIT: u16 = 1205;
    const DEADLOCK: u16 = 1213;
    matches!(error, mysql_async::Error::Server(e) if [DUPLICATE_KEY, LOCK_WAIT, DEADLOCK].contains(&e.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_row_that_has_no_place_in_the_day_ends_the_transaction() {
        let day = Day::containing(86_400);
        let (first, last) = (day.unix_s(), day.end_unix_s() - 60);
        let Ok(days) = by_name(day, &[(7, first, 1), (7, last, 2), (8, first, 4)]) else {
            panic!("all of it is of the day");
        };
        let totals: Vec<(u64, u64)> = days.iter().map(|(id, counts)| (id.0, counts.total())).collect();
        assert_eq!(totals, [(7, 3), (8, 4)]);
        for unix_s in [first - 60, day.end_unix_s()] {
            let refused = by_name(day, &[(7, first, 1), (9, unix_s, 2)]);
            assert!(matches!(refused, Err(Failure::Minute(EventId(9), _))));
        }
    }
}
