//! Replication from a region to a centre is begun, and refused where it would lose or double counts.

mod coverage;
mod identity;

use self::coverage::check_same_server;
pub use self::coverage::{check_coverage, check_past};
pub use self::identity::{Identity, check_identity, check_other_centre};
use super::centre::Centre;
use crate::source::Source;
use crate::{Account, Error, Server};

/// The two accounts that a centre has in every region.
#[derive(Debug, Clone)]
pub struct RegionAccounts {
    /// Reads the binlog.
    pub replication: Account,
    /// Reads everything else.
    pub housekeeping: Account,
}

/// Makes the centre a replica of `source`. A source that is set up with the same address stays untouched and is only started.
///
/// # Errors
/// A name, host or password that cannot be quoted, a source that cannot be reached, has another server's identity or lacks
/// what this centre has not applied yet, or a statement that failed.
pub async fn start_source(
    centre_admin: &Server,
    source: &Source,
    accounts: &RegionAccounts,
) -> Result<(), Error> {
    source.checked_server(&accounts.replication)?;
    let identity = check_identity(centre_admin, source, &accounts.replication, Some(&source.region)).await?;
    let mut centre = Centre::new(centre_admin.clone());
    check_coverage(&mut centre, source, &accounts.housekeeping).await?;
    let sources = centre.upkeep().sources().await?;
    let state = sources.iter().find(|state| state.source.region == source.region);
    if state.is_none_or(|state| state.source != *source) {
        check_same_server(state, source, identity)?;
        check_past(&mut centre, source, identity, &accounts.housekeeping).await?;
        centre.point_at(source, &accounts.replication).await?;
    }
    centre.start_replication(&source.region).await
}
