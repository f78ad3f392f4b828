//! `encrypted`: what TLS and HTTP/2 take, by a client that nobody here wrote: h2load, of nghttp2.
//!
//! The same requests to the same collector, in plain text and encrypted, one after the other in each round.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::Args;
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::figures::{grouped, table};
use crate::pipeline::{Pipeline, PipelineArguments};

/// Events of a large request.
const MANY: usize = 10_000;

/// Requests in progress: of one event, and of many.
const IN_PROGRESS: [u32; 2] = [64, 8];

/// Connections in HTTP/2, which share the requests.
const CONNECTIONS: u32 = 8;

#[derive(Debug, Args)]
pub(crate) struct Encrypted {
    /// Seconds of each
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    #[command(flatten)]
    pipeline: PipelineArguments,
}

/// A way to speak to a collector.
struct Way {
    name: &'static str,
    is_encrypted: bool,
    is_http_2: bool,
}

const WAYS: [Way; 3] = [
    Way {
        name: "HTTP/1.1, plain text",
        is_encrypted: false,
        is_http_2: false,
    },
    Way {
        name: "HTTP/1.1, TLS 1.3",
        is_encrypted: true,
        is_http_2: false,
    },
    Way {
        name: "HTTP/2 on 8 connections, TLS 1.3",
        is_encrypted: true,
        is_http_2: true,
    },
];

impl Way {
    /// Options of h2load for so many requests in progress.
    fn options(&self, in_progress: u32) -> Vec<String> {
        if self.is_http_2 {
            let streams = (in_progress / CONNECTIONS).to_string();
            let clients = CONNECTIONS.to_string();
            ["--clients", &clients, "--max-concurrent-streams", &streams]
                .map(str::to_owned)
                .into()
        } else {
            ["--h1", "--clients", &in_progress.to_string()]
                .map(str::to_owned)
                .into()
        }
    }
}

impl Encrypted {
    pub(crate) async fn run(self) -> Result<bool> {
        let mut figures = Vec::new();
        for way in &WAYS {
            let pipeline =
                Pipeline::start_with(&self.pipeline.encrypted(way.is_encrypted), toml::Table::new()).await?;
            let url = format!("{}/v1/events", pipeline.collectors()[0][0]);
            let mut rates = Vec::new();
            for (events, in_progress) in [1, MANY].into_iter().zip(IN_PROGRESS) {
                let options = way.options(in_progress);
                let rate = self.requests_per_s(&url, &options, body(events)?.path()).await?;
                println!("{}, {events} events: {rate:.1} requests/s", way.name);
                rates.push(rate);
            }
            figures.push(rates);
            pipeline.finish(true).await?;
        }
        let rows = WAYS.iter().zip(&figures).map(|(way, rates)| {
            let of_plain = |at: usize| format!("{:.2}", rates[at] / figures[0][at]);
            let events = rates[1] * 10_000.0;
            [
                way.name.to_owned(),
                grouped(rates[0]),
                of_plain(0),
                grouped(events),
                of_plain(1),
            ]
        });
        let header = [
            "way",
            "requests/s of one event",
            "of plain",
            "events/s, 10,000 each",
            "of plain",
        ];
        println!("\n{}", table(header, rows));
        Ok(true)
    }

    async fn requests_per_s(&self, url: &str, options: &[String], body: &Path) -> Result<f64> {
        let mut command = Command::new("h2load");
        command
            .args(options)
            .args(["--duration", &self.seconds.to_string(), "--warm-up-time", "1"])
            .args(["--header", "Content-Type: application/json", "--data"])
            .arg(body)
            .arg(url);
        let output = command
            .output()
            .await
            .context("h2load cannot be run: apt-get install nghttp2-client")?;
        let text = String::from_utf8_lossy(&output.stdout);
        // "finished in 5.00s, 1234.56 req/s, 1.2MB/s", "status codes: 6172 2xx, 0 3xx, 0 4xx, 0 5xx"
        let rate = text.lines().find_map(|line| {
            let (_, rest) = line.strip_prefix("finished in ")?.split_once(", ")?;
            rest.split_once(" req/s")?.0.parse().ok()
        });
        let refused = text.contains("status codes: 0 2xx") || !text.contains(" 0 4xx, 0 5xx");
        ensure!(!refused, "the collector refused requests:\n{text}");
        rate.with_context(|| format!("h2load says no rate:\n{text}"))
    }
}

fn body(events: usize) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    let event = |n| format!(r#"{{"name":"load.event.{}","count":1}}"#, n % 1_000);
    let events: Vec<String> = (0..events).map(event).collect();
    file.write_all(format!("[{}]", events.join(",")).as_bytes())?;
    Ok(file)
}
