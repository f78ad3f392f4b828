//! Load on the whole pipeline: whether it is exact, how fast, at what price.
//!
//! `benches/run` measures all comparisons (`-- suite`), in rounds, beside references of the same run: `-- burst` sends what is taken at
//! once until the centre's answer is exact, `-- posts` single events, `-- history-load` a month of minutes; `-- parts` measures
//! stations alone, `-- peers` other databases with the same events.
//!
//! `cargo bench -p eventtracker --bench load -- throughput` sends events on a fixed schedule and compares every name and
//! minute at the centre with what was acknowledged; `-- latency` measures how soon one event is seen through the api;
//! `-- cut` how soon all is complete again after a region was cut off; `-- hostile` and `-- many-names` what others feel of a hostile
//! client, and `-- gate` what that costs. `-- storage`, `-- forms`, `-- reads`, `-- long-reads`, `-- renders`, `-- panels`, `-- queries`, `-- ingest` and `-- packing` are about
//! years of counts at the centre, `-- names` is about a million names. Wrong counts, or a role with too much memory, end with exit code 1;
//! times never do, since machines differ: they are shown beside references from the same run.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod beside;
mod burst;
mod centre;
mod cut;
mod encrypted;
mod events;
mod figures;
mod growth;
mod history;
mod history_load;
mod hostile;
mod latency;
mod ledger;
mod names;
mod parts;
mod peers;
mod pipeline;
mod points;
mod posts;
mod processes;
mod reference;
mod report;
mod sender;
mod suite;
mod throughput;
mod wire;
mod workload;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "load",
    bin_name = "cargo bench -p eventtracker --bench load --",
    about = "Puts load on the whole pipeline"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare what arrives at the centre with what was sent, and show what it took
    Throughput(throughput::Throughput),
    /// Send as much as is taken at once, and time it until the centre's answer is exact
    Burst(burst::Burst),
    /// Measure single-event requests, beside a bare listener, a bare put and a bare sync
    Posts(posts::Posts),
    /// Send a month of minutes in the order of time, and compare all of them
    HistoryLoad(history_load::HistoryLoad),
    /// Measure jobs to rows, the regional commit and the centre's apply, each beside the bare thing
    Parts(parts::Parts),
    /// Send the same events to VictoriaMetrics and PostgreSQL, too
    Peers(peers::Peers),
    /// Measure everything in rounds, and write all figures as JSON
    Suite(suite::Suite),
    /// Measure how long it takes from an event's 202 until the api shows it
    Latency(latency::Latency),
    /// Measure a polite client beside a hostile one, with fair shares and without
    Hostile(hostile::Hostile),
    /// Be the hostile client
    #[command(hide = true)]
    HostileClient(hostile::HostileClient),
    /// Be the polite client
    #[command(hide = true)]
    PoliteClient(hostile::PoliteClient),
    /// Measure searches and series of others while one client makes a million names
    ManyNames(hostile::ManyNames),
    /// Measure what tokens and fair shares cost at the highest rate
    Gate(hostile::GateOverhead),
    /// Measure what TLS and HTTP/2 take, by h2load
    Encrypted(encrypted::Encrypted),
    /// Cut a region's link to the centre, and measure how soon all is complete again
    Cut(cut::Cut),
    /// Measure bytes per point on disk, packed and as rows
    Storage(history::storage::Storage),
    /// Compare the forms in which a day may be packed
    Forms(history::forms::Forms),
    /// Measure how soon series of up to a year are there
    Reads(history::reads::Reads),
    /// Measure a series of a day beside dashboards that ask for years
    LongReads(history::long_reads::LongReads),
    /// Keep all cores busy
    #[command(hide = true)]
    Computing(beside::Computing),
    /// Be a dashboard that asks for years
    #[command(hide = true)]
    Dashboard(history::long_reads::Dashboard),
    /// Measure how soon Grafana has its graphs
    Renders(history::renders::Renders),
    /// Measure analysts' SQL, beside a plain table
    Queries(history::queries::Queries),
    /// Measure functions over thousands of names, beside VictoriaMetrics
    Panels(history::panels::Panels),
    /// Compare ingest into an empty centre with ingest into one that holds a year
    Ingest(history::ingest::Ingest),
    /// Measure how fast closed days are packed, and what replication feels of it
    Packing(history::packing::Packing),
    /// Measure how soon names are found among a million
    Names(names::Names),
}

fn main() -> anyhow::Result<ExitCode> {
    // Cargo passes it to every benchmark.
    let arguments: Vec<String> = std::env::args()
        .filter(|argument| argument != "--bench")
        .collect();
    if arguments.iter().any(|argument| argument == "--list") {
        // A test runner looks for tests: there are none in here.
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.len() <= 1 {
        Cli::command().print_help()?;
        return Ok(ExitCode::SUCCESS);
    }
    let command = Cli::parse_from(arguments).command;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let good = runtime.block_on(async {
        match command {
            Command::Throughput(throughput) => throughput.run().await,
            Command::Burst(burst) => burst.run().await,
            Command::Posts(posts) => posts.run().await,
            Command::HistoryLoad(load) => load.run().await,
            Command::Parts(parts) => parts.run().await,
            Command::Peers(peers) => peers.run().await,
            Command::Suite(suite) => suite.run().await,
            Command::Latency(latency) => latency.run().await,
            Command::Hostile(hostile) => hostile.run().await,
            Command::ManyNames(names) => names.run().await,
            Command::Gate(gate) => gate.run().await,
            Command::HostileClient(client) => client.run().await,
            Command::PoliteClient(client) => client.run().await,
            Command::Encrypted(encrypted) => encrypted.run().await,
            Command::Cut(cut) => cut.run().await,
            Command::Storage(storage) => storage.run().await,
            Command::Forms(forms) => forms.run().await,
            Command::Reads(reads) => reads.run().await,
            Command::LongReads(reads) => reads.run().await,
            Command::Computing(computing) => computing.run().await,
            Command::Dashboard(dashboard) => dashboard.run().await,
            Command::Renders(renders) => renders.run().await,
            Command::Queries(queries) => queries.run().await,
            Command::Panels(panels) => panels.run().await,
            Command::Ingest(ingest) => ingest.run().await,
            Command::Packing(packing) => packing.run().await,
            Command::Names(names) => names.run().await,
        }
    })?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
