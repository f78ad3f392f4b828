//! What a server must be like to take a region over.

use anyhow::ensure;
use store::{RegionTotals, Source};

use crate::commands::region::Desk;

/// Refuses a server on which counts could be lost or doubled. Returns whether it has the region's ledger already, by an
/// earlier attempt or another centre's switch.
///
/// `copied_from` is what the ledger that is going to be copied ends with.
pub(super) async fn inspect(
    desk: &mut Desk,
    new: &Source,
    copied_from: RegionTotals,
) -> anyhow::Result<bool> {
    let (region, address) = (&new.region, new.address());
    new.checked_server(&desk.accounts.housekeeping)?;
    let identity = store::check_identity(desk.centre.server(), new, &desk.accounts.replication, None).await?;
    store::check_region(&new.server(&desk.accounts.housekeeping)).await?;
    let mut post = desk.post(new)?;
    let fence = post.fence().await?;
    if let Some(to) = fence.moved_to {
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
    if has_ledger {
        store::check_coverage(&mut desk.centre, new, &desk.accounts.housekeeping).await?;
    } else {
        let domain = identity.gtid_domain;
        ensure!(
            !desk.centre.positions().await?.contains_key(&domain),
            "this centre has applied transactions of domain {domain} before, so it could skip some of {address}'s: give it a \
             gtid_domain_id and a server_id that were never used"
        );
        let written = post.last_written(domain).await?;
        ensure!(
            written == 0,
            "{address} has written {written} transactions into its binlog already: take a server that no region has used, or, if \
             these are its administrator's, run RESET MASTER on it"
        );
        let own = post.own_totals().await?;
        ensure!(
            own.flushes <= copied_from.flushes && own.total <= copied_from.total,
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
