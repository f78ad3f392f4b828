//! `eventtracker region list|add|remove|switch`: the regions that a centre replicates.

mod add;
mod config_file;
mod files;
mod list;
mod option_file;
mod remove;
mod replication;
mod switch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::{Args, Subcommand};
use store::setup::{self, RegionAccounts};
use store::{Account, Server, Source, SourceState};

use super::schema::Admin;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum RegionCommand {
    /// Show every region that the centre replicates or should; exit code 1 if one does not run or the file disagrees
    List(Centre),
    /// Replicate from a new region from now on, also after a restart
    Add(add::Add),
    /// Replicate from a region no more; its counts stay
    Remove(remove::Remove),
    /// Let a region move to another MariaDB server, with its ledger
    ///
    /// While the old server answers, nothing is lost: its workers stop counting, the centre applies what is left, the ledger
    /// is copied, and the new server takes over. Run it again if it was interrupted; --to the old address takes it back.
    ///
    /// When the old server does not answer, what it had counted and not sent is lost, and what was counted but is still
    /// queued may count again. The command says how much that can be, and goes on only with --accept-loss.
    Switch(switch::Switch),
}

#[derive(Debug, Args)]
pub(crate) struct Centre {
    /// The centre's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct OptionFile {
    /// The central MariaDB's option file, which has a line for each region
    #[arg(
        long = "mariadb-options",
        default_value = "/etc/mysql/mariadb.conf.d/60-eventtracker.cnf",
        value_name = "FILE"
    )]
    path: PathBuf,
}

impl RegionCommand {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(centre) => list::run(&centre).await,
            Self::Add(command) => command.run().await,
            Self::Remove(command) => command.run().await,
            Self::Switch(command) => command.run().await,
        }
    }
}

/// An operator at a centre, as every command here needs it: the centre under its administrator, its file, the regions' accounts.
struct Operator {
    config: Config,
    config_path: PathBuf,
    centre: setup::Centre,
    accounts: RegionAccounts,
}

impl Operator {
    /// Reads the centre's configuration. Connects when the first command needs it.
    ///
    /// # Errors
    /// A configuration that cannot be read, or lacks a section of the centre.
    fn open(centre: &Centre) -> anyhow::Result<Self> {
        let config = Config::read(&centre.config)?;
        let central = config.file.section(config.central.as_ref(), "central")?;
        Ok(Self {
            centre: setup::Centre::new(centre.admin.of(central)),
            accounts: config.region_accounts()?,
            config_path: centre.config.clone(),
            config,
        })
    }

    /// The centre under the keeper's account, which audits.
    fn centre_as_keeper(&self) -> Server {
        let Account { user, password } = &self.accounts.housekeeping;
        self.centre.server().with_user(user, Some(password.clone()))
    }

    /// The state of replication from `region`; `None` where the centre has no connection to it.
    async fn source(&mut self, region: &str) -> anyhow::Result<Option<SourceState>> {
        let sources = self.centre.upkeep().sources().await?;
        Ok(sources.into_iter().find(|state| state.source.region == region))
    }

    /// The authorities that the file has for a region's database.
    fn tls_ca(&self, region: &str) -> Option<PathBuf> {
        let mut sources = self.config.source.iter();
        sources.find(|source| source.region == region)?.tls_ca.clone()
    }

    /// A region's database under the keeper's account.
    fn database(&self, source: &Source) -> anyhow::Result<setup::RegionalServer> {
        Ok(setup::RegionalServer::new(
            source.checked_server(&self.accounts.housekeeping)?,
        ))
    }
}

/// Checks a region's name, by the rule that the sample configuration states: it becomes a word in option files and in SQL.
fn check_name(region: &str) -> anyhow::Result<()> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    ensure!(
        region.bytes().all(is_plain) && (1..=32).contains(&region.len()),
        "region name '{region}' may only have lower-case letters, digits and '-', at most 32 of them"
    );
    Ok(())
}
