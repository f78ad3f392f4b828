//! `eventtracker shard join`: a further server of a centre that counts already.

use anyhow::{Context, ensure};
use store::setup::{self, ShardSnapshot};

use super::Files;
use crate::commands::region::files::Editable;
use crate::commands::region::option_file;
use crate::commands::region::replication::wait_until_running;
use crate::commands::series::grouped;
use crate::config::Config;

/// Makes a server without shards one of the centre: with what every server has, and replicating from each region.
///
/// # Errors
/// A server that has shards; a file that cannot be changed; a region that cannot be reached; a server that refuses or does not answer. It may
/// be repeated.
pub(super) async fn run(files: &Files, name: &str) -> anyhow::Result<()> {
    let config = Config::read(&files.centre.config)?;
    let members = files.centre.members()?;
    let mut joining = members.named(name)?.clone();
    let model = members
        .iter()
        .find(|member| member.name() != name && !member.shards.is_empty());
    let model = model.with_context(|| format!("there is no server beside {name} that has shards"))?;
    let mut options = Editable::open(files.options_of(&joining)?)?;
    let mut centre = setup::Centre::new(joining.clone());
    centre.hold_replication().await?;
    joining.shards = centre.note_shards().await?;
    ensure!(
        joining.shards.is_empty(),
        "{name} has shards {} already: 'eventtracker shard move' brings more",
        joining.shards
    );
    // First: a server that restarts with a connection and without the lines applies more than it should.
    let mut text = options.text.clone();
    for source in &config.source {
        text = option_file::with_region(&text, &source.region, joining.shards)
            .with_context(|| format!("{} cannot be changed", options.path()))?;
    }
    if options.replace(text)? {
        println!("{} says what {name} applies of each region", options.path());
    }
    failpoint::crash("join.options_written");
    let mut snapshot = ShardSnapshot::begin(&model.server).await?;
    let tell =
        |table: &str, rows: u64| println!("copied from {}: {} rows of {table}", model.name(), grouped(rows));
    centre.join(&mut snapshot, tell).await?;
    failpoint::crash("join.copied");
    // The rows that make a region one of the centre came with the copy.
    for source in &config.source {
        setup::start_source(&joining, source, &config.region_accounts()?).await?;
        wait_until_running(&mut centre, &source.region).await?;
        println!("{name} replicates from {}", source.region);
    }
    println!(
        "verified: {name} is a server of the centre; 'eventtracker shard split' or 'move' gives it shards"
    );
    Ok(())
}
