//! Clients in processes of their own. One that runs beside what is measured says a line when it begins, ends with its input, and then says how
//! often it did what it does.

use std::num::NonZero;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// A process of this program.
pub(crate) struct Beside {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Beside {
    /// Starts a client that would have a machine of its own. It has what the others leave of this one: it runs when no other wants to
    /// (`SCHED_IDLE`).
    pub(crate) fn of_another_machine(arguments: &[&str]) -> Result<Self> {
        Self::spawn(chrt(&["--idle", "0"]).arg(std::env::current_exe()?), arguments)
    }

    /// Starts a client that would have a machine of its own, and whose answers are timed: it waits for nobody who computes on this one
    /// (`SCHED_RR`), where this process may have that.
    pub(crate) async fn timed_on_another_machine(arguments: &[&str]) -> Result<Self> {
        const FIRST: [&str; 2] = ["--rr", "1"];
        let tried = chrt(&FIRST).arg("true").stderr(Stdio::null()).status().await;
        if !tried.context("failed to start chrt")?.success() {
            println!(
                "the client whose answers are timed waits for this machine's cores: only root may put it first"
            );
            return Self::of_this_machine(arguments);
        }
        Self::spawn(chrt(&FIRST).arg(std::env::current_exe()?), arguments)
    }

    /// Starts one that runs as all else does.
    pub(crate) fn of_this_machine(arguments: &[&str]) -> Result<Self> {
        Self::spawn(&mut Command::new(std::env::current_exe()?), arguments)
    }

    fn spawn(command: &mut Command, arguments: &[&str]) -> Result<Self> {
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {}", command.as_std().get_program().display()))?;
        let output = child.stdout.take().context("it has no output")?;
        let output = BufReader::new(output);
        Ok(Self { child, output })
    }

    /// Says a line to it.
    pub(crate) async fn say(&mut self, line: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("it has no input")?;
        Ok(input.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// Waits until it begins.
    ///
    /// # Errors
    /// It failed before.
    pub(crate) async fn begun(&mut self) -> Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line).await?;
        ensure!(line.trim_end() == BEGINS, "a client does not say that it begins");
        Ok(())
    }

    /// Ends it; returns how often it did what it does.
    ///
    /// # Errors
    /// It failed before.
    pub(crate) async fn stop(self) -> Result<u64> {
        let did = self.all_output().await?;
        did.trim().parse().context("a client does not say what it did")
    }

    /// Says no more to it; returns what it has said when it has ended.
    ///
    /// # Errors
    /// It failed.
    pub(crate) async fn all_output(mut self) -> Result<String> {
        drop(self.child.stdin.take());
        let mut output = String::new();
        self.output.read_to_string(&mut output).await?;
        let status = self.child.wait().await?;
        ensure!(status.success(), "a client failed: {status}");
        Ok(output)
    }
}

/// Runs a command under another scheduling policy.
fn chrt(policy: &[&str]) -> Command {
    let mut command = Command::new("chrt");
    command.args(policy);
    command
}

/// What a client says when it begins.
const BEGINS: &str = "begins";

/// Says that this client begins.
pub(crate) fn say_begun() {
    println!("{BEGINS}");
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
        say_begun();
        input_has_ended().await;
        println!("{cores}");
        Ok(true)
    }
}
