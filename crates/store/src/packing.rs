//! Moves minutes of closed days from `EventMinute` into `EventDay`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use model::{Day, DayCounts, EventId, MINUTES_PER_DAY, Shard};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use crate::{Error, Server};

/// Longest wait for one answer: a list of the names of a large shard takes seconds.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// When the server itself ends a statement; before [`CALL_LIMIT`], so that the connection survives.
const STATEMENT_S_MAX: u32 = 20;

/// Names of one shard that are listed at once. The others are listed when these are packed.
pub const OPEN_NAMES_LISTED_MAX: usize = 20_000;

/// Minutes that one transaction moves at most: some 60 ms, whatever its names hold.
pub const MINUTES_PER_TRANSACTION_MAX: u64 = 4 * MINUTES_PER_DAY as u64;

/// The centre, as whoever packs reaches it. Connects when first asked, and anew after a failure.
///
/// It never waits for a row: replication goes first. Counts change only within transactions that end whole or not at all, so it
/// may be stopped at any moment, and several may work at once.
pub struct Packer {
    server: Server,
    conn: Option<Conn>,
}

/// A name with minutes that are not packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenName {
    /// Of its oldest minute among those that were asked for.
    pub day: Day,
    pub id: EventId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packed {
    /// So many minutes were moved, into so many rows of `EventDay` of which so many were there already.
    Moved { minutes: u64, days: u64, merged: u64 },
    /// Replication or another keeper has one of the rows at the moment: nothing was changed.
    Held,
}

impl Packer {
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self { server, conn: None }
    }

    /// Names of `shard` with minutes in `[from, before)`, the oldest days first; at most [`OPEN_NAMES_LISTED_MAX`].
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn open_names(&mut self, shard: Shard, from: Day, before: Day) -> Result<Vec<OpenName>, Error> {
        // One dive into the index for each name, however many minutes it has.
        let sql = format!(
            "SELECT UNIX_TIMESTAMP(oldest), eventId FROM \
             (SELECT eventId, MIN(createDate) AS oldest FROM {shard}.EventMinute \
              WHERE createDate >= FROM_UNIXTIME({}) GROUP BY eventId) names \
             WHERE oldest < FROM_UNIXTIME({}) ORDER BY DATE(oldest), eventId LIMIT {OPEN_NAMES_LISTED_MAX}",
            from.unix_s(),
            before.unix_s()
        );
        let rows: Vec<(i64, u64)> = self
            .call("list what is not packed", async |conn| conn.query(sql).await)
            .await?;
        let open = rows.into_iter().map(|(unix_s, id)| OpenName {
            day: Day::containing(unix_s),
            id: EventId(id),
        });
        Ok(open.collect())
    }

    /// Moves the minutes of one day of `ids`, names of `shard`, in one transaction; at most [`MINUTES_PER_TRANSACTION_MAX`], and there
    /// may be more where it is so many.
    ///
    /// # Errors
    /// The server refused or did not answer, and whether the transaction was committed is not known; or `PackedDay` for a row of
    /// `EventDay` that cannot be read, and nothing was changed.
    pub async fn pack(&mut self, shard: Shard, day: Day, ids: &[EventId]) -> Result<Packed, Error> {
        let action = "pack a day";
        let mut unreadable = None;
        let outcome = self
            .call(action, async |conn| {
                match pack(conn, shard, day, ids).await {
                    Ok(packed) => return Ok(packed),
                    Err(Failure::Server(error)) if !is_held(&error) => return Err(error),
                    Err(Failure::Server(_)) => {}
                    Err(Failure::PackedDay(id, source)) => unreadable = Some((id, source)),
                }
                conn.query_drop("ROLLBACK").await?;
                Ok(Packed::Held)
            })
            .await?;
        match unreadable {
            None => Ok(outcome),
            Some((id, source)) => Err(Error::PackedDay {
                server: self.server.to_string(),
                row: format!("{shard}.EventDay, day {day}, eventId {id}"),
                source,
            }),
        }
    }

    async fn call<T>(
        &mut self,
        action: &'static str,
        ask: impl AsyncFnOnce(&mut Conn) -> Result<T, mysql_async::Error>,
    ) -> Result<T, Error> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => {
                let setup = [
                    // What is deleted is what is read, and no gap is locked that replication inserts into.
                    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned(),
                    "SET innodb_lock_wait_timeout = 0, lock_wait_timeout = 0".to_owned(),
                    format!("SET max_statement_time = {STATEMENT_S_MAX}"),
                ];
                self.server.connect_with(&setup).await?
            }
        };
        let answer = self.server.limited(action, CALL_LIMIT, ask(&mut conn)).await?;
        self.conn = Some(conn);
        Ok(answer)
    }
}

