//! `eventtracker region remove`: the centre replicates from a region no more.

use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;
use store::{SILENCE_S_MAX, Source, SourceState};

use super::files::Editable;
use super::replication::{CLAIM_LIMIT, wait_for_claim, why_not};
use super::{Centre, Operator, OptionFile, check_name, config_file, option_file};

#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The region's name
    #[arg(value_name = "REGION")]
    name: String,
    /// Go on although something of the region is not counted at the centre yet, which is then lost for it
    #[arg(long)]
    accept_loss: bool,
    #[command(flatten)]
    centre: Centre,
    #[command(flatten)]
    options: OptionFile,
}

impl Remove {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let region = &self.name;
        check_name(region)?;
        let mut operator = Operator::open(&self.centre).await?;
        let mut options = Editable::open(&self.options.path)
            .context("the centre's option file keeps a line for the region; --mariadb-options names it")?;
        let mut config = Editable::open(&operator.config_path)?;
        let without_source = config_file::without_source(&config.text, region)
            .with_context(|| format!("{} cannot be changed", config.path()))?;
        let without_line = option_file::without_region(&options.text, region);

        let state = operator.source(region).await?;
        let in_file = operator
            .config
            .source
            .iter()
            .find(|source| source.region == *region);
        let source = state.as_ref().map(|state| &state.source).or(in_file).cloned();
        if let Some(source) = &source {
            if !self.may_go(&mut operator, source, state.as_ref()).await {
                return Ok(ExitCode::FAILURE);
            }
        } else if without_source == config.text && without_line == options.text {
            return forget_the_rest(&mut operator, region).await;
        }
        operator.centre.end_replication(region).await?;
        println!("the centre replicates from {region} no more");
        failpoint::crash("remove.disconnected");
        // In this order: a centre that restarts with the connection and without the line applies the ledger.
        if options.replace(without_line)? {
            println!("{} has no line for it any more", options.path());
        }
        if config.replace(without_source)? {
            println!("{} has no [[source]] of it any more", config.path());
        }
        failpoint::crash("remove.files_written");
        // Asked once more, now that nothing arrives any more: the region may have counted since it was found drained.
        let missed = match &source {
            Some(source) => in_binlog(&mut operator, source).await,
            None => None,
        };
        operator.centre.forget_region(region).await?;
        failpoint::crash("remove.forgotten");
        println!("its state, clock and alarms are forgotten; its counts and their sums stay");
        if operator.source(region).await?.is_some() {
            anyhow::bail!("somebody else has set up replication from {region} meanwhile");
        }
        println!("verified: {region} is no source of this centre");
        if let Some(missed) = missed.filter(|_| !self.accept_loss) {
            println!(
                "! {missed}: if it goes on counting, stop its producers. Nothing is lost: 'eventtracker region add' brings the rest"
            );
            return Ok(ExitCode::FAILURE);
        }
        for place in operator.elsewhere()? {
            println!("left to do: the same command {place}");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Says what of the region is not counted at the centre, and whether it may be removed all the same.
    async fn may_go(&self, operator: &mut Operator, source: &Source, state: Option<&SourceState>) -> bool {
        let mut missing = left(operator, source).await;
        match state {
            // What was acknowledged a moment ago is in no report of the queue yet.
            Some(state) if state.is_running() && missing.is_empty() => {
                missing = match not_claimed(operator, source).await {
                    None => left(operator, source).await,
                    Some(sentence) => vec![sentence],
                };
            }
            Some(state) if !state.is_running() && !missing.is_empty() => {
                missing.push(format!("replication from it does not run: {}", why_not(state)));
            }
            None if !missing.is_empty() => missing.push(
                "the centre does not replicate from it, as after a removal that was interrupted: 'eventtracker region add' brings \
                 what is left"
                    .to_owned(),
            ),
            _ => {}
        }
        for sentence in &missing {
            println!("! {sentence}");
        }
        if !missing.is_empty() && !self.accept_loss {
            println!(
                "nothing was changed: stop the region's producers, wait until nothing is left, and run the command again; \
                 --accept-loss goes on all the same"
            );
            return false;
        }
        if missing.is_empty() {
            println!(
                "{} is drained: its queue is empty, and its totals are the centre's",
                self.name
            );
        }
        true
    }
}

/// What is left where an earlier run was interrupted after everything else.
async fn forget_the_rest(operator: &mut Operator, region: &str) -> anyhow::Result<ExitCode> {
    let forgotten = operator.centre.forget_region(region).await?;
    ensure!(
        forgotten > 0,
        "region {region} is no source of this centre: 'eventtracker region list' shows those that are"
    );
    println!("verified: {region} is no source of this centre; what was noted of it is forgotten");
    Ok(ExitCode::SUCCESS)
}

/// Sentences on what of the region is not counted at the centre, or cannot be known to be; none where it is drained.
async fn left(operator: &mut Operator, source: &Source) -> Vec<String> {
    let mut left = Vec::new();
    match in_queue(operator, source).await {
        Ok(None) => {}
        Ok(Some(sentence)) => left.push(sentence),
        Err(error) => left.push(format!("its queue is not known: {error:#}")),
    }
    left.extend(in_binlog(operator, source).await);
    left
}

/// A sentence on the jobs in the region's queue; `None` where it is empty, or where no worker has ever reported.
async fn in_queue(operator: &mut Operator, source: &Source) -> anyhow::Result<Option<String>> {
    let Some(queue) = operator.centre.queue_of(&source.region).await? else {
        return Ok(None);
    };
    let jobs = queue.ready + queue.reserved + queue.delayed + queue.buried;
    let offset = operator.centre.upkeep().offset(&source.region).await?;
    let ahead_ms = offset.map_or(0, |offset| offset.ahead_ms);
    let age_s = operator
        .centre
        .upkeep()
        .clock()
        .await?
        .ms_since(queue.seen.plus_ms(-ahead_ms))
        / 1000;
    Ok(if jobs > 0 {
        Some(format!(
            "jobs in its queue: {jobs}, of them buried: {}, as of {age_s} s ago",
            queue.buried
        ))
    } else if age_s > i64::from(SILENCE_S_MAX) {
        Some(format!(
            "its workers have said nothing for {age_s} s, so its queue is not known: let them run until this command has ended"
        ))
    } else {
        None
    })
}

/// A sentence where the region's workers do not come to say, in the time that they have, that everything is counted that was acknowledged
/// before.
async fn not_claimed(operator: &mut Operator, source: &Source) -> Option<String> {
    let why = match wait_for_claim(operator, source).await {
        Ok(true) => return None,
        Ok(false) => format!("its workers have not said so for {} s", CLAIM_LIMIT.as_secs()),
        Err(error) => format!("{error:#}"),
    };
    Some(format!(
        "it is not known whether all is counted that was acknowledged before: {why}; let its workers run until this command has ended"
    ))
}

/// A sentence on what the region has counted and the centre has not; `None` where there is nothing.
async fn in_binlog(operator: &mut Operator, source: &Source) -> Option<String> {
    totals_differ(operator, source).await.unwrap_or_else(|error| {
        Some(format!(
            "its totals are not known: {}",
            crate::commands::causes::Causes(&error)
        ))
    })
}

/// A sentence where the region's totals and the centre's differ.
async fn totals_differ(operator: &mut Operator, source: &Source) -> anyhow::Result<Option<String>> {
    let mut database = operator.database(source)?;
    let own = database.own_totals().await?;
    let here = operator.centre.totals_of(&source.region).await?;
    Ok((own != here).then(|| {
        format!(
            "it has counted {} in {} flushes, and the centre has {} of {}",
            own.total, own.flushes, here.total, here.flushes
        )
    }))
}
