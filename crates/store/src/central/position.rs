//! Positions: how far a snapshot's counts are, exactly, and comparable between centres.

use std::collections::BTreeMap;

use model::Shards;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, QueryResult, TextProtocol};

/// The number of each region's last flush that is in a snapshot. Flushes are numbered in the order of the region's binlog and
/// the number comes in the transaction of the counts, so a snapshot with the same or higher numbers has every count that
/// this one has, whichever centre it is of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<String, u64>);

impl Position {
    /// Whether this snapshot has every count that the one at `other` has.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let flushes = |region| self.0.get(region).copied().unwrap_or(0);
        other.0.iter().all(|(region, &theirs)| flushes(region) >= theirs)
    }

    /// Makes this position the least that covers both.
    pub fn join(&mut self, other: &Self) {
        for (region, &theirs) in &other.0 {
            let flushes = self.0.entry(region.clone()).or_default();
            *flushes = theirs.max(*flushes);
        }
    }
}

/// A part of what a centre has, of which an answer is as of one snapshot: the shards of one of its servers, or the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The names that were found.
    Names,
    /// The counts of these shards.
    Shards(Shards),
}

/// The positions of an answer's parts, or of all answers so far: those of different servers differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<Scope, Position>);

impl Scope {
    fn has_any_of(self, other: Self) -> bool {
        match (self, other) {
            (Self::Names, Self::Names) => true,
            (Self::Shards(one), Self::Shards(other)) => !one.common(other).is_empty(),
            _ => false,
        }
    }
}

impl Positions {
    /// Those of a centre's servers, which have read these shards, and names.
    #[must_use]
    pub fn of(parts: impl IntoIterator<Item = (Scope, Position)>) -> Self {
        let mut positions = Self::default();
        for (scope, position) in parts {
            positions.0.entry(scope).or_default().join(&position);
        }
        positions
    }

    /// Whether an answer at these has every count of the same shards, and every name, that the ones at `others` have.
    #[must_use]
    pub fn cover(&self, others: &Self) -> bool {
        self.0.iter().all(|(scope, position)| {
            let of_same = others.0.iter().filter(|(other, _)| scope.has_any_of(**other));
            of_same.into_iter().all(|(_, other)| position.covers(other))
        })
    }

    /// Makes these the least that cover both.
    pub fn join(&mut self, others: &Self) {
        for (&scope, position) in &others.0 {
            self.0.entry(scope).or_default().join(position);
        }
    }

    /// Forgets what is beyond `others` of the same shards and names, and takes these instead.
    pub fn go_back_to(&mut self, others: Self) {
        self.0
            .retain(|scope, _| !others.0.keys().any(|other| other.has_any_of(*scope)));
        self.0.extend(others.0);
    }
}

/// The question for the position of a snapshot. Of a region that was removed the totals stay, and no centre gets more any more.
pub(super) const SQL: &str = "SELECT region, flushes FROM bigdata_0.RegionTotal \
                              WHERE region IN (SELECT region FROM bigdata_0.RegionClock)";

/// Reads the answer to [`SQL`].
pub(super) async fn collect(
    answers: &mut QueryResult<'_, '_, TextProtocol>,
) -> Result<Position, mysql_async::Error> {
    let rows: Vec<(String, u64)> = answers.collect().await?;
    Ok(Position(rows.into_iter().collect()))
}

/// Reads the position of the snapshot of `conn`.
pub(super) async fn read(conn: &mut Conn) -> Result<Position, mysql_async::Error> {
    let mut answers = conn.query_iter(SQL).await?;
    let position = collect(&mut answers).await?;
    answers.drop_result().await?;
    Ok(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_covers_another_where_no_region_is_behind() {
        let position = |flushes: &[(&str, u64)]| {
            Position(
                flushes
                    .iter()
                    .map(|&(region, n)| (region.to_owned(), n))
                    .collect(),
            )
        };
        let (eu, both) = (position(&[("eu", 5)]), position(&[("eu", 4), ("us", 1)]));
        assert!(eu.covers(&eu) && eu.covers(&Position::default()));
        assert!(!both.covers(&eu) && !eu.covers(&both));
        let mut joined = both.clone();
        joined.join(&eu);
        assert_eq!(joined, position(&[("eu", 5), ("us", 1)]));
        assert!(joined.covers(&eu) && joined.covers(&both));
    }

    #[test]
    fn a_server_need_not_have_what_only_others_have_answered() {
        let eu = |flushes| Position([("eu".to_owned(), flushes)].into());
        let of = |shards: &str, flushes| (Scope::Shards(shards.parse().unwrap()), eu(flushes));
        let mut answered = Positions::of([of("0-15", 9), (Scope::Names, eu(7))]);
        assert!(Positions::of([of("16-31", 3)]).cover(&answered));
        assert!(!Positions::of([of("0-31", 8)]).cover(&answered));
        assert!(Positions::of([of("0-31", 9), (Scope::Names, eu(7))]).cover(&answered));
        assert!(!Positions::of([(Scope::Names, eu(6))]).cover(&answered));
        answered.join(&Positions::of([of("0-31", 8), of("0-15", 8)]));
        assert!(
            !Positions::of([of("3", 8)]).cover(&answered) && Positions::of([of("16", 8)]).cover(&answered)
        );
        answered.go_back_to(Positions::of([of("15-31", 2)]));
        assert!(Positions::of([of("0-31", 2)]).cover(&answered));
        assert!(!Positions::of([(Scope::Names, eu(6))]).cover(&answered));
    }
}
