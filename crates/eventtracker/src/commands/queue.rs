//! `eventtracker queue list|kick`: the jobs of a region's beanstalkd.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use comfy_table::{Table, presets};

use super::causes::Causes;
use crate::config::Config;

/// Characters of a job's body that are shown where it cannot be decoded.
const BODY_CHARS_MAX: usize = 120;

#[derive(Debug, Subcommand)]
pub(crate) enum Queue {
    /// Count the jobs by state, and show the first of each
    List {
        /// The region's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Give buried jobs to the workers again
    Kick {
        /// The region's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// How many jobs at most
        #[arg(default_value_t = 1)]
        jobs: u32,
    },
}

impl Queue {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List { config } => list(&config).await,
            Self::Kick { config, jobs } => {
                let kicked = queue::kick(&queue_of(&config)?, jobs).await?;
                println!("{kicked} jobs are ready again");
                Ok(())
            }
        }
    }
}

/// The section `[queue]` of a region's configuration.
fn queue_of(config: &Path) -> anyhow::Result<queue::Config> {
    let config = Config::read(config)?;
    config.file.section(config.queue, "queue")
}

async fn list(config: &Path) -> anyhow::Result<()> {
    let queue = queue_of(config)?;
    let (tube, heads) = queue::heads(&queue).await?;
    println!(
        "tube '{}' at {}: {} ready, {} reserved, {} delayed, {} buried; collectors refuse at {}",
        queue::TUBE,
        queue.address,
        tube.ready,
        tube.reserved,
        tube.delayed,
        tube.buried,
        queue.jobs_max
    );
    if heads.is_empty() {
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(["first", "job", "age", "bytes", "content"]);
    for head in heads {
        let bytes = head.body.len().to_string();
        table.add_row([
            head.state.to_owned(),
            head.job_id.to_string(),
            format!("{} s", head.age_s),
            bytes,
            content(&head.body),
        ]);
    }
    println!("{table}");
    Ok(())
}

/// A summary of what a worker would read in the job, or the reason why it would bury it.
fn content(body: &[u8]) -> String {
    match queue::decode(body, &mut queue::EventIds::default()) {
        Ok(job) => {
            let counts: usize = job.batches.iter().map(|batch| batch.counts.len()).sum();
            format!(
                "{} batches, {} names, {counts} counts",
                job.batches.len(),
                job.names.len()
            )
        }
        Err(error) => {
            let text: String = String::from_utf8_lossy(body)
                .chars()
                .take(BODY_CHARS_MAX)
                .collect();
            format!("unreadable: {}: {:?}", Causes(&error.into()), text)
        }
    }
}
