//! `eventtracker region switch`: a region's database is another server from now on.
//!
//! Planned, with both servers alive, in this order:
//!
//! 1. The old server is fenced: no worker counts on it any more. Before that neither its binlog nor its ledger has an end, and
//!    whatever is applied or copied may lack the next flush.
//! 2. The centre applies the rest of its binlog, since it will not read that again.
//! 3. The ledger is copied and compared. Without the whole of it, the new server would count batches again that the old one has
//!    counted and whose jobs or keys come once more.
//! 4. The centre is pointed at the new server. Until then nothing was given up, and the switch can be taken back.
//! 5. The files are written, the centre's counts are compared with the new server's, and workers are started by the operator.
//!
//! Each step is durable and may be repeated, so an interrupted switch is completed by running the command again, or taken back by
//! switching to the old address.

mod back;
mod files;
mod new_server;
mod planned;
mod takeover;
mod unplanned;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use store::Source;
use store::setup;

use self::files::Files;
use super::{Centre, Operator, check_name};
use crate::commands::causes::Causes;

#[derive(Debug, Args)]
pub(crate) struct Switch {
    /// The region's name
    #[arg(value_name = "REGION")]
    name: String,
    /// Host and port of the new MariaDB, as the centre reaches it
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    to: (String, u16),
    /// The authorities of the new server's certificate, a file in PEM; the old server's where not given
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// The region's configuration, to write the new address into its `[regional]`
    #[arg(long, value_name = "FILE")]
    region_config: Option<PathBuf>,
    /// Go on although the old server does not answer
    #[arg(long)]
    accept_loss: bool,
    #[command(flatten)]
    centre: Centre,
}

/// Host and port of `HOST:PORT`.
fn address(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("write it as HOST:PORT")?;
    let port = port.parse().map_err(|_| "the port is no number up to 65535")?;
    Ok((host.to_owned(), port))
}

impl Switch {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        check_name(&self.name)?;
        let mut operator = Operator::open(&self.centre).await?;
        let state = operator.source(&self.name).await?.with_context(|| {
            format!(
                "region {} is no source of this centre: 'eventtracker region list' shows those that are",
                self.name
            )
        })?;
        let known = operator.tls_ca(&self.name).or(state.source.tls_ca.clone());
        let (host, port) = self.to;
        let new = Source {
            region: self.name.clone(),
            host,
            port,
            tls_ca: self.tls_ca.or(known),
        };
        let _alone = keep_others_away(&operator, &new, &state.source).await?;
        // Before anything is changed: files that cannot be written would leave a switch that only the centre knows of.
        let mut files = Files::open(&operator, &new, self.region_config.as_deref())?;
        if state.source.is_at_same_place(&new) {
            return back::run(&mut operator, &mut files, &new, self.accept_loss).await;
        }
        let old = &state.source;
        // Whether the switch is planned is not the operator's to say: a server that answers has a ledger, and may not be left without.
        let outcome = operator.database(old)?.upkeep().clock().await;
        let is_planned = outcome.is_ok();
        match outcome {
            Ok(_) => {
                println!(
                    "planned: {} answers, so nothing is lost when {} moves to {}",
                    old.address(),
                    old.region,
                    new.address()
                );
                planned::run(&mut operator, &state, &new).await?;
            }
            Err(error) if error.is_answer() => {
                let context = format!(
                    "{} is alive and refuses, so it cannot be left without its ledger: correct that first",
                    old.address()
                );
                return Err(anyhow::Error::from(error).context(context));
            }
            Err(error) => {
                println!(
                    "unplanned: {}'s database does not answer: {}",
                    old.region,
                    Causes(&error.into())
                );
                unplanned::tell_bounds(&mut operator, &state, files.ledger_window_s()).await?;
                if !self.accept_loss {
                    println!(
                        "nothing was changed: bring the old server back, or go on with --accept-loss. Make sure before that it is gone for \
                         good and not only out of reach from here: whatever workers count on it afterwards is lost"
                    );
                    return Ok(ExitCode::FAILURE);
                }
                unplanned::run(&mut operator, old, &new).await?;
            }
        }
        takeover::run(&mut operator, &new).await?;
        // After the centre, whose state decides what a repetition does: interrupted here, that one finds the region where it should
        // be, and writes the files. Before the audit, which may take minutes and fail without making the switch undone.
        failpoint::crash("switch.taken_over");
        files.write()?;
        let verified = takeover::verify(&mut operator, &new).await?;
        files.tell_what_is_left(&operator, &old.address(), is_planned)?;
        Ok(verified)
    }
}

/// Locks both servers against other switches, as long as the returned databases live: two at once, of two operators or at two centres,
/// could each undo a step of the other. A server that does not answer is looked at later, with its reason.
async fn keep_others_away(
    operator: &Operator,
    new: &Source,
    old: &Source,
) -> anyhow::Result<Vec<setup::RegionalServer>> {
    let mut databases = vec![operator.database(new)?];
    if old != new {
        databases.push(operator.database(old)?);
    }
    let mut held = Vec::new();
    for mut database in databases {
        match database.hold_switch().await {
            Ok(()) => held.push(database),
            Err(error @ store::Error::Switching { .. }) => return Err(error.into()),
            Err(_) => {}
        }
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port() {
        assert_eq!(address("db-2.eu:3306"), Ok(("db-2.eu".to_owned(), 3306)));
        assert!(address("db-2.eu").is_err() && address("db-2.eu:x").is_err());
    }
}
