//! Merging: counts that came in blocks are moved into rows, in passes, of which each takes up the blocks that are there when it comes to
//! their shard.

#![expect(clippy::disallowed_methods, reason = "turns are paced by time")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Day, Shard, Shards};
use store::upkeep::{self, Alarm, BLOCKS_LISTED_MAX, Packed, Packer, StoredBlock};
use store::{Error, Member};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::first_open;
use crate::alarms::alarm;
use crate::findings::Findings;

/// Most bytes of text that one transaction takes up: some 30,000 counts, a quarter of a second. Of a closed day some 1,000 names, which may
/// take a millisecond each.
const BYTES_PER_TRANSACTION_MAX: u64 = 1 << 20;
const BYTES_OF_CLOSED_DAY_MAX: u64 = 32 << 10;

/// Longest pause behind a transaction.
const REST_MAX: Duration = Duration::from_secs(5);

/// Time after which a pass ends, whatever is left: the next one goes on from there ([`resumed`]).
const PASS_TIME_MAX: Duration = Duration::from_secs(30);

/// Pause from the end of a pass to the next one, which then takes up what several flushes have counted; as long as the pass has taken, if
/// that is longer.
const INTERVAL: Duration = Duration::from_secs(1);

/// Fewest transactions of a region that have come and are not applied, with which replication is busy and comes first: there is no pass
/// then, unless the last one was so long ago that reading would become slow.
const WAITING_MIN: u64 = 2;
const DEFERRED_MAX: Duration = Duration::from_secs(30);

/// Number of passes in a row in which somebody held a block's rows, after which that is an alarm.
const PASSES_HELD_MAX: u32 = 30;

/// The leftover of a pass.
#[derive(Debug, Default)]
pub(crate) struct Leftover {
    /// Blocks with rows that somebody held.
    held: BTreeSet<(Shard, StoredBlock)>,
    /// The first reason why one cannot be merged.
    error: Option<Error>,
    /// Whether there may be more blocks, which it had no time for or did not list.
    is_more: bool,
}

impl Leftover {
    pub(crate) fn is_none(&self) -> bool {
        self.held.is_empty() && self.error.is_none() && !self.is_more
    }
}

/// The merger of blocks. It makes one pass at a time, whether its own loop asks for it or packing does: two would only be in each other's
/// way.
pub(crate) struct Merger(Mutex<State>);

/// The connections of a pass, and where it begins.
struct State {
    packer: Packer,
    centre: upkeep::Centre,
    /// The shards whose blocks are merged.
    shards: Shards,
    /// The number of the shard that the next pass begins with.
    first: usize,
}

impl Merger {
    pub(crate) fn new(member: &Member) -> Self {
        Self(Mutex::new(State {
            packer: Packer::new(member.server.clone()),
            centre: upkeep::Centre::new(member.server.clone()),
            shards: member.shards,
            first: 0,
        }))
    }

