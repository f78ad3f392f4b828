//! Clients in processes of their own, beside what is measured. Each ends with its input, and then says how often it did what it does.

use std::num::NonZero;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// A process of this program.
pub(crate) struct Beside(Child);

impl Beside {
    /// Starts a client that would have a machine of its own. It has what the others leave of this one: it runs when no other wants to
    /// (`SCHED_IDLE`).
    pub(crate) fn of_another_machine(arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new("chrt");
        command.args(["--idle", "0"]).arg(std::env::current_exe()?);
        Self::spawn(&mut command, arguments)
    }

    /// Starts one that runs as all else does.
    pub(crate) fn of_this_machine(arguments: &[&str]) -> Result<Self> {
        Self::spawn(&mut Command::new(std::env::current_exe()?), arguments)
    }

    fn spawn(command: &mut Command, arguments: &[&str]) -> Result<Self> {
        let child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {}", command.as_std().get_program().display()))?;
        Ok(Self(child))
    }

    /// Says a line to it.
    pub(crate) async fn say(&mut self, line: &str) -> Result<()> {
        let input = self.0.stdin.as_mut().context("it has no input")?;
        Ok(input.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// Ends it; returns how often it did what it does.
    ///
    /// # Errors
    /// It failed before.
    pub(crate) async fn stop(mut self) -> Result<u64> {
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().await?;
        ensure!(output.status.success(), "a client failed: {}", output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse().context("a client does not say what it did")
    }
}

/// Waits until nobody says anything more.
pub(crate) async fn input_has_ended() {
    let wait = || std::io::stdin().read_line(&mut String::new());
    tokio::task::spawn_blocking(wait).await.ok();
}

/// A client that sends nothing, and computes on all cores: what any work on this machine costs others.
#[derive(Debug, Args)]
pub(crate) struct Computing {}

impl Computing {
    /// Computes until the input ends. Then it says on how many cores.
    pub(crate) async fn run(self) -> Result<bool> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        for _ in 0..cores {
            // They end with the process.
            std::thread::spawn(|| (0..u64::MAX).for_each(|number| _ = std::hint::black_box(number)));
        }
        input_has_ended().await;
        println!("{cores}");
        Ok(true)
    }
}
