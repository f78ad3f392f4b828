//! `eventtracker region list|add|remove|switch`: the regions that a centre replicates.

mod add;
pub(super) mod config_file;
pub(super) mod files;
mod list;
pub(super) mod option_file;
mod remove;
pub(super) mod replication;
mod switch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::{Args, Subcommand};
use store::setup::{self, RegionAccounts};
use store::{Member, Members, Server, Source, SourceState};

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
    /// Which of the centre's servers this is about, where it has several: the command is run for each, on its machine
    #[arg(long = "server", value_name = "NAME")]
    server: Option<String>,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct OptionFile {
    /// The central MariaDB's option file, which has a line for each region, or for each of a region and shard
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

/// An operator at one of a centre's servers, as every command here needs it: the server under its administrator, the centre's file, the
/// regions' accounts.
struct Operator {
    config: Config,
    config_path: PathBuf,
    centre: setup::Centre,
    accounts: RegionAccounts,
}

impl Operator {
    /// Reads the centre's configuration. Connects when the first command needs it, or to ask one of several servers for its shards.
    ///
    /// # Errors
    /// A configuration that cannot be read, or lacks a section of the centre; a centre with several servers, of which none is named, or which
    /// does not answer.
    async fn open(centre: &Centre) -> anyhow::Result<Self> {
        let config = Config::read(&centre.config)?;
        let members = config.members()?;
        let member = match &centre.server {
            Some(name) => members.named(name)?,
            None if members.is_several() => {
                let names: Vec<&str> = members.iter().map(Member::name).collect();
                anyhow::bail!(
                    "the centre has several servers: run the command for each of {}, on its machine, with --server NAME",
                    names.join(", ")
                )
            }
            None => members.first(),
        };
        let mut operator = Self::at(config, centre, member.clone()).await?;
        if members.is_several() {
            operator.centre.hold_replication().await?;
        }
        Ok(operator)
    }

    /// At each of the centre's servers, or the one that is named.
    ///
    /// # Errors
    /// As of [`Self::open`].
    async fn open_all(centre: &Centre) -> anyhow::Result<Vec<Self>> {
        let members = Config::read(&centre.config)?.members()?;
        let is_meant = |member: &&Member| centre.server.as_deref().is_none_or(|name| name == member.name());
        if let Some(name) = &centre.server {
            members.named(name)?;
        }
        let mut all = Vec::new();
        for member in members.iter().filter(is_meant) {
            all.push(Self::at(Config::read(&centre.config)?, centre, member.clone()).await?);
        }
        Ok(all)
    }

    async fn at(config: Config, centre: &Centre, member: Member) -> anyhow::Result<Self> {
        let member = Member {
            server: centre.admin.of(&member.server),
            shards: member.shards,
        };
        let is_one_of_several = member.server.name.is_some();
        let mut server = setup::Centre::new(member);
        if is_one_of_several {
            // By its own word: the file may be from before a move.
            server.read_shards().await?;
        }
        Ok(Self {
            centre: server,
            accounts: config.region_accounts()?,
            config_path: centre.config.clone(),
            config,
        })
    }

    /// All servers of the centre under the keeper's account, which audits.
    fn members_as_keeper(&self) -> anyhow::Result<Members> {
        Ok(self.config.members_as_keeper()?.0)
    }

    /// The name of the server; empty where it is the only one of its centre.
    fn own_name(&self) -> &str {
        self.centre.server().name.as_deref().unwrap_or_default()
    }

    /// The servers that the regions feed beside this one, under the keeper's account, each as sentences name it.
    fn beside(&self) -> anyhow::Result<Vec<(String, Server)>> {
        let (members, account) = self.config.members_as_keeper()?;
        Ok(members.beside(self.own_name(), &self.config.other_centre, &account)?)
    }

    /// Where the same command is to be run, too: the centre's other servers, and other centres.
    fn elsewhere(&self) -> anyhow::Result<Vec<String>> {
        let members = self.config.members()?;
        let siblings = members.iter().filter(|member| member.name() != self.own_name());
        let siblings =
            siblings.map(|member| format!("on the machine of {0}, with --server {0}", member.name()));
        let others = self.config.other_centre.iter();
        let others = others.map(|other| format!("at centre {}, with its own file", other.name));
        Ok(siblings.chain(others).collect())
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
