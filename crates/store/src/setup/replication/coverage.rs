//! Coverage: a region's binlog must still have everything that a centre has not applied yet.

use super::identity::Identity;
use crate::setup::centre::Centre;
use crate::setup::region::RegionalServer;
use crate::source::{Source, SourceState};
use crate::upkeep::{self, Binlog};
use crate::{Account, Error};

/// Refuses a source that has purged what this centre lacks, or that has written less than this centre has applied of it.
///
/// # Errors
/// `BinlogGap` or `BinlogBehind` with the remedy; or a server that refused or did not answer.
pub async fn check_coverage(centre: &mut Centre, source: &Source, account: &Account) -> Result<(), Error> {
    let mut region = upkeep::RegionalServer::new(source.server(account));
    let binlog = region.binlog().await?;
    let last = region.last_written(binlog.gtid_domain).await?;
    let applied = centre
        .upkeep()
        .positions()
        .await?
        .get(&binlog.gtid_domain)
        .copied();
    compare(&source.region, &binlog, last, applied.unwrap_or(0))
}

/// Refuses a server to which a region has moved, where this centre has never read it there: the counts from before are elsewhere.
///
/// # Errors
/// `PastElsewhere` with the remedy; or a server that refused or did not answer.
pub async fn check_past(
    centre: &mut Centre,
    source: &Source,
    identity: Identity,
    account: &Account,
) -> Result<(), Error> {
    let fence = RegionalServer::new(source.server(account)).fence().await?;
    match fence.moved_from {
        Some(from)
            if !centre
                .upkeep()
                .positions()
                .await?
                .contains_key(&identity.gtid_domain) =>
        {
            Err(Error::PastElsewhere {
                region: source.region.clone(),
                server: source.address(),
                from,
            })
        }
        _ => Ok(()),
    }
}

/// Refuses a connection that has left out tables of the shards that its server has now: what it has passed over does not come again.
///
/// # Errors
/// `FilterLacks` with the remedy; a server that refused or did not answer.
pub async fn check_filter(
    centre: &mut Centre,
    state: Option<&SourceState>,
    identity: Identity,
) -> Result<(), Error> {
    let shards = centre.shards();
    match state {
        Some(state)
            if !state.has_all_of(shards)
                && centre
                    .upkeep()
                    .positions()
                    .await?
                    .contains_key(&identity.gtid_domain) =>
        {
            Err(Error::FilterLacks {
                region: state.source.region.clone(),
                filter: state.wild_do_table.clone(),
                shards,
            })
        }
        _ => Ok(()),
    }
}

/// Refuses another server than the one that the region was replicated from: it needs the ledger, and its clock compared. The same server
/// may have got another address.
pub(super) fn check_same_server(
    state: Option<&SourceState>,
    source: &Source,
    identity: Identity,
) -> Result<(), Error> {
    match state {
        // Before it was first reached, nothing of it was applied.
        Some(state) if ![0, identity.server_id].contains(&state.server_id) => Err(Error::OtherServer {
            region: source.region.clone(),
            from: state.source.address(),
            to: source.address(),
        }),
        _ => Ok(()),
    }
}

/// Compares sequence numbers of the binlog's domain: the binlog's last one, and the last one that the centre has applied.
fn compare(region: &str, binlog: &Binlog, last: u64, applied: u64) -> Result<(), Error> {
    let domain = binlog.gtid_domain;
    // Where the server does not say where its oldest file starts, its own refusal has to do.
    let starts_after = binlog.files.first().and_then(|file| file.starts_after);
    if let Some(starts_after) = starts_after.filter(|&start| start > applied) {
        return Err(Error::BinlogGap {
            region: region.to_owned(),
            domain,
            starts_after,
            applied,
        });
    }
    if last < applied {
        return Err(Error::BinlogBehind {
            region: region.to_owned(),
            domain,
            last,
            applied,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upkeep::BinlogFile;

    #[test]
    fn what_a_centre_lacks_must_be_in_the_binlog() {
        let binlog = |starts: &[Option<u64>]| Binlog {
            gtid_domain: 2,
            files: starts
                .iter()
                .map(|&starts_after| BinlogFile {
                    name: "f".to_owned(),
                    starts_after,
                })
                .collect(),
        };
        let check = |starts: &[Option<u64>], last, applied| compare("eu", &binlog(starts), last, applied);
        // Never purged: also for a centre that knows nothing of the region yet.
        assert!(check(&[Some(0), Some(100)], 150, 0).is_ok());
        assert!(check(&[Some(100), Some(200)], 250, 100).is_ok());
        let gap = check(&[Some(100), Some(200)], 250, 99).unwrap_err().to_string();
        assert!(
            gap.contains("1 of them are gone") && gap.contains("younger backup"),
            "{gap}"
        );
        assert!(matches!(
            check(&[Some(100)], 250, 0),
            Err(Error::BinlogGap { .. })
        ));
        assert!(check(&[None], 250, 5).is_ok());
        assert!(matches!(
            check(&[Some(0)], 3, 500),
            Err(Error::BinlogBehind { .. })
        ));
    }
}
