//! Two clients of weights 1 and 3 that send more than the queue takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use gate::Secret;
use tokio::task::JoinSet;

use super::{Clients, settings};
use crate::pipeline::{Pipeline, PipelineArguments};
use crate::sender;

/// Requests that each client has in progress: more than the queue takes at once, so that both always want more than there is.
const IN_PROGRESS: u32 = 128;

/// Events of a request, each of a name of its own: some 30 kB in a job.
const EVENTS: u32 = 400;

/// Jobs that the queue takes: little enough that workers, who take them all at once, let it be full in between.
const JOBS_MAX: u32 = 10;

/// The time in which answers count: not while the first ones fill an empty queue, nor while the last ones empty it, which then takes
/// all of both.
#[derive(Debug, Clone, Copy)]
struct Counted {
    from: Instant,
    until: Instant,
}

/// The events of each that were accepted, with fair shares and without.
pub(super) async fn measure(pipeline: &PipelineArguments, seconds: u32) -> Result<Vec<(bool, [u64; 2])>> {
    let mut all = Vec::new();
    for is_fair in [true, false] {
        let dir = tempfile::tempdir()?;
        let tokens = dir.path().join("tokens.toml");
        let clients = Clients::new(&tokens, [1, 3])?;
        let more = format!("[queue]\njobs_max = {JOBS_MAX}");
        let pipeline = Pipeline::start_with(pipeline, settings(&tokens, is_fair, &more)?).await?;
        let collector = pipeline.collectors()[0][0].clone();
        let from = Instant::now() + super::LEAD;
        let until = from + Duration::from_secs(seconds.into());
        let accepted = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
        let mut tasks = JoinSet::new();
        for (secret, accepted) in [clients.polite, clients.hostile].iter().zip(&accepted) {
            for lane in 0..IN_PROGRESS {
                tasks.spawn(flood(
                    collector.clone(),
                    secret.clone(),
                    lane,
                    Counted { from, until },
                    accepted.clone(),
                ));
            }
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        all.push((is_fair, accepted.map(|accepted| accepted.load(Ordering::Relaxed))));
        pipeline.finish(true).await?;
    }
    Ok(all)
}

async fn flood(
    collector: String,
    secret: Secret,
    lane: u32,
    counted: Counted,
    accepted: Arc<AtomicU64>,
) -> Result<()> {
    let client = sender::client(None)?;
    let url = format!("{collector}/v1/events");
    let events: Vec<_> = (0..EVENTS)
        .map(|n| serde_json::json!({ "name": format!("weights.{lane}.{n}") }))
        .collect();
    while Instant::now() < counted.until {
        let request = client.post(&url).bearer_auth(secret.as_str()).json(&events);
        let is_accepted = request.send().await?.status().as_u16() == 202;
        if is_accepted && (counted.from..counted.until).contains(&Instant::now()) {
            accepted.fetch_add(u64::from(EVENTS), Ordering::Relaxed);
        }
    }
    Ok(())
}
