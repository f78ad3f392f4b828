//! Status: the state of the regions, as far as it has reached the centre, and of the centre itself.

use std::collections::{BTreeMap, BTreeSet};

use model::{Day, Shard, Shards, Timestamp};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::names;
use super::position::{self, Position, Positions, Scope};
use crate::clock::{self, RegionClock};
use crate::queue::{QueueState, queues};
use crate::rows::for_each_row;
use crate::source::{SourceState, source_states};
use crate::upkeep::Alarm;
use crate::{Error, Held, held};

/// The state of the regions and of the centre.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The last report of each region's queue that has reached the centre, by region.
    pub queues: Vec<QueueState>,
    /// Replication from each region, by region.
    pub sources: Vec<SourceState>,
    /// The size of each shard, by its number.
    pub shards: Vec<ShardSize>,
    /// The clock of each source, and of each other region that the centre has claims of, by region.
    pub clocks: BTreeMap<String, RegionClock>,
    /// What the centre had when it said that of the clocks.
    pub positions: Positions,
    /// The alarms that stand, each with the instant since when.
    pub alarms: Vec<(Alarm, Timestamp)>,
    /// The age up to which backups are of use: one of this centre that was taken later can still be attached to every region's binlog.
    /// `None` where nothing is noted yet.
    pub oldest_backup: Option<Timestamp>,
    /// The first day that retention has not dropped; `None` where it never dropped any.
    pub kept_since: Option<Day>,
    /// Each of the servers that the centre consists of.
    pub servers: Vec<ServerState>,
}

/// One of the servers of a centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Its name; empty where it is the only one.
    pub name: String,
    /// The shards that it has.
    pub shards: Shards,
    /// Until when its counts are complete; `None` where that is not known.
    pub complete_until: Option<Timestamp>,
    /// Why it does not answer; `None` where it does.
    pub trouble: Option<String>,
}

/// The size of one shard, as InnoDB estimates it; bytes are pages of data and indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardSize {
    /// The shard.
    pub shard: Shard,
    /// Number of rows that are not packed: minutes and blocks.
    pub rows: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Number of packed days, one for each name and day.
    pub packed_days: u64,
    /// Their size in bytes.
    pub packed_bytes: u64,
}

/// One server's status.
pub(super) struct OfServer {
    pub(super) held: Option<Held>,
    queues: Vec<QueueState>,
    sources: Vec<SourceState>,
    shards: Vec<ShardSize>,
    clocks: BTreeMap<String, RegionClock>,
    position: Position,
    alarms: Vec<(Alarm, Timestamp)>,
    oldest_backup: Option<Timestamp>,
    kept_since: Option<Day>,
}

