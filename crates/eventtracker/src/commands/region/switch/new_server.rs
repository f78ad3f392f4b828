//! Inspection of the server that is to take a region over.

use anyhow::{Context, ensure};
use store::Source;
use store::setup::RegionTotals;

use crate::commands::region::Operator;

/// The server that the region leaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct OldServer<'a> {
    /// Host and port.
    pub(super) address: &'a str,
    /// The totals with which its ledger ends, or, where it does not answer, those that the centre has of it.
    pub(super) totals: RegionTotals,
    /// Whether it answers, so that it can be asked for its identity.
    pub(super) answers: bool,
}

/// Returns whether the new server has the region's ledger already, by an earlier attempt or another centre's switch.
///
/// # Errors
/// A server on which counts could be lost or doubled, or that refuses or does not answer.
pub(super) async fn inspect(
    operator: &mut Operator,
    new: &Source,
    old: OldServer<'_>,
) -> anyhow::Result<bool> {
    let inspected = ask(operator, new, old).await;
    inspected.with_context(|| format!("{} cannot take region {} over", new.address(), new.region))
}

/// Whether the region's whole ledger is there; false where the server does not answer.
pub(super) async fn has_ledger(operator: &Operator, new: &Source) -> anyhow::Result<bool> {
    let fence = operator.database(new)?.fence().await;
    Ok(fence.is_ok_and(|fence| fence.region.as_ref() == Some(&new.region)))
}

async fn ask(operator: &mut Operator, new: &Source, old: OldServer<'_>) -> anyhow::Result<bool> {
    let (region, address) = (&new.region, new.address());
    new.checked_server(&operator.accounts.housekeeping)?;
    let spared = (!old.answers).then_some(region.as_str());
    let centre = operator.centre.server();
    let identity = store::setup::check_identity(centre, new, &operator.accounts.replication, spared).await?;
    store::setup::check_region(&new.server(&operator.accounts.housekeeping)).await?;
    let mut database = operator.database(new)?;
    let fence = database.fence().await?;
    let is_read = operator
        .centre
        .upkeep()
        .positions()
        .await?
        .contains_key(&identity.gtid_domain);
    // A server that a switch was taken back from is fenced, too, and points back at the old one: it may be switched to again, unless
    // the centre has read it.
    if let Some(to) = fence.moved_to.filter(|to| to != old.address || is_read) {
        anyhow::bail!(
            "{address} counts no more: its region has moved from it to {to}; take a server that no region has used"
        );
    }
    let has_ledger = match fence.region {
        Some(owner) => {
            ensure!(
                owner == *region,
                "{address} has the ledger of region {owner}: take a server that no region has used"
            );
            true
        }
        None => false,
    };
    let own = database.own_totals().await?;
    if has_ledger {
        // A ledger that was copied before the old server counted on lacks its last batches, which could count again.
        ensure!(
            own.flushes >= old.totals.flushes && own.total >= old.totals.total,
            "{address} has the ledger of region {region} as it was {} flushes ago: take a server that no region has used",
            old.totals.flushes.saturating_sub(own.flushes)
        );
        store::setup::check_coverage(&mut operator.centre, new, &operator.accounts.housekeeping).await?;
    } else {
        let domain = identity.gtid_domain;
        // Replication skips what is at or before its position in a domain, without an error.
        ensure!(
            !is_read,
            "this centre has applied transactions of domain {domain} before, so it could skip some of {address}'s: give it a \
             gtid_domain_id and a server_id that were never used"
        );
        let written = database.upkeep().last_written(domain).await?;
        ensure!(
            written == 0,
            "{address} has written {written} transactions into its binlog already: take a server that no region has used, or, if \
             these are its administrator's, run RESET MASTER on it"
        );
        ensure!(
            own.flushes <= old.totals.flushes && own.total <= old.totals.total,
            "{address} has a ledger of its own, of {} counts in {} flushes: take a server that no region has used",
            own.total,
            own.flushes
        );
    }
    println!(
        "{address} answers under both accounts: server_id {}, domain {}, set up as a region, {}",
        identity.server_id,
        identity.gtid_domain,
        if has_ledger {
            "with the region's ledger"
        } else {
            "unused"
        }
    );
    Ok(has_ledger)
}