    /// Merges until `shutdown`.
    pub(crate) async fn run(
        &self,
        mut centre: upkeep::Centre,
        findings: &Findings,
        shutdown: &CancellationToken,
    ) {
        let mut held = BTreeMap::new();
        let mut rest = INTERVAL;
        let mut last = Instant::now();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
            let begun = Instant::now();
            let outcome = match is_busy(&mut centre).await {
                Ok(true) if begun - last < DEFERRED_MAX => continue,
                Ok(_) => self.pass(shutdown).await,
                Err(error) => Err(error),
            };
            last = Instant::now();
            rest = INTERVAL.max(begun.elapsed());
            if let Ok(left) = &outcome {
                let passes = |block| held.get(block).map_or(1, |passes| passes + 1);
                held = left.held.iter().map(|block| (*block, passes(block))).collect();
            }
            let held = held
                .values()
                .filter(|&&passes: &&u32| passes >= PASSES_HELD_MAX)
                .count();
            findings.set(trouble(outcome, held).into_iter().collect());
        }
    }

    /// Makes one pass: merges the blocks that are there, shard by shard and in each the newest days first, until all are merged, its time is
    /// over or `shutdown`.
    ///
    /// # Errors
    /// The server did not answer, or refused to list the blocks. Each merge was a transaction of its own: the next pass finds what is left.
    pub(crate) async fn pass(&self, shutdown: &CancellationToken) -> Result<Leftover, Error> {
        let mut state = self.0.lock().await;
        let State {
            packer,
            centre,
            shards: own,
            first,
        } = &mut *state;
        let begun = Instant::now();
        // Once for the pass. A block of a day that closes meanwhile is merged into minutes, and packing finds it there.
        let before = first_open(centre.clock().await?);
        let mut left = Leftover::default();
        let mut shards = packer.shards_with_blocks().await?;
        shards.retain(|&shard| own.contains(shard));
        // From where the last pass ended, in rotation: a pass that has too little time must not always end before the same shards.
        let number = |shard: &Shard| usize::from(shard.number());
        shards.sort_by_key(|shard| (number(shard) < *first, number(shard)));
        for (at, shard) in shards.into_iter().enumerate() {
            *first = number(&shard);
            let blocks = packer.blocks(shard).await?;
            left.is_more |= blocks.len() >= BLOCKS_LISTED_MAX;
            for blocks in transactions(blocks, before) {
                if begun.elapsed() >= PASS_TIME_MAX || shutdown.is_cancelled() {
                    left.is_more = true;
                    *first = resumed(number(&shard), at);
                    return Ok(left);
                }
                let until = begun + PASS_TIME_MAX;
                merge(packer, shard, before, blocks, (until, shutdown), &mut left).await?;
            }
            *first += 1;
        }
        *first = 0;
        Ok(left)
    }
}

/// The number of the shard that the next pass begins with, after one that had no time for all of shard `number`, its `at`th from 0: the same
/// one; but a shard that had a whole pass to itself lets all others come first, or it could keep them waiting for ever.
fn resumed(number: usize, at: usize) -> usize {
    if at == 0 { number + 1 } else { number }
}

/// Whether replication that runs has two transactions or more to apply.
async fn is_busy(centre: &mut upkeep::Centre) -> Result<bool, Error> {
    let sources = centre.sources().await?;
    let applied = centre.positions().await?;
    let waiting = |(domain, received): (&u32, &u64)| {
        applied
            .get(domain)
            .map(|applied| received.saturating_sub(*applied))
    };
    Ok(sources
        .iter()
        .filter(|source| source.sql_running == "Yes")
        .flat_map(|source| source.received.iter().filter_map(waiting))
        .any(|waiting| waiting >= WAITING_MIN))
}

/// The alarm about a pass, if anything is wrong; the rows of `held` blocks were held for very long.
fn trouble(outcome: Result<Leftover, Error>, held: usize) -> Option<Alarm> {
    let reason = match outcome {
        Ok(Leftover { error: None, .. }) if held > 0 => format!(
            "rows of {held} blocks were held by other transactions each of the last {PASSES_HELD_MAX} times or more; look at \
             information_schema.INNODB_TRX"
        ),
        Ok(Leftover { error: None, .. }) => return None,
        Ok(Leftover {
            error: Some(error), ..
        })
        | Err(error) => {
            metrics::counter!("keeper_merging_failures_total").increment(1);
            error.with_causes()
        }
    };
    tracing::warn!(reason, "blocks of counts are not all merged");
    let sentence = format!(
        "blocks of counts are not all merged, which makes reading slower and loses nothing: {reason}"
    );
    Some(alarm("", "merging", sentence))
}

/// The blocks of each transaction: those of one day, as many as it takes. The newest day comes first, since it is the one that is asked for.
fn transactions(blocks: Vec<StoredBlock>, before: Day) -> Vec<Vec<StoredBlock>> {
    let mut of_days: BTreeMap<Day, Vec<StoredBlock>> = BTreeMap::new();
    for block in blocks {
        of_days.entry(block.day).or_default().push(block);
    }
    let mut transactions = Vec::new();
    for (day, blocks) in of_days.into_iter().rev() {
        let max = if day < before {
            BYTES_OF_CLOSED_DAY_MAX
        } else {
            BYTES_PER_TRANSACTION_MAX
        };
        let (mut some, mut bytes) = (Vec::new(), 0);
        for block in blocks {
            if bytes + block.bytes > max && !some.is_empty() {
                transactions.push(std::mem::take(&mut some));
                bytes = 0;
            }
            bytes += block.bytes;
            some.push(block);
        }
        transactions.push(some);
    }
    transactions
}

