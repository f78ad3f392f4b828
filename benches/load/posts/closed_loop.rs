//! Connections that each send the same request again as soon as they have its answer.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::task::JoinSet;

use crate::events::Name;
use crate::figures::{Durations, per_s};
use crate::wire::{Wire, post_head};

/// Pause after a refusal.
const REFUSED_PAUSE: Duration = Duration::from_millis(10);

pub(crate) struct Load {
    pub(crate) base: String,
    pub(crate) connections: usize,
    pub(crate) time: Duration,
    /// Of a good answer.
    pub(crate) status: u16,
}

pub(crate) struct Answered {
    pub(crate) answers: u64,
    pub(crate) refused: u64,
    pub(crate) latencies: Durations,
    took: Duration,
}

struct Lane {
    wire: Wire,
    request: Vec<u8>,
    status: u16,
    /// In order, until the end.
    latencies: Vec<Duration>,
    refused: u64,
}

impl Load {
    /// A request with one event on each connection, the names in turn.
    ///
    /// # Errors
    /// An answer that is neither good nor a refusal.
    pub(crate) async fn run(self, names: &[Name]) -> Result<Answered> {
        let mut lanes = Vec::new();
        for (_, name) in (0..self.connections).zip(names.iter().cycle()) {
            lanes.push(Lane {
                wire: Wire::connect(&self.base).await?,
                request: request(&self.base, name),
                status: self.status,
                latencies: Vec::new(),
                refused: 0,
            });
        }
        let begun = Instant::now();
        let mut running = JoinSet::new();
        for lane in lanes {
            running.spawn(lane.run(begun + self.time));
        }
        let mut answered = Answered {
            answers: 0,
            refused: 0,
            latencies: Durations::new()?,
            took: Duration::ZERO,
        };
        while let Some(lane) = running.join_next().await {
            let lane = lane??;
            answered.refused += lane.refused;
            for latency in lane.latencies {
                answered.answers += 1;
                answered.latencies.record(latency);
            }
        }
        answered.took = begun.elapsed();
        Ok(answered)
    }
}

impl Answered {
    pub(crate) fn rate(&self) -> f64 {
        per_s(self.answers, self.took)
    }
}

impl Lane {
    async fn run(mut self, until: Instant) -> Result<Self> {
        loop {
            let begun = Instant::now();
            if begun >= until {
                return Ok(self);
            }
            let answer = self.wire.ask(&self.request).await?;
            if answer.status == self.status {
                self.latencies.push(begun.elapsed());
                continue;
            }
            let text = String::from_utf8_lossy(answer.body);
            if !matches!(answer.status, 429 | 503) || text.contains(r#""outcome":"unknown""#) {
                bail!("answered {}: {text}", answer.status);
            }
            self.refused += 1;
            tokio::time::sleep(REFUSED_PAUSE).await;
        }
    }
}

fn request(base: &str, name: &Name) -> Vec<u8> {
    let body = format!(r#"{{"name":"{}"}}"#, name.name);
    let head = post_head(base, "/v1/events", "application/json", None, body.len());
    (head + &body).into_bytes()
}
