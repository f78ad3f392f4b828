//! Positions: how far a snapshot's counts are, exactly, and comparable between centres.

use std::collections::BTreeMap;

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
}
