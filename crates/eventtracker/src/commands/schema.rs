//! `eventtracker schema apply|check`: tables and accounts of a region's or the centre's database.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{bail, ensure};
use clap::{Args, Subcommand};
use store::setup::{Difference, Patience, Role, Site, Waiting};
use store::{Member, Members, Password, Server};

use super::causes::Causes;
use crate::config::Config;
use crate::interrupts::stop_signal;

/// The environment variable that an administrator's password is taken from.
const ADMIN_PASSWORD: &str = "EVENTTRACKER_ADMIN_PASSWORD";

/// The table in which a server notes which shards it has.
const OWN_SHARD: &str = "eventtracker.OwnShard";

#[derive(Debug, Subcommand)]
pub(crate) enum Schema {
    /// Create what is missing: databases, tables, views, accounts and, at the centre, replication from each source
    Apply(Target),
    /// Compare tables, views and procedures with what they should be; exit code 1 if they differ
    Check(Target),
}

#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The region's or the centre's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Of the centre's servers only this one, where it has several
    #[arg(long = "server", value_name = "NAME")]
    server: Option<String>,
    #[command(flatten)]
    admin: Admin,
}

/// Who may change what the roles may not.
#[derive(Debug, Args)]
pub(crate) struct Admin {
    /// The administrator's account on that server; its password, if any, in EVENTTRACKER_ADMIN_PASSWORD
    #[arg(long = "admin", default_value = "root", value_name = "USER")]
    user: String,
}

impl Admin {
    /// The server as its administrator reaches it.
    pub(crate) fn of(&self, server: &Server) -> Server {
        let password = std::env::var_os(ADMIN_PASSWORD).map(|_| Password::Env(ADMIN_PASSWORD.to_owned()));
        server.with_user(&self.user, password)
    }

    /// The servers of a centre as their administrator reaches them.
    pub(crate) fn of_centre(&self, members: &Members) -> Members {
        let password = std::env::var_os(ADMIN_PASSWORD).map(|_| Password::Env(ADMIN_PASSWORD.to_owned()));
        members.with_user(&self.user, password.as_ref())
    }
}

impl Schema {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Apply(target) => apply(&target).await.map(|()| ExitCode::SUCCESS),
            Self::Check(target) => check(&target).await,
        }
    }
}

impl Target {
    /// The servers as their administrator reaches them: the region's, and those of the centre, as far as the configuration has them.
    fn servers(&self, config: &Config) -> anyhow::Result<Vec<(Site, Member)>> {
        let mut servers = Vec::new();
        if let Some(regional) = config.regional.as_ref().filter(|_| self.server.is_none()) {
            servers.push((Site::Regional, Member::from(self.admin.of(regional))));
        }
        if config.central.is_some() || self.server.is_some() {
            let members = self.admin.of_centre(&config.members()?);
            match &self.server {
                Some(name) => servers.push((Site::Central, members.named(name)?.clone())),
                None => servers.extend(members.iter().map(|member| (Site::Central, member.clone()))),
            }
        }
        if servers.is_empty() {
            return Err(config.file.lacks("neither [regional] nor [central]", None));
        }
        Ok(servers)
    }
}

async fn apply(target: &Target) -> anyhow::Result<()> {
    let config = Config::read(&target.config)?;
    let stop = stop_signal()?;
    for (site, member) in target.servers(&config)? {
        let admin = &member.server;
        let progress = |waiting: Waiting<'_>| eprintln!("{admin}: {}", sentence(&waiting));
        store::setup::apply(admin, site, Patience::UPGRADE, progress, stop.cancelled()).await?;
        println!("{admin}: tables are in place");
        // Tables first: accounts are granted rights on them by name.
        tokio::select! {
            outcome = set_up_accounts(&config, site, &member) => outcome?,
            () = stop.cancelled() => bail!("stopped: run the command again to go on"),
        }
        println!("{admin}: accounts are in place");
        if site == Site::Central {
            match store::setup::load_zones(admin).await {
                Ok(true) => println!("{admin}: time zones are loaded"),
                Ok(false) => {}
                // Counts, and whatever is in UTC, do without time zones.
                Err(error) => eprintln!("{admin}: time zones are not loaded: {}", Causes(&error.into())),
            }
        }
    }
    Ok(())
}

/// A sentence on what is waited for.
fn sentence(waiting: &Waiting<'_>) -> String {
    let (statement, waited_s) = (waiting.statement, waiting.waited.as_secs());
    if waiting.is_in_use {
        format!(
            "others have the table of '{statement}' open ({waited_s} s): it is tried again, so that they can go on"
        )
    } else {
        format!("at '{statement}' for {waited_s} s")
    }
}

