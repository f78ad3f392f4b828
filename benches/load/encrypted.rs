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

const CONNECTIONS: u32 = 8;

/// Events of a large request.
const MANY: usize = 10_000;

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
    /// Options of h2load.
    options: &'static [&'static str],
}

const WAYS: [Way; 3] = [
    Way {
        name: "HTTP/1.1, plain text",
        is_encrypted: false,
        options: &["--h1"],
    },
    Way {
        name: "HTTP/1.1, TLS 1.3",
        is_encrypted: true,
        options: &["--h1"],
    },
    Way {
        name: "HTTP/2, TLS 1.3, 8 requests at once",
        is_encrypted: true,
        options: &["--max-concurrent-streams", "8"],
    },
];

impl Encrypted {
    pub(crate) async fn run(self) -> Result<bool> {
        let mut figures = Vec::new();
        for way in &WAYS {
            let pipeline =
                Pipeline::start_with(&self.pipeline.encrypted(way.is_encrypted), toml::Table::new()).await?;
            let url = format!("{}/v1/events", pipeline.collectors()[0][0]);
            let mut rates = Vec::new();
            for events in [1, MANY] {
                let rate = self.requests_per_s(&url, way, body(events)?.path()).await?;
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

    async fn requests_per_s(&self, url: &str, way: &Way, body: &Path) -> Result<f64> {
        let mut command = Command::new("h2load");
        command
            .args(way.options)
            .args(["--clients", &CONNECTIONS.to_string()])
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