enum Failure {
    Server(mysql_async::Error),
    PackedDay(EventId, model::PackedDayError),
}

impl From<mysql_async::Error> for Failure {
    fn from(error: mysql_async::Error) -> Self {
        Self::Server(error)
    }
}

async fn pack(conn: &mut Conn, shard: Shard, day: Day, ids: &[EventId]) -> Result<Packed, Failure> {
    let (minutes, mut days) = take_minutes(conn, shard, day, ids).await?;
    let stored = lock_days(conn, shard, day, &days).await?;
    for (id, text) in &stored {
        if let Some(counts) = days.get_mut(id) {
            let added = counts.add_packed(text.as_bytes());
            added.map_err(|error| Failure::PackedDay(*id, error))?;
        }
    }
    write_days(conn, shard, day, &days, &stored).await?;
    Ok(Packed::Moved {
        minutes,
        days: days.len() as u64,
        merged: stored.len() as u64,
    })
}

/// Deletes the day's minutes, which are then only here: how many they are, and the counts by name.
async fn take_minutes(
    conn: &mut Conn,
    shard: Shard,
    day: Day,
    ids: &[EventId],
) -> Result<(u64, BTreeMap<EventId, DayCounts>), mysql_async::Error> {
    let script = format!(
        "START TRANSACTION; DELETE FROM {shard}.EventMinute WHERE eventId IN ({}) \
         AND createDate >= FROM_UNIXTIME({}) AND createDate < FROM_UNIXTIME({}) \
         LIMIT {MINUTES_PER_TRANSACTION_MAX} RETURNING eventId, UNIX_TIMESTAMP(createDate), count",
        listed(ids.iter()),
        day.unix_s(),
        day.end_unix_s()
    );
    let mut answers = conn.query_iter(script).await?;
    answers.collect::<Row>().await?;
    let mut minutes = 0;
    let mut days = BTreeMap::<EventId, DayCounts>::new();
    for (id, unix_s, count) in answers.collect::<(u64, i64, u64)>().await? {
        let minute = usize::try_from((unix_s - day.unix_s()) / 60).unwrap_or(usize::MAX);
        days.entry(EventId(id)).or_default().add(minute, count);
        minutes += 1;
    }
    Ok((minutes, days))
}

/// Those of the days that are there already.
async fn lock_days(
    conn: &mut Conn,
    shard: Shard,
    day: Day,
    days: &BTreeMap<EventId, DayCounts>,
) -> Result<BTreeMap<EventId, String>, mysql_async::Error> {
    if days.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT eventId, counts FROM {shard}.EventDay WHERE day = '{day}' AND eventId IN ({}) FOR UPDATE",
        listed(days.keys())
    );
    let rows: Vec<(u64, String)> = conn.query(sql).await?;
    Ok(rows.into_iter().map(|(id, text)| (EventId(id), text)).collect())
}

/// Nobody else can have inserted a row that was not there: its key is taken then, and the transaction fails.
async fn write_days(
    conn: &mut Conn,
    shard: Shard,
    day: Day,
    days: &BTreeMap<EventId, DayCounts>,
    stored: &BTreeMap<EventId, String>,
) -> Result<(), mysql_async::Error> {
    let mut rows = String::new();
    let mut updates = String::new();
    for (id, counts) in days {
        let (total, text) = (counts.total(), counts.pack());
        // Writing into a string cannot fail.
        let written = if stored.contains_key(id) {
            write!(
                updates,
                "UPDATE {shard}.EventDay SET total = {total}, counts = '{text}' WHERE day = '{day}' AND eventId = {id}; "
            )
        } else {
            let separator = if rows.is_empty() { "" } else { "," };
            write!(rows, "{separator}('{day}',{id},{total},'{text}')")
        };
        debug_assert!(written.is_ok());
    }
    let mut script = updates;
    if !rows.is_empty() {
        script.push_str(&format!(
            "INSERT INTO {shard}.EventDay (day, eventId, total, counts) VALUES {rows}; "
        ));
    }
    script.push_str("COMMIT");
    conn.query_drop(script).await
}

fn listed<'a>(ids: impl Iterator<Item = &'a EventId>) -> String {
    ids.map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Another transaction has a row that this one wanted, or has just written one.
fn is_held(error: &mysql_async::Error) -> bool {
    const DUPLICATE_KEY: u16 = 1062;
    const LOCK_WAIT: u16 = 1205;
    const DEADLOCK: u16 = 1213;
    matches!(error, mysql_async::Error::Server(e) if [DUPLICATE_KEY, LOCK_WAIT, DEADLOCK].contains(&e.code))
}
