//! `gate`: what tokens and fair shares cost a collector that takes in as much as it can.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use gate::Secret;
use tokio::task::JoinSet;

use super::{Clients, settings};
use crate::figures::{grouped, per_s, table};
use crate::pipeline::{Pipeline, PipelineArguments};
use crate::sender;

/// Events of a request, and connections, of which each has one request in progress.
const SHAPES: [(u64, usize); 2] = [(10_000, 8), (1, 256)];

/// Names of all events.
const NAMES: u64 = 1_000;

#[derive(Debug, Args)]
pub(crate) struct GateOverhead {
    /// Seconds of each round
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Rounds, of which each is of both, one after the other; the median of the ratios is shown
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    pipeline: PipelineArguments,
}

/// A collector, and what its clients show.
struct Side {
    collector: String,
    secret: Option<Secret>,
}

impl GateOverhead {
    pub(crate) async fn run(self) -> Result<bool> {
        let dir = tempfile::tempdir()?;
        let tokens = dir.path().join("tokens.toml");
        let clients = Clients::new(&tokens, [1, 1])?;
        // Both run at once, and one of them rests: so each round has both under the same conditions.
        let open = Pipeline::start_with(&self.pipeline, "[limits]\nfair = false".parse()?).await?;
        let gated = Pipeline::start_with(&self.pipeline, settings(&tokens, true, "")?).await?;
        let side = |pipeline: &Pipeline, secret| Side {
            collector: pipeline.collectors()[0][0].clone(),
            secret,
        };
        let sides = [side(&open, None), side(&gated, Some(clients.polite))];
        let mut rows = Vec::new();
        for (events, connections) in SHAPES {
            rows.push(self.measure(&sides, events, connections).await?);
        }
        let header = [
            "events of a request",
            "connections",
            "without gate, events/s",
            "with",
            "of without",
        ];
        println!("\n{}", table(header, rows));
        open.finish(true).await?;
        gated.finish(true).await?;
        Ok(true)
    }

    async fn measure(&self, sides: &[Side; 2], events: u64, connections: usize) -> Result<[String; 5]> {
        let all: Vec<_> = (0..events)
            .map(|n| serde_json::json!({ "name": format!("gate.{}", n % NAMES) }))
            .collect();
        let body = serde_json::to_vec(&all)?;
        let time = Duration::from_secs(self.seconds.into());
        let mut rounds = Vec::new();
        for round in 0..=self.rounds {
            let mut rates = [0.0; 2];
            for (side, rate) in sides.iter().zip(&mut rates) {
                *rate = per_s(events * side.send(&body, connections, time).await?, time);
            }
            // The first is slower than the others.
            if round > 0 {
                println!(
                    "{events} a request: {} without, {} with",
                    grouped(rates[0]),
                    grouped(rates[1])
                );
                rounds.push((rates[1] / rates[0], rates));
            }
        }
        rounds.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let (ratio, [without, with]) = rounds[rounds.len() / 2];
        Ok([
            events.to_string(),
            connections.to_string(),
            grouped(without),
            grouped(with),
            format!("{ratio:.3}"),
        ])
    }
}

impl Side {
    /// Sends the same on each of so many connections, again as soon as it is answered; returns how often in `time`.
    async fn send(&self, body: &[u8], connections: usize, time: Duration) -> Result<u64> {
        let until = Instant::now() + time;
        let mut sending = JoinSet::new();
        for _ in 0..connections {
            let client = sender::client(None)?;
            let mut request = client
                .post(format!("{}/v1/events", self.collector))
                .header("Content-Type", "application/json");
            if let Some(secret) = &self.secret {
                request = request.bearer_auth(secret.as_str());
            }
            let request = request.body(body.to_vec()).build()?;
            sending.spawn(async move {
                let mut accepted = 0;
                while Instant::now() < until {
                    let Some(request) = request.try_clone() else { break };
                    let status = client.execute(request).await?.status();
                    ensure!(status == 202, "answered {status}");
                    accepted += 1;
                }
                Ok(accepted)
            });
        }
        let mut accepted = 0;
        while let Some(sent) = sending.join_next().await {
            accepted += sent??;
        }
        Ok(accepted)
    }
}
