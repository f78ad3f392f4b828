//! A planned switch: the old server is alive, stops counting, the centre applies the rest, the ledger is copied.

use std::time::Duration;

use anyhow::ensure;
use model::Timestamp;
use store::setup::{self, Identity};
use store::{Source, SourceState};

use super::new_server::{self, OldServer};
use crate::commands::region::Operator;
use crate::commands::region::replication::{wait_until_applied, wait_until_running, why_not};
use crate::commands::series::grouped;

/// Transactions that the centre may be behind when the region's workers are stopped: it applies them in a moment, and the workers
/// stand for no longer.
const BEHIND_MAX: u64 = 100;

/// Longest wait for the centre to come so close.
const CLOSE_LIMIT: Duration = Duration::from_secs(600);

/// Longest wait for the centre to apply the rest, while the region counts nothing.
const REST_LIMIT: Duration = Duration::from_secs(300);

/// Time without a transaction after which nobody counts on the old server: a worker writes at least once a second.
const STILL_FOR: Duration = Duration::from_millis(2_500);

/// Batches of the ledger that are copied between two lines of progress.
const PROGRESS_BATCHES: u64 = 500_000;

/// Fences the old server, and returns when the new one has the region's whole ledger and the centre everything that the old one has
/// counted. Nothing is changed at the centre yet.
///
/// # Errors
/// A server that cannot take the region over, replication that does not run or is too slow, a worker that ignores the fence, ledgers
/// that differ. Each says whether to run the command again or to take the switch back.
pub(super) async fn run(operator: &mut Operator, state: &SourceState, new: &Source) -> anyhow::Result<()> {
    let old = &state.source;
    let mut old_database = operator.database(old)?;
    let mut new_database = operator.database(new)?;
    let mut copied_until = None;
    let begun = inspect(operator, state, &mut old_database, new).await?;
    let domain = Identity::of(old_database.server()).await?.gtid_domain;
    if begun.is_stopped {
        println!(
            "{} counts no more, since an earlier run of this command",
            old.address()
        );
    } else {
        // Whatever takes long comes before the fence, behind which the region stands: most of the ledger, and what the centre is behind.
        // The ledger goes first, since the centre could fall behind again while it is copied.
        copied_until =
            Some(store::setup::copy_ledger(&mut old_database, &mut new_database, tell_progress()).await?);
        println!("most of the ledger is copied, while the region counts on");
        failpoint::crash("switch.ledger_begun");
        come_close(operator, &mut old_database, domain, old).await?;
        let moved_to = old_database.set_moved_to(Some(&new.address())).await?;
        failpoint::crash("switch.fenced");
        // The first fence stands: two switches to different servers must not both believe that theirs does.
        ensure!(
            moved_to.as_ref() == Some(&new.address()),
            "{} is on its way to {} meanwhile: somebody else switches it",
            old.region,
            moved_to.unwrap_or_default()
        );
        println!(
            "{} counts no more: its workers give their jobs back to the queue and wait",
            old.address()
        );
    }
    // Asked behind the fence, which was set when no earlier transaction was in progress any more: this is the binlog's end.
    let last = old_database.upkeep().last_written(domain).await?;
    let behind = wait_until_applied(&mut operator.centre, domain, last, 0, REST_LIMIT).await?;
    ensure!(
        behind == 0,
        "the centre lacks {behind} transactions of {} after {} s: see 'eventtracker region list'; run the command again, or \
         take it back with --to {}",
        old.region,
        REST_LIMIT.as_secs(),
        old.address()
    );
    // Before the ledger is compared: a worker that ignores the fence would change it at any moment.
    expect_stillness(&mut old_database, domain, last, old).await?;
    println!(
        "the centre has applied everything that it counted, up to {domain}/{last}, and nobody counts on it any more"
    );
    failpoint::crash("switch.applied");
    if begun.has_ledger {
        println!("{} has the ledger already", new.address());
        return Ok(());
    }
    take_ledger(&mut old_database, &mut new_database, copied_until, old).await
}

/// Prints, now and then, how many batches are copied.
fn tell_progress() -> impl FnMut(u64) {
    let mut next = PROGRESS_BATCHES;
    move |batches| {
        if batches >= next {
            println!("  … {} batches copied", grouped(batches));
            next = batches + PROGRESS_BATCHES;
        }
    }
}

