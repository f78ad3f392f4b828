//! The shards that a server of a centre has, by its own word: a shard moves while others read, pack and audit.

use model::{Shard, Shards};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, QueryResult, TextProtocol};

use crate::Error;

/// The shards that a server has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Those that its replication applies.
    pub applied: Shards,
    /// Those of which it has everything up to its position.
    pub whole: Shards,
}

/// The question for what a server has.
pub(crate) const HELD: &str = "SELECT shard, isWhole FROM eventtracker.OwnShard";

/// Reads the answer to [`HELD`]; `None` where there is no note yet.
pub(crate) async fn collect(
    answers: &mut QueryResult<'_, '_, TextProtocol>,
) -> Result<Option<Held>, mysql_async::Error> {
    Ok(Held::of(&answers.collect().await?))
}

/// Reads, as [`collect`] does, what a server has, in the snapshot of `conn`, if it has one.
pub(crate) async fn read(conn: &mut Conn) -> Result<Option<Held>, mysql_async::Error> {
    Ok(Held::of(&conn.query(HELD).await?))
}

impl Held {
    /// `None` where there is no note yet.
    fn of(rows: &[(u8, bool)]) -> Option<Self> {
        let with = |is_wanted: fn(&(u8, bool)) -> bool| {
            let is_there = |shard: &Shard| rows.iter().any(|row| row.0 == shard.number() && is_wanted(row));
            Shard::all().filter(is_there).collect()
        };
        (!rows.is_empty()).then(|| Self {
            applied: with(|_| true),
            whole: with(|row| row.1),
        })
    }
}

/// Which of these shards each server is asked for, of servers with the shards of the configuration and those that are whole there: a shard
/// that moves is whole at two of them for a while, and the one of the configuration goes first.
///
/// # Errors
/// `NotWhole` for shards that none has.
pub(crate) fn assign(
    shards: Shards,
    servers: impl Iterator<Item = (Shards, Shards)> + Clone,
) -> Result<Vec<Shards>, Error> {
    let mut left = shards;
    let mut assigned = vec![Shards::NONE; servers.clone().count()];
    for is_configured in [true, false] {
        for ((configured, whole), assigned) in servers.clone().zip(&mut assigned) {
            let among = if is_configured { configured } else { Shards::ALL };
            let own = left.common(whole).common(among);
            left = left.without(own);
            *assigned = assigned.and(own);
        }
    }
    if left.is_empty() {
        Ok(assigned)
    } else {
        Err(Error::NotWhole { shards: left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_is_asked_for_once_where_it_is_whole() {
        let shards = |text: &str| text.parse::<Shards>().unwrap();
        let assigned = |wanted, servers: &[(&str, &str)]| {
            let servers = servers
                .iter()
                .map(|&(configured, whole)| (shards(configured), shards(whole)));
            let assigned = assign(shards(wanted), servers);
            assigned.map(|of| of.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let of = |servers| assigned("0-31", servers).unwrap();
        assert_eq!(of(&[("0-15", "0-15"), ("16-31", "16-31")]), ["0-15", "16-31"]);
        // On its way from the first to the second, in whose file it is not yet, or is already.
        assert_eq!(of(&[("0-15", "0-15"), ("16-31", "15-31")]), ["0-15", "16-31"]);
        assert_eq!(of(&[("0-14", "0-15"), ("15-31", "15-31")]), ["0-14", "15-31"]);
        assert_eq!(of(&[("0-15", "0-14"), ("16-31", "15-31")]), ["0-14", "15-31"]);
        assert_eq!(
            assigned("15", &[("0-15", "0-14"), ("16-31", "15-31")]).unwrap(),
            ["", "15"]
        );
        let missing = assigned("14-16", &[("0-15", "0-14"), ("16-31", "16-31")]).unwrap_err();
        assert!(
            missing.to_string().contains("everything of shards 15:"),
            "{missing}"
        );
    }
}
