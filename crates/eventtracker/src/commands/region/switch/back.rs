//! A switch to the server that the centre reads already: one that had only begun is taken back, one that was carried out is completed.

use std::process::ExitCode;

use anyhow::ensure;
use store::Source;
use store::setup::{self, Identity};

use super::files::Files;
use super::takeover;
use super::unplanned::NOWHERE;
use crate::commands::region::Operator;
use crate::commands::region::replication::wait_until_running;

/// Completes or takes back, by whether `here` is fenced.
///
/// # Errors
/// The other server counts already, or cannot be asked without `accept_loss`; replication does not run; a server or a file refuses.
pub(super) async fn run(
    operator: &mut Operator,
    files: &mut Files,
    here: &Source,
    accept_loss: bool,
) -> anyhow::Result<ExitCode> {
    let mut database = operator.database(here)?;
    let fence = database.fence().await?;
    match fence.moved_to {
        Some(target) => {
            take_back(operator, here, &mut database, &target, accept_loss).await?;
            files.write()?;
            println!(
                "left to do: nothing; {}'s workers count again by themselves",
                here.region
            );
            Ok(ExitCode::SUCCESS)
        }
        None => {
            println!(
                "the centre replicates {} from {} already",
                here.region,
                here.address()
            );
            operator.centre.start_replication(&here.region).await?;
            wait_until_running(&mut operator.centre, &here.region).await?;
            files.write()?;
            let verified = takeover::verify(operator, here).await?;
            let old = fence.moved_from.as_deref().unwrap_or("the old server");
            files.tell_what_is_left(operator, old, old != NOWHERE)?;
            Ok(verified)
        }
    }
}

/// Lets the old server count again, if the new one has not counted yet and no centre reads it.
async fn take_back(
    operator: &mut Operator,
    here: &Source,
    database: &mut setup::RegionalServer,
    target: &str,
    accept_loss: bool,
) -> anyhow::Result<()> {
    // First the new server gives up, then the old one counts again: in the other order both could count for a moment, and only one
    // of them is read.
    match give_up(operator, here, target).await {
        Ok(()) => {}
        Err(error) if accept_loss => println!(
            "{target} is not asked whether it has counted already ({}), as --accept-loss says",
            crate::commands::causes::Causes(&error)
        ),
        Err(error) => {
            return Err(error.context(format!(
                "whether {target} has counted already must be known before {} may count again; if it is gone for good, pass \
                 --accept-loss",
                here.address()
            )));
        }
    }
    database.set_moved_to(None).await?;
    // An earlier run may have stopped it.
    operator.centre.start_replication(&here.region).await?;
    wait_until_running(&mut operator.centre, &here.region).await?;
    println!(
        "taken back: {} counts again, and {target} has no part in it",
        here.address()
    );
    Ok(())
}

/// Fences the server that was to take over, and takes the mark from it that it has the region's ledger: from now on that grows old.
///
/// # Errors
/// Another centre reads it, or workers count on it already: then the switch can only be completed.
async fn give_up(operator: &Operator, here: &Source, target: &str) -> anyhow::Result<()> {
    let (host, port) = super::address(target).map_err(anyhow::Error::msg)?;
    let target = Source {
        region: here.region.clone(),
        host,
        port,
        tls_ca: here.tls_ca.clone(),
    };
    for (name, server) in operator.beside()? {
        let sources = store::upkeep::Centre::new(server).sources().await?;
        ensure!(
            sources
                .iter()
                .all(|state| !state.source.is_at_same_place(&target)),
            "{name} reads {} already: complete the switch instead",
            target.address()
        );
    }
    let mut database = operator.database(&target)?;
    let domain = Identity::of(database.server()).await?.gtid_domain;
    // Fenced before it is asked: a worker that was started on it already could count between the question and the fence.
    database.set_moved_to(Some(&here.address())).await?;
    let written = database.upkeep().last_written(domain).await?;
    if written > 0 {
        // What was counted there is only there: its workers go on, and the switch has to be completed.
        database.set_moved_to(None).await?;
        anyhow::bail!(
            "workers count on {} already ({written} transactions): switch to it instead",
            target.address()
        );
    }
    database.set_moved_from(None).await?;
    Ok(())
}