/// Copies the rest of the ledger, behind the fence, and marks it as whole.
async fn take_ledger(
    old_database: &mut setup::RegionalServer,
    new_database: &mut setup::RegionalServer,
    copied_until: Option<Timestamp>,
    old: &Source,
) -> anyhow::Result<()> {
    let copied =
        store::setup::finish_ledger(old_database, new_database, copied_until, tell_progress()).await?;
    failpoint::crash("switch.ledger_copied");
    // An earlier switch that was taken back may have fenced the new server.
    new_database.set_moved_to(None).await?;
    // Last, since this mark means that the ledger is whole: after a crash before it, the next run copies again.
    new_database
        .set_moved_from(Some((&old.region, &old.address())))
        .await?;
    failpoint::crash("switch.ledger_marked");
    println!(
        "the ledger is copied, and both servers have the same: {} batches, {} flushes, {} counts in all",
        grouped(copied.batches),
        grouped(copied.flushes),
        grouped(copied.totals.total)
    );
    Ok(())
}

/// The steps that an earlier run, or another centre's, has done already.
struct Begun {
    /// Whether the old server is fenced.
    is_stopped: bool,
    /// Whether the new server has the whole ledger.
    has_ledger: bool,
}

/// Looks at both servers and at replication, before anything is changed.
///
/// # Errors
/// Whatever would lose or double counts.
async fn inspect(
    operator: &mut Operator,
    state: &SourceState,
    old_database: &mut setup::RegionalServer,
    new: &Source,
) -> anyhow::Result<Begun> {
    let Source { region, .. } = new;
    let old = state.source.address();
    let moved_to = old_database.fence().await?.moved_to;
    if moved_to.is_some() && !state.is_running() {
        // An earlier run may have stopped it just before it let the centre read the new server.
        operator.centre.start_replication(region).await?;
        wait_until_running(&mut operator.centre, region).await?;
    }
    ensure!(
        state.is_running() || moved_to.is_some(),
        "replication from {region} does not run, so the rest of its binlog would not arrive ({}): correct that first",
        why_not(state)
    );
    // Another centre may reach the same server by another address.
    if let Some(to) = moved_to.as_ref().filter(|to| **to != new.address())
        && !new_server::has_ledger(operator, new).await?
    {
        anyhow::bail!(
            "{region} is on its way from {old} to {to}: switch to that, or take it back with --to {old}"
        );
    }
    let totals = old_database.own_totals().await?;
    let has_ledger = new_server::inspect(
        operator,
        new,
        OldServer {
            address: &old,
            totals,
            answers: true,
        },
    )
    .await?;
    let is_stopped = moved_to.is_some();
    ensure!(
        !has_ledger || is_stopped,
        "{} has the ledger of region {region} as it was at an earlier attempt, and {old} has counted since: take a server that no \
         region has used",
        new.address()
    );
    Ok(Begun {
        is_stopped,
        has_ledger,
    })
}

/// Waits until the centre is close behind the old server.
///
/// # Errors
/// A centre that does not come close within [`CLOSE_LIMIT`].
async fn come_close(
    operator: &mut Operator,
    old_database: &mut setup::RegionalServer,
    domain: u32,
    old: &Source,
) -> anyhow::Result<()> {
    let last = old_database.upkeep().last_written(domain).await?;
    let behind = wait_until_applied(&mut operator.centre, domain, last, BEHIND_MAX, CLOSE_LIMIT).await?;
    ensure!(
        behind <= BEHIND_MAX,
        "the centre is still {behind} transactions behind {} after {} s, and its workers would stand for as long: nothing was changed; run the \
         command again when it has caught up",
        old.region,
        CLOSE_LIMIT.as_secs()
    );
    Ok(())
}

/// Checks that nothing is written to the old server after transaction `last`: a worker from before regions could move does not look at
/// the fence.
///
/// # Errors
/// Somebody writes there.
async fn expect_stillness(
    old_database: &mut setup::RegionalServer,
    domain: u32,
    last: u64,
    old: &Source,
) -> anyhow::Result<()> {
    tokio::time::sleep(STILL_FOR).await;
    let now = old_database.upkeep().last_written(domain).await?;
    ensure!(
        now == last,
        "{} was written to {} times since its workers were told to stop: stop every worker of {} that is of an earlier version, \
         and whoever else writes there, and run the command again",
        old.address(),
        now - last,
        old.region
    );
    Ok(())
}
