//! The start of replication from a region to a centre, which is refused where it would lose or double counts.

mod coverage;
mod identity;

use self::coverage::check_same_server;
pub use self::coverage::{check_coverage, check_filter, check_past};
pub use self::identity::{Identity, check_identity, check_others};
use super::centre::Centre;
use crate::source::{Source, SourceState};
use crate::{Account, Error, Member};

/// The two accounts that a centre has in every region.
#[derive(Debug, Clone)]
pub struct RegionAccounts {
    /// The account that replication reads the binlog with.
    pub replication: Account,
    /// The account that the keeper and operators read everything else with.
    pub housekeeping: Account,
}

/// Makes one of a centre's servers a replica of `source`. A source that is set up with the same address stays untouched and is only started.
///
/// # Errors
/// `Word`, `Host` or `PasswordText` for what cannot be quoted; those of [`check_identity`], [`check_coverage`], [`check_filter`] and
/// [`check_past`]; `OtherServer` where the region was replicated from another server; a server that refused or did not answer.
pub async fn start_source(member: &Member, source: &Source, accounts: &RegionAccounts) -> Result<(), Error> {
    // All checks before the first change: what was applied wrongly cannot be taken back from the counts.
    source.checked_server(&accounts.replication)?;
    let spared = Some(&*source.region);
    let identity = check_identity(&member.server, source, &accounts.replication, spared).await?;
    let mut centre = Centre::new(member.clone());
    check_coverage(&mut centre, source, &accounts.housekeeping).await?;
    let sources = centre.upkeep().sources().await?;
    let state = sources.iter().find(|state| state.source.region == source.region);
    check_filter(&mut centre, state, identity).await?;
    let is_kept =
        |state: &SourceState| source.is_kept_by(&state.source) && state.is_limited_to(member.shards);
    if !state.is_some_and(is_kept) {
        check_same_server(state, source, identity)?;
        check_past(&mut centre, source, identity, &accounts.housekeeping).await?;
        centre.point_at(source, &accounts.replication).await?;
    }
    centre.start_replication(&source.region).await
}
