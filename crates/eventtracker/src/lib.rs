#![doc = include_str!("../README.md")]
#![expect(
    clippy::disallowed_methods,
    reason = "commands measure, wait and ask for what was until now"
)]

mod commands;
mod config;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod interrupts;
mod roles;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Parser)]
#[command(
    name = "eventtracker",
    version,
    about = "Counts events over time, exactly once, for any number of regions"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take events over HTTP and put them into the region's queue
    Collector(roles::Collector),
    /// Count the queue's jobs into the region's database
    Worker(roles::Worker),
    /// Serve series and names over HTTP
    Api(roles::Api),
    /// Look after the centre: clocks, audits, applied binlogs, alarms
    Keeper(roles::Keeper),
    /// Start everything on this machine: regions, the centre, the roles
    Playground(commands::playground::Playground),
    /// Send events
    Emit(commands::emit::Emit),
    Import(commands::import::Import),
    /// Show series as a sparkline and a table
    Series(commands::series::Series),
    /// Show whether everything is well
    Status(commands::status::Status),
    /// Check that what was acknowledged is what is stored
    Audit(commands::audit::Audit),
    /// Put the tables and accounts of a server in place, or compare them
    #[command(subcommand)]
    Schema(commands::schema::Schema),
    /// Add a region to the centre, take it away, or let it move to another server
    #[command(subcommand)]
    Region(commands::region::RegionCommand),
    /// The shards of a centre that consists of several servers
    #[command(subcommand)]
    Shard(commands::shard::ShardCommand),
    /// Make, show and check tokens, by which clients are let in
    #[command(subcommand)]
    Token(commands::token::Token),
    /// Show who makes names
    #[command(subcommand)]
    Names(commands::names::Names),
    /// Look into a region's queue
    #[command(subcommand)]
    Queue(commands::queue::Queue),
}

/// Most tasks that run before the system is asked for what has come. Of the usual 61, each of which takes in a part of a long body, a short
/// request would not be seen for milliseconds.
const TASKS_BETWEEN_EVENTS: u32 = 5;

/// Does what the command line says: runs a role until it is told to stop, or does a command.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(TASKS_BETWEEN_EVENTS)
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| {
            let outcome = runtime.block_on(run(cli.command));
            // A thread that hangs in a call to beanstalkd must not keep the process alive.
            runtime.shutdown_background();
            outcome
        });
    outcome.unwrap_or_else(|error| {
        let causes = commands::causes::Causes(&error);
        match commands::remedy::remedy(&error) {
            None => eprintln!("eventtracker: {causes}"),
            Some(remedy) => eprintln!("eventtracker: {causes}: {remedy}"),
        }
        ExitCode::FAILURE
    })
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Collector(role) => role.run().await.map(|()| ExitCode::SUCCESS),
        Command::Worker(role) => role.run().await.map(|()| ExitCode::SUCCESS),
        Command::Api(role) => role.run().await.map(|()| ExitCode::SUCCESS),
        Command::Keeper(role) => role.run().await.map(|()| ExitCode::SUCCESS),
        Command::Playground(command) => command.run().await.map(|()| ExitCode::SUCCESS),
        Command::Emit(command) => command.run().await,
        Command::Import(command) => command.run().await,
        Command::Series(command) => command.run().await,
        Command::Status(command) => command.run().await,
        Command::Audit(command) => command.run().await,
        Command::Schema(command) => command.run().await,
        Command::Region(command) => command.run().await,
        Command::Shard(command) => command.run().await,
        Command::Token(command) => command.run(),
        Command::Names(command) => command.run().await,
        Command::Queue(command) => command.run().await.map(|()| ExitCode::SUCCESS),
    }
}
