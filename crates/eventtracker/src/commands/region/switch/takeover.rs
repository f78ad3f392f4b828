//! The takeover: the centre reads the new server from now on.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use keeper::offset::{self, Comparison};
use store::upkeep::Offset;
use store::{Audit, Range, Source, Verdict};

use crate::commands::region::Operator;
use crate::commands::region::replication::{wait_until_applied, wait_until_running};
use crate::commands::series::grouped;

/// Longest wait for the centre to apply what the new server has written already, after another centre's switch.
const APPLIED_LIMIT: Duration = Duration::from_secs(300);

/// Comparisons of two clocks before the network between them is called too slow.
const COMPARISONS_MAX: usize = 5;

/// Points the centre at the new server, and returns when replication from it runs. Every step may be repeated.
///
/// # Errors
/// Clocks that cannot be compared, before anything is changed; replication that does not run; a server that refuses or does not answer.
pub(super) async fn run(operator: &mut Operator, new: &Source) -> anyhow::Result<()> {
    let region = &new.region;
    // First: what fails here has changed nothing.
    let offset = compare_clocks(operator, new).await?;
    // The claims of the old server's clock are restated while nothing is applied. Before the stop a last one could still arrive; once the
    // new server is read, its claims would stand beside those of another clock, and `complete_until` could be a time that is not
    // complete.
    operator.centre.stop_replication(region).await?;
    operator.centre.restate(region, offset).await?;
    operator
        .centre
        .point_at(new, &operator.accounts.replication)
        .await?;
    operator.centre.start_replication(region).await?;
    wait_until_running(&mut operator.centre, region).await?;
    // A pass of the keeper that was under way may have noted the old server's files once more.
    operator.centre.forget_files(region).await?;
    println!("the centre replicates from {}", new.address());
    Ok(())
}

/// The offset between the clocks of the centre and of the new server: it must be known before a claim by that clock arrives.
///
/// # Errors
/// Clocks that could not be compared, because answers take too long.
async fn compare_clocks(operator: &mut Operator, new: &Source) -> anyhow::Result<Offset> {
    let mut database = operator.database(new)?;
    for _ in 0..COMPARISONS_MAX {
        if let Some(Comparison { ahead_ms, there, .. }) =
            offset::compare(operator.centre.upkeep(), database.upkeep()).await?
        {
            println!("its clock is at most {ahead_ms} ms ahead of the centre's, which is noted");
            return Ok(Offset {
                ahead_ms,
                peak_ms: ahead_ms,
                peak_at: there,
            });
        }
    }
    anyhow::bail!(
        "the clocks of the centre and {} could not be compared: answers take more than a second; run the command again",
        new.address()
    )
}

/// Waits until the centre has applied what the new server has written so far, and audits.
///
/// # Errors
/// A centre that does not apply it within [`APPLIED_LIMIT`], or a server that refuses or does not answer. An audit that finds a gap is
/// no error: it is said, and the exit code is 1.
pub(super) async fn verify(operator: &mut Operator, new: &Source) -> anyhow::Result<ExitCode> {
    let mut database = operator.database(new)?;
    let domain = database.upkeep().binlog().await?.gtid_domain;
    let last = database.upkeep().last_written(domain).await?;
    let behind = wait_until_applied(&mut operator.centre, domain, last, 0, APPLIED_LIMIT).await?;
    ensure!(
        behind == 0,
        "the centre lacks {behind} transactions of {} after {} s: see 'eventtracker region list'",
        new.address(),
        APPLIED_LIMIT.as_secs()
    );
    let centre = operator.members_as_keeper()?;
    if centre.is_several() {
        return compare_totals(operator, new).await;
    }
    let range = Range::recent(SystemTime::now().into());
    let audit = store::audit(&centre, &operator.accounts.housekeeping, range).await?;
    tell(&audit, new)
}

/// Compares one server's total of the region with the region's own. An audit needs all servers at one position, and the others may still read
/// the old server.
async fn compare_totals(operator: &mut Operator, new: &Source) -> anyhow::Result<ExitCode> {
    let own = operator.database(new)?.own_totals().await?;
    let here = operator.centre.totals_of(&new.region).await?;
    if own == here {
        println!(
            "verified: {} counts of {} in {} flushes at {}, and the same at this server; 'eventtracker audit' compares all, once each server \
             reads the new one",
            grouped(own.total),
            new.region,
            grouped(own.flushes),
            new.address()
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "NOT verified: {} counts of {} in {} flushes at {}, and {} in {} at this server",
        grouped(own.total),
        new.region,
        grouped(own.flushes),
        new.address(),
        grouped(here.total),
        grouped(here.flushes)
    );
    Ok(ExitCode::FAILURE)
}

/// Says what the audit found of the region.
fn tell(audit: &Audit, new: &Source) -> anyhow::Result<ExitCode> {
    let region = audit
        .regions
        .iter()
        .find(|region| region.region == new.region)
        .with_context(|| {
            format!(
                "region {} is gone: somebody else removed it meanwhile",
                new.region
            )
        })?;
    match &region.verdict {
        Verdict::Equal if audit.gaps_total == 0 => {
            println!(
                "verified: {} counts of {} in {} flushes at {}, and the same at the centre",
                grouped(region.total),
                region.region,
                grouped(region.flushes),
                new.address()
            );
            Ok(ExitCode::SUCCESS)
        }
        Verdict::Equal => {
            println!(
                "NOT verified: the audit has {} gaps: run 'eventtracker audit'",
                audit.gaps_total
            );
            Ok(ExitCode::FAILURE)
        }
        Verdict::Gap(why) | Verdict::NotKnown(why) => {
            println!("NOT verified: {why}");
            Ok(ExitCode::FAILURE)
        }
    }
}