/// Sets up the accounts of a site and, at the centre, replication from each source.
async fn set_up_accounts(config: &Config, site: Site, member: &Member) -> anyhow::Result<()> {
    let (file, admin) = (&config.file, &member.server);
    match site {
        Site::Regional => {
            let regional = file.section(config.regional.as_ref(), "regional")?;
            Role::Worker.ensure(&regional.account()?, admin).await?;
            let replication = file.section(config.replication.as_ref(), "replication")?;
            Role::Replication.ensure(replication, admin).await?;
            let housekeeping = file.section(config.housekeeping.as_ref(), "housekeeping")?;
            Role::RegionalKeeper.ensure(housekeeping, admin).await?;
        }
        Site::Central => {
            let central = file.section(config.central.as_ref(), "central")?;
            Role::Api.ensure(&central.account()?, admin).await?;
            let analyst = file.section(config.analyst.as_ref(), "analyst")?;
            Role::Analyst.ensure(analyst, admin).await?;
            let housekeeping = file.section(config.housekeeping.as_ref(), "housekeeping")?;
            Role::CentralKeeper.ensure(housekeeping, admin).await?;
            let (members, account) = config.members_as_keeper()?;
            let beside = members.beside(member.name(), &config.other_centre, &account)?;
            store::setup::check_others(admin, &beside).await?;
            // Before the first of them is attached: one that cannot be reached now must not be taken for none.
            store::setup::Centre::new(member.clone())
                .expect(&config.source)
                .await?;
            let mut centre = store::setup::Centre::new(member.clone());
            if member.server.name.is_some() {
                centre.hold_replication().await?;
            }
            let own = centre.read_shards().await?;
            ensure!(
                member.server.name.is_some() || own == member.shards,
                "{admin} has shards {own} alone: it is one of several servers, or a copy of one, and no centre by itself"
            );
            if own != member.shards {
                println!(
                    "{admin}: has shards {own}, and the file says {}: correct the file",
                    member.shards
                );
            }
            if own.is_empty() && centre.upkeep().positions().await?.is_empty() {
                println!(
                    "{admin}: replicates from no region yet: 'eventtracker shard join' lets it begin where another server is"
                );
                return Ok(());
            }
            let member = &Member {
                server: member.server.clone(),
                shards: own,
            };
            for source in &config.source {
                store::setup::start_source(member, source, &config.region_accounts()?).await?;
                println!(
                    "{admin}: replicates from {} at {}:{}",
                    source.region, source.host, source.port
                );
            }
            // Last: nothing is whole on a server that cannot begin where the regions do.
            centre.note_shards().await?;
        }
    }
    Ok(())
}

async fn check(target: &Target) -> anyhow::Result<ExitCode> {
    let config = Config::read(&target.config)?;
    let mut code = ExitCode::SUCCESS;
    for (site, member) in target.servers(&config)? {
        let admin = &member.server;
        let differences = store::setup::check(admin, site).await?;
        let mut differences: Vec<String> = differences.iter().map(told).collect();
        // Without the table it is not known yet what should be applied.
        if site == Site::Central && !differences.iter().any(|told| told.starts_with(OWN_SHARD)) {
            differences.extend(filters(&member).await?);
        }
        if site == Site::Central && store::setup::lacks_zones(admin).await? {
            differences.push(
                "MariaDB has no time zones, so CONVERT_TZ() gives analysts NULL: run 'eventtracker schema apply' on a machine with \
                 Debian's mariadb-client and tzdata"
                    .to_owned(),
            );
        }
        for difference in &differences {
            eprintln!("{admin}: {difference}");
        }
        if differences.is_empty() {
            println!("{admin}: every table, view, procedure and filter is as it should be");
        } else {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// Sentences on regions of which a server applies other tables than its shards need.
async fn filters(member: &Member) -> anyhow::Result<Vec<String>> {
    let mut centre = store::setup::Centre::new(member.clone());
    let own = centre.held().await?.applied;
    let sources = centre.upkeep().sources().await?;
    let wrong = sources.iter().filter(|state| !state.is_limited_to(own));
    let told = |state: &store::SourceState| {
        format!(
            "of region {} it applies '{}', and should apply {} for shards {own}",
            state.source.region,
            state.wild_do_table,
            store::wild_do_tables(own).join(", "),
        )
    };
    let mut told: Vec<String> = wrong.map(told).collect();
    if own != member.shards {
        told.push(format!(
            "it has shards {own}, and the file says {}: correct the file",
            member.shards
        ));
    }
    Ok(told)
}

/// A difference with its remedy, and with both texts where there are such.
fn told(difference: &Difference) -> String {
    let remedy = if difference.is_mendable {
        "; run 'eventtracker schema apply'"
    } else {
        ""
    };
    match &difference.texts {
        None => format!("{difference}{remedy}"),
        Some((is, should_be)) => format!("{difference}{remedy}.\nit is:\n{is}\nit should be:\n{should_be}"),
    }
}