/// Joins what each server of a centre says: of a shard only the server that has it, of a region the worst. What one has not, as it does not
/// answer or does not replicate from a region, is not known of the whole.
///
/// # Errors
/// The first server's, where none answers.
pub(super) fn joined(servers: Vec<(&str, Shards, Result<OfServer, Error>)>) -> Result<Status, Error> {
    let mut status = Status::default();
    let (mut parts, mut failure) = (Vec::new(), None);
    for (name, shards, outcome) in servers {
        let (complete_until, trouble) = match &outcome {
            Ok(part) => (clock::complete_until(&part.clocks), None),
            Err(error) => (None, Some(error.with_causes())),
        };
        status.servers.push(ServerState {
            name: name.to_owned(),
            shards,
            complete_until,
            trouble,
        });
        match outcome {
            Ok(part) => parts.push((name, shards, part)),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    let is_whole = failure.is_none();
    for region in regions(&parts) {
        let clock = |(.., part): &(&str, Shards, OfServer)| part.clocks.get(&region).cloned();
        if parts.iter().any(|part| clock(part).is_some()) {
            let clocks = parts.iter().map(|part| clock(part).unwrap_or_default());
            let worst = clocks
                .min_by_key(|clock| clock.complete_until)
                .unwrap_or_default();
            let complete_until = worst.complete_until.filter(|_| is_whole);
            status.clocks.insert(
                region.clone(),
                RegionClock {
                    complete_until,
                    ..worst
                },
            );
        }
        let sources = parts.iter().map(|(name, _, part)| {
            let state = part.sources.iter().find(|state| state.source.region == region)?;
            Some((*name, state))
        });
        let sources: Option<Vec<_>> = sources.collect();
        status
            .sources
            .extend(sources.and_then(|sources| worst_source(&sources)));
        let queues = parts.iter().flat_map(|(.., part)| &part.queues);
        let latest = queues
            .filter(|queue| queue.region == region)
            .max_by_key(|queue| queue.seen);
        status.queues.extend(latest.cloned());
    }
    let mut alarms = Vec::new();
    for (name, shards, part) in parts {
        let (parts, position) = ([Scope::Names, Scope::Shards(shards)], part.position);
        status
            .positions
            .join(&Positions::of(parts.map(|scope| (scope, position.clone()))));
        status
            .shards
            .extend(part.shards.into_iter().filter(|size| shards.contains(size.shard)));
        status.oldest_backup = status.oldest_backup.max(part.oldest_backup);
        status.kept_since = status.kept_since.max(part.kept_since);
        alarms.extend(part.alarms.into_iter().map(|(alarm, since)| (name, alarm, since)));
    }
    status.alarms = joined_alarms(alarms, status.servers.len());
    status.shards.sort_by_key(|size| size.shard);
    match failure {
        Some(error) if status.servers.iter().all(|server| server.trouble.is_some()) => Err(error),
        _ => Ok(status),
    }
}

/// The alarms of so many servers, by region and kind. What all say is said once, since its first; what only some say, with their names.
fn joined_alarms(all: Vec<(&str, Alarm, Timestamp)>, servers: usize) -> Vec<(Alarm, Timestamp)> {
    let mut joined = BTreeMap::<(String, String, String), (Vec<&str>, Timestamp)>::new();
    for (name, alarm, since) in all {
        let of_alarm = joined.entry((alarm.region, alarm.kind, alarm.sentence));
        let (names, first) = of_alarm.or_insert((Vec::new(), since));
        names.push(name);
        *first = since.min(*first);
    }
    let alarm = |((region, kind, sentence), (names, since)): (_, (Vec<&str>, Timestamp))| {
        let sentence = if names.len() == servers {
            sentence
        } else {
            format!("{}: {sentence}", names.join(", "))
        };
        (
            Alarm {
                region,
                kind,
                sentence,
            },
            since,
        )
    };
    joined.into_iter().map(alarm).collect()
}

/// The regions that any of the servers knows.
fn regions(parts: &[(&str, Shards, OfServer)]) -> BTreeSet<String> {
    let of_part = |(.., part): &(&str, Shards, OfServer)| {
        let queues = part.queues.iter().map(|queue| queue.region.clone());
        let sources = part.sources.iter().map(|state| state.source.region.clone());
        let clocks = part.clocks.keys().cloned();
        queues.chain(sources).chain(clocks).collect::<Vec<_>>()
    };
    parts.iter().flat_map(of_part).collect()
}

/// The state of one that does not run, with the name of its server, else of the first.
fn worst_source(states: &[(&str, &SourceState)]) -> Option<SourceState> {
    let worst = states.iter().find(|(_, state)| !state.is_running());
    let (name, state) = worst.or(states.first())?;
    let mut state = (*state).clone();
    if worst.is_some() && states.len() > 1 {
        let error = if state.last_error.is_empty() {
            "it was stopped"
        } else {
            &state.last_error
        };
        state.last_error = format!("{name}: {error}");
    }
    Some(state)
}

/// Reads the status, one statement after the other; the clocks and the position are of one snapshot.
pub(super) async fn read(conn: &mut Conn) -> Result<OfServer, mysql_async::Error> {
    let held = held::read(conn).await?;
    let queues = queues(conn).await?;
    let mut sources = source_states(conn).await?;
    sources.sort_by(|a, b| a.source.region.cmp(&b.source.region));
    let oldest_backup = oldest_backup(conn, &sources).await?;
    conn.query_drop(names::BEGIN).await?;
    let (clocks, position) = (
        clock::read(conn, held.map_or(Shards::NONE, |held| held.applied)).await?,
        position::read(conn).await?,
    );
    conn.query_drop("COMMIT").await?;
    Ok(OfServer {
        held,
        queues,
        sources,
        shards: shards(conn).await?,
        clocks,
        position,
        alarms: alarms(conn).await?,
        oldest_backup,
        kept_since: clock::kept_since(conn).await?,
    })
}

async fn alarms(conn: &mut Conn) -> Result<Vec<(Alarm, Timestamp)>, mysql_async::Error> {
    const SQL: &str = "SELECT region, kind, sentence, CAST(UNIX_TIMESTAMP(since) * 1000 AS SIGNED) \
                       FROM eventtracker.Alarm ORDER BY region, kind";
    let mut alarms = Vec::new();
    let each = |(region, kind, sentence, since_ms): (String, String, String, i64)| {
        alarms.push((
            Alarm {
                region,
                kind,
                sentence,
            },
            Timestamp::from_unix_ms(since_ms),
        ));
    };
    for_each_row(conn, SQL, (), each).await?;
    Ok(alarms)
}

/// The age of the oldest backup that is of use: over the sources, the latest instant at which the oldest binlog file that is left was
/// reached.
async fn oldest_backup(
    conn: &mut Conn,
    sources: &[SourceState],
) -> Result<Option<Timestamp>, mysql_async::Error> {
    const SQL: &str = "SELECT region, CAST(UNIX_TIMESTAMP(MIN(reachedAt)) * 1000 AS SIGNED) \
                       FROM eventtracker.RegionBinlog GROUP BY region";
    let mut oldest: Option<i64> = None;
    let each = |(region, reached_ms): (String, i64)| {
        if sources.iter().any(|state| state.source.region == region) {
            oldest = oldest.max(Some(reached_ms));
        }
    };
    for_each_row(conn, SQL, (), each).await?;
    Ok(oldest.map(Timestamp::from_unix_ms))
}

async fn shards(conn: &mut Conn) -> Result<Vec<ShardSize>, mysql_async::Error> {
    const SQL: &str = r"SELECT TABLE_SCHEMA, TABLE_NAME = 'EventDay',
                        COALESCE(TABLE_ROWS, 0), COALESCE(DATA_LENGTH + INDEX_LENGTH, 0)
                        FROM information_schema.TABLES
                        WHERE TABLE_SCHEMA LIKE 'bigdata\_%' AND TABLE_NAME IN ('EventMinute', 'EventDay', 'EventBlock')";
    let mut sizes = std::collections::HashMap::<(String, bool), (u64, u64)>::new();
    let each = |(database, is_packed, rows, bytes): (String, bool, u64, u64)| {
        let size = sizes.entry((database, is_packed)).or_default();
        *size = (size.0 + rows, size.1 + bytes);
    };
    for_each_row(conn, SQL, (), each).await?;
    let of_shard = |shard: Shard| {
        let size = |is_packed| sizes.get(&(shard.to_string(), is_packed)).copied();
        let ((rows, bytes), (packed_days, packed_bytes)) = size(false).zip(size(true))?;
        Some(ShardSize {
            shard,
            rows,
            bytes,
            packed_days,
            packed_bytes,
        })
    };
    Ok(Shard::all().filter_map(of_shard).collect())
}