/// Merges blocks, by halves where somebody holds a row, one cannot be read, or it takes too long: only that one is left. The halves may be
/// tried at once, even where nobody knows whether a transaction was committed that took too long: the blocks are deleted in it, so the next
/// one finds them, and counts nothing twice, or finds none.
async fn merge(
    packer: &mut Packer,
    shard: Shard,
    before: Day,
    blocks: Vec<StoredBlock>,
    (until, shutdown): (Instant, &CancellationToken),
    left: &mut Leftover,
) -> Result<(), Error> {
    let mut slices = vec![blocks];
    while let Some(mut blocks) = slices.pop() {
        // Halving blocks that each take too long could go on for hours.
        if Instant::now() >= until || shutdown.is_cancelled() {
            left.is_more = true;
            return Ok(());
        }
        let begun = Instant::now();
        failpoint::crash("keeper.merging");
        let outcome = packer.merge(shard, &blocks, blocks[0].day < before).await;
        failpoint::crash("keeper.merged");
        let elapsed = begun.elapsed();
        let failed = match outcome {
            Ok(Packed::Moved { minutes, days, .. }) => {
                metrics::counter!("keeper_merged_blocks_total").increment(blocks.len() as u64);
                metrics::counter!("keeper_merged_minutes_total").increment(minutes);
                metrics::counter!("keeper_packed_days_total").increment(days);
                metrics::histogram!("keeper_merging_seconds").record(elapsed.as_secs_f64());
                None
            }
            Ok(Packed::Held) => Some(None),
            // The halves would fail, too.
            Err(error) if error.is_unreachable() => return Err(error),
            Err(error) => Some(Some(error)),
        };
        match failed {
            None => {}
            Some(_) if blocks.len() > 1 => {
                slices.push(blocks.split_off(blocks.len() / 2));
                slices.push(blocks);
            }
            Some(None) => left.held.extend(blocks.iter().map(|block| (shard, *block))),
            Some(Some(error)) => {
                left.error.get_or_insert(error);
            }
        }
        // Outside of the transaction, so that no row is held: replication has the centre for at least half of the time.
        tokio::time::sleep(elapsed.min(REST_MAX)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_with_more_than_a_pass_keeps_no_other_waiting() {
        // Seconds that each shard's blocks take, of which the second never has fewer.
        let mut left = [20_u64, 1_000, 50];
        let (mut first, mut passes) = (0, 0);
        while left[0] + left[2] > 0 {
            let mut time = PASS_TIME_MAX.as_secs();
            for at in 0..left.len() {
                let number = (first + at) % left.len();
                let spent = left[number].min(time);
                time -= spent;
                left[number] -= spent;
                if left[number] > 0 {
                    first = resumed(number, at);
                    break;
                }
            }
            left[1] = 1_000;
            passes += 1;
        }
        assert!(passes <= 8, "{passes} passes");
    }

    #[test]
    fn a_transaction_has_one_day_and_so_much_text() {
        let block = |day: i64, id, bytes| StoredBlock {
            day: Day::containing(86_400 * day),
            id,
            bytes,
        };
        let half = BYTES_PER_TRANSACTION_MAX / 2;
        let listed = vec![
            block(1, 1, 10),
            block(1, 2, 10),
            block(2, 3, half),
            block(2, 4, half),
            block(2, 5, 1),
            block(2, 6, 3 * half),
        ];
        let ids: Vec<Vec<u128>> = transactions(listed, Day::containing(86_400))
            .iter()
            .map(|blocks| blocks.iter().map(|block| block.id).collect())
            .collect();
        assert_eq!(ids, [vec![3, 4], vec![5], vec![6], vec![1, 2]]);
        let closed = vec![block(1, 1, BYTES_OF_CLOSED_DAY_MAX), block(1, 2, 1)];
        assert_eq!(transactions(closed, Day::containing(2 * 86_400)).len(), 2);
    }
}
