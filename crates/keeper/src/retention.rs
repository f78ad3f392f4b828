//! Retention: months that are not kept any more are dropped, as whole partitions.

use std::num::NonZeroU32;
use std::time::Duration;

use model::{Day, Shard};
use store::upkeep::{self, PackedSize, Partition};
use store::{Error, Server};
use tokio_util::sync::CancellationToken;

use crate::agreement;
use crate::alarms::alarm;
use crate::findings::Findings;

/// Fewest bytes that a partition should hold: its file takes 5 MB at least.
const PARTITION_BYTES_MIN: u64 = 32_000_000;

/// The numbers of months that a partition may cover. The narrowest that holds enough is taken.
const WIDTHS: [i32; 3] = [1, 3, 12];

/// Pause between two passes.
const INTERVAL: Duration = Duration::from_secs(10);

/// Pause after a pass that failed: the first cut of a large table copies it, and a reader at its end undoes that.
const RETRY_AFTER: Duration = Duration::from_secs(600);

/// Makes a pass at regular times until `shutdown`.
pub(crate) async fn run(
    centre: &Server,
    keep_months: NonZeroU32,
    findings: &Findings,
    shutdown: &CancellationToken,
) {
    let mut centre = upkeep::Centre::new(centre.clone());
    let mut pause = INTERVAL;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let outcome = pass(&mut centre, keep_months.get()).await;
        pause = if outcome.is_err() { RETRY_AFTER } else { INTERVAL };
        let trouble = outcome.unwrap_or_else(|error| Some(error.with_causes()));
        let alarms = trouble.map(|trouble| {
            let sentence = format!("days that should be dropped are still there: {trouble}");
            tracing::warn!(sentence);
            alarm("", "retention", sentence)
        });
        findings.set(alarms.into_iter().collect());
    }
}

/// Drops partitions that ended more than `keep_months` before this month, and cuts partitions for the months to come. Returns why it did
/// not, where the centre's clock does not agree with the regions' or cannot be compared.
async fn pass(centre: &mut upkeep::Centre, keep_months: u32) -> Result<Option<String>, Error> {
    // The clock before the comparison: if it is set in between, the comparison shows it, and nothing is dropped by it.
    let today = Day::containing(centre.clock().await?.unix_ms().div_euclid(1000));
    if let Some(why) = agreement::objection(&centre.clocks().await?) {
        return Ok(Some(why));
    }
    let keep_months = i32::try_from(keep_months).unwrap_or(i32::MAX);
    let first_kept = today.month().saturating_sub(keep_months);
    for shard in Shard::all() {
        let partitions = centre.partitions(shard).await?;
        let ends: Vec<i32> = partitions
            .iter()
            .filter_map(|partition| Some(partition.before?.month()))
            .collect();
        // What is cut now is dropped by the next pass: `partitions` is from before the cut.
        if ends.last().is_none_or(|&end| end <= today.month()) {
            let size = centre.packed_size(shard).await?;
            let oldest = size
                .map_or(first_kept, |size| size.oldest.month())
                .min(first_kept);
            let bounds = bounds(ends.last().copied(), oldest, today.month(), width(size));
            centre
                .cut_partitions(shard, &bounds, partitions.is_empty())
                .await?;
            tracing::info!(%shard, ?bounds, "packed days were cut into partitions");
        }
        for Partition { name, before } in partitions {
            let Some(before) = before.filter(|before| before.month() <= first_kept) else {
                continue;
            };
            let dropped = centre.drop_partition(shard, &name, before).await?;
            metrics::counter!("keeper_dropped_rows_total").increment(dropped.rows);
            tracing::warn!(
                %shard,
                first = dropped.first.as_deref().unwrap_or("none"),
                %before,
                rows = dropped.rows,
                total = dropped.total,
                "dropped packed days, which are kept for {keep_months} months"
            );
        }
    }
    Ok(None)
}

/// The ends of the partitions that cover everything up to the month `now`, after those that exist. Months are counted from year 0.
fn bounds(last_end: Option<i32>, oldest: i32, now: i32, width: i32) -> Vec<Day> {
    // The first one has no beginning: what is older than anything that is kept goes into it, too.
    let first = last_end.unwrap_or(oldest.div_euclid(width) * width);
    let mut ends = Vec::new();
    if last_end.is_none() {
        ends.push(first);
    }
    let mut end = first;
    while end <= now {
        end = (end.div_euclid(width) + 1) * width;
        ends.push(end);
    }
    ends.into_iter().map(Day::first_of_month).collect()
}

/// The number of months that a shard's partitions cover.
fn width(size: Option<PackedSize>) -> i32 {
    let bytes_per_month = size.map_or(0, |size| {
        let months = u64::try_from(size.newest.month() - size.oldest.month() + 1).unwrap_or(1);
        size.bytes / months
    });
    let holds_enough =
        |&width: &i32| u64::try_from(width).is_ok_and(|width| bytes_per_month * width >= PARTITION_BYTES_MIN);
    let [.., widest] = WIDTHS;
    WIDTHS.into_iter().find(holds_enough).unwrap_or(widest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(year: i32, number: i32) -> i32 {
        12 * year + number - 1
    }

    fn shown(bounds: Vec<Day>) -> Vec<String> {
        bounds.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn partitions_reach_from_what_is_kept_to_the_present() {
        let months = bounds(None, month(2026, 9), month(2026, 11), 1);
        assert_eq!(
            shown(months),
            ["2026-09-01", "2026-10-01", "2026-11-01", "2026-12-01"]
        );
        let years = bounds(None, month(2024, 5), month(2026, 1), 12);
        assert_eq!(
            shown(years),
            ["2024-01-01", "2025-01-01", "2026-01-01", "2027-01-01"]
        );
        let next = bounds(Some(month(2026, 12)), month(2024, 5), month(2026, 12), 3);
        assert_eq!(shown(next), ["2027-01-01"]);
        let missed = bounds(Some(month(2026, 12)), month(2024, 5), month(2027, 2), 1);
        assert_eq!(shown(missed), ["2027-01-01", "2027-02-01", "2027-03-01"]);
    }

    #[test]
    fn small_shards_have_wide_partitions() {
        let size = |bytes| {
            Some(PackedSize {
                oldest: Day::first_of_month(month(2026, 1)),
                newest: Day::first_of_month(month(2026, 10)),
                bytes,
            })
        };
        assert_eq!(width(None), 12);
        assert_eq!(width(size(10_000_000)), 12);
        assert_eq!(width(size(110_000_000)), 3);
        assert_eq!(width(size(320_000_000)), 1);
    }
}
