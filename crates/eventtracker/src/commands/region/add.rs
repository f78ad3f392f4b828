//! `eventtracker region add`: the centre replicates from one more region.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use store::{Source, wild_do_tables};

use super::files::Editable;
use super::replication::{wait_until_applied, wait_until_running};
use super::{Centre, Operator, OptionFile, check_name, config_file, option_file};

/// Longest wait for the centre to apply a region's past, before the command says that it will take longer.
const FOLLOW_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The region's name, as its `[region]` has it
    #[arg(value_name = "REGION")]
    name: String,
    /// Its MariaDB, as the centre reaches it
    #[arg(long)]
    host: String,
    #[arg(long, default_value_t = 3306)]
    port: u16,
    /// The authorities of its certificate, a file in PEM, for encrypted connections; that of its [[source]] where not given
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    #[command(flatten)]
    centre: Centre,
    #[command(flatten)]
    options: OptionFile,
}

impl Add {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        check_name(&self.name)?;
        let mut operator = Operator::open(&self.centre).await?;
        let source = Source {
            tls_ca: self.tls_ca.or_else(|| operator.tls_ca(&self.name)),
            region: self.name,
            host: self.host,
            port: self.port,
        };
        let mut options = Editable::open(&self.options.path)
            .context("the centre's option file gets a line for the region; --mariadb-options names it")?;
        let mut config = Editable::open(&operator.config_path)?;
        let with_line = option_file::with_region(&options.text, &source.region, operator.centre.shards())
            .with_context(|| format!("{} cannot be changed", options.path()))?;
        let with_source = config_file::with_source(&config.text, &source)
            .with_context(|| format!("{} cannot be changed", config.path()))?;
        let is_connected = inspect(&mut operator, &source)
            .await
            .with_context(|| format!("{} cannot be added as region {}", source.address(), source.region))?;

        // Before the connection exists: a centre that restarts with the connection and without the line applies the ledger.
        say(
            options.replace(with_line)?,
            &options,
            "what limits what is applied of it",
        );
        failpoint::crash("add.options_written");
        if is_connected {
            println!("the centre has the connection already");
        } else {
            operator
                .centre
                .point_at(&source, &operator.accounts.replication)
                .await?;
            println!(
                "the centre has a connection to {}, limited to {}",
                source.address(),
                wild_do_tables(operator.centre.shards()).join(", ")
            );
        }
        failpoint::crash("add.connected");
        // Started last: once it runs, everything that a restart needs is in the files.
        say(config.replace(with_source)?, &config, "its [[source]]");
        failpoint::crash("add.config_written");
        operator.centre.start_replication(&source.region).await?;
        failpoint::crash("add.started");
        follow(&mut operator, &source).await
    }
}

/// Says whether a file was changed or had it already.
fn say(changed: bool, file: &Editable, what: &str) {
    let verb = if changed { "now has" } else { "had" };
    println!("{} {verb} {what}", file.path());
}

/// Returns whether the centre has the connection already, as it should be.
///
/// # Errors
/// A server whose counts could be lost or doubled at this centre.
async fn inspect(operator: &mut Operator, source: &Source) -> anyhow::Result<bool> {
    let region = &source.region;
    let state = operator.source(region).await?;
    if let Some(state) = state
        .as_ref()
        .filter(|state| !state.source.is_at_same_place(source))
    {
        anyhow::bail!(
            "region {region} is replicated from {}: 'eventtracker region switch {region} --to {}' lets it move",
            state.source.address(),
            source.address()
        );
    }
    let accounts = &operator.accounts;
    source.checked_server(&accounts.housekeeping)?;
    let identity = store::setup::check_identity(
        operator.centre.server(),
        source,
        &accounts.replication,
        Some(&source.region),
    )
    .await?;
    store::setup::check_region(&source.server(&accounts.housekeeping)).await?;
    store::setup::check_coverage(&mut operator.centre, source, &accounts.housekeeping).await?;
    store::setup::check_filter(&mut operator.centre, state.as_ref(), identity).await?;
    if state.is_none() {
        store::setup::check_past(&mut operator.centre, source, identity, &accounts.housekeeping).await?;
    }
    let mut database = operator.database(source)?;
    if let Some(to) = database.fence().await?.moved_to {
        anyhow::bail!(
            "the database at {} counts no more: its region has moved to {to}",
            source.address()
        );
    }
    let (own, here) = (
        database.own_totals().await?,
        operator.centre.totals_of(region).await?,
    );
    let is_known = operator
        .centre
        .upkeep()
        .positions()
        .await?
        .contains_key(&identity.gtid_domain);
    ensure!(
        own.flushes >= here.flushes && (is_known || here.flushes == 0),
        "this centre has {} counts of an earlier region {region} in {} flushes, and the one at {} has counted {} in {} as \
         another server: give the new region another name",
        here.total,
        here.flushes,
        source.address(),
        own.total,
        own.flushes
    );
    println!(
        "{} answers under both accounts: server_id {}, domain {}, set up as a region, {} counts in {} flushes",
        source.address(),
        identity.server_id,
        identity.gtid_domain,
        own.total,
        own.flushes
    );
    Ok(state.is_some_and(|state| {
        state.is_limited_to(operator.centre.shards()) && source.is_kept_by(&state.source)
    }))
}

/// Waits until replication runs and, for a while, until it has applied the region's past.
async fn follow(operator: &mut Operator, source: &Source) -> anyhow::Result<ExitCode> {
    let region = &source.region;
    let mut database = operator.database(source)?;
    let domain = database.upkeep().binlog().await?.gtid_domain;
    let last = database.upkeep().last_written(domain).await?;
    wait_until_running(&mut operator.centre, region).await?;
    match wait_until_applied(&mut operator.centre, domain, last, 0, FOLLOW_LIMIT).await? {
        0 => println!("replication runs; everything up to {domain}/{last} is applied"),
        behind => println!(
            "replication runs, {behind} transactions of its past are still to be applied: 'eventtracker region list' shows how far it is"
        ),
    }
    let state = operator.source(region).await?;
    ensure!(
        state.is_some_and(
            |state| source.is_kept_by(&state.source) && state.is_limited_to(operator.centre.shards())
        ),
        "the centre's connection to {region} is not what it should be: somebody else changed it meanwhile; run the command again"
    );
    println!("verified: {region} is a source of this centre, also after a restart of its MariaDB");
    for place in operator.elsewhere()? {
        println!("left to do: the same command {place}");
    }
    Ok(ExitCode::SUCCESS)
}
