//! A region's own total against the one that has reached the centre.

use std::time::Duration;

use mysql_async::prelude::Queryable;

use super::{RegionAudit, Verdict, number};
use crate::{Error, Server};

/// Longest wait for a region's totals.
const REGION_LIMIT: Duration = Duration::from_secs(10);

/// A region's own figures, read after the centre's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    total: u64,
    flushes: u64,
    /// Flushes after the centre's last one, and their counts.
    between: u64,
    between_count: u128,
}

/// Reads a region's total, and the flushes after the last one that is at the centre.
pub(super) async fn read(region: &Server, flushes_at_centre: u64) -> Result<Totals, Error> {
    const SQL: &str = "SELECT COALESCE(MAX(total), 0), COALESCE(MAX(flushes), 0), \
                       (SELECT COUNT(*) FROM eventtracker.CountedFlush WHERE number > ?), \
                       CAST((SELECT COALESCE(SUM(count), 0) FROM eventtracker.CountedFlush WHERE number > ?) AS CHAR) \
                       FROM eventtracker.CountedTotal";
    let mut conn = region.connect().await?;
    let ask = async {
        let row: Option<(u64, u64, u64, String)> = conn
            .exec_first(SQL, (flushes_at_centre, flushes_at_centre))
            .await?;
        let Some((total, flushes, between, count)) = row else {
            return Ok(None);
        };
        Ok(Some(Totals {
            total,
            flushes,
            between,
            between_count: number(&count)?,
        }))
    };
    let totals = region.limited("read the totals", REGION_LIMIT, ask).await?;
    totals.ok_or(Error::Shape { what: SQL })
}

/// The verdict on a region: its total must be the centre's and the flushes that lie between.
pub(super) fn verdict(centre: &RegionAudit, region: &Totals) -> Verdict {
    if region.flushes < centre.flushes || region.total < centre.total {
        return Verdict::Gap(format!(
            "the region's own total is {} after {} flushes, but the centre has {} after {}: the region's database went back in time",
            region.total, region.flushes, centre.total, centre.flushes
        ));
    }
    let missing = (region.flushes - centre.flushes).saturating_sub(region.between);
    if missing > 0 {
        return Verdict::NotKnown(format!(
            "{missing} of the {} flushes that have not reached the centre are pruned in the region",
            region.flushes - centre.flushes
        ));
    }
    if u128::from(region.total) == u128::from(centre.total) + region.between_count {
        Verdict::Equal
    } else {
        Verdict::Gap(format!(
            "the region counted {}, the centre has {}, and {} lie between",
            region.total, centre.total, region.between_count
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_must_add_up() {
        let centre = RegionAudit {
            region: "eu".to_owned(),
            sum: 100,
            total: 100,
            flushes: 10,
            is_source: true,
            verdict: Verdict::Equal,
        };
        let of = |total, flushes, between, between_count| {
            let region = Totals {
                total,
                flushes,
                between,
                between_count,
            };
            verdict(&centre, &region)
        };
        assert_eq!(of(100, 10, 0, 0), Verdict::Equal);
        assert_eq!(of(130, 12, 2, 30), Verdict::Equal);
        assert!(matches!(of(131, 12, 2, 30), Verdict::Gap(_)));
        assert!(matches!(of(90, 9, 0, 0), Verdict::Gap(_)));
        assert!(matches!(of(130, 12, 1, 20), Verdict::NotKnown(_)));
    }
}
