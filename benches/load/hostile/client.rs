//! The hostile client, in a process of its own: it comes from another address than the polite one, and under a token of its own.

use std::process::Stdio;

use anyhow::{Context, Result};
use clap::Args;
use gate::Secret;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::kinds::Kind;
use crate::wire::address;

/// What `hostile` starts beside itself.
#[derive(Debug, Args)]
pub(crate) struct HostileClient {
    #[arg(value_enum)]
    kind: Kind,
    /// The collector's base address
    collector: String,
}

impl HostileClient {
    /// Reads the secret from the first line of the input, and ends with the input. Then it says how often it did what it does.
    pub(crate) async fn run(self) -> Result<bool> {
        let mut secret = String::new();
        std::io::stdin().read_line(&mut secret)?;
        let secret = Secret::new(secret.trim())?;
        let work = self
            .kind
            .work(address(&self.collector)?, &secret, input_has_ended());
        println!("{}", work.await?);
        Ok(true)
    }
}

/// Waits until nobody says anything more.
pub(crate) async fn input_has_ended() {
    let wait = || std::io::stdin().read_line(&mut String::new());
    tokio::task::spawn_blocking(wait).await.ok();
}

/// A client at work in a process of this program. It would have its own machine, and has what the others leave of this one: it runs when
/// no other wants to (`SCHED_IDLE`).
pub(crate) struct Work(Child);

impl Work {
    /// Begins to attack the collector at a base address.
    pub(super) async fn hostile(kind: Kind, collector: &str, secret: &Secret) -> Result<Self> {
        let mut work = Self::start(&["hostile-client", &kind.to_string(), collector])?;
        let input = work.0.stdin.as_mut().context("it has no input")?;
        input
            .write_all(format!("{}\n", secret.as_str()).as_bytes())
            .await?;
        Ok(work)
    }

    /// Begins what the arguments say, until its input ends.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new("chrt");
        command.args(["--idle", "0"]).arg(std::env::current_exe()?);
        let child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("failed to start a process with chrt")?;
        Ok(Self(child))
    }

    /// Stops it; returns how often it did what it does.
    pub(crate) async fn stop(mut self) -> Result<u64> {
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().await?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse().context("the client does not say what it did")
    }
}
