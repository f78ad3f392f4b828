//! A thread that starts child processes.
//!
//! The kernel sends a child its parent-death signal when the *thread* that started it ends, and the threads of an
//! async runtime come and go. So one thread starts all children and lives as long as the playground's value:
//! whether the playground is killed or its value dropped, its servers are told to end.

use std::io;

use anyhow::{Context, Result};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// The way to the thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Spawner(mpsc::Sender<Request>);

/// A process to be started.
#[derive(Debug)]
struct Request {
    command: Command,
    answer: oneshot::Sender<io::Result<Unclaimed>>,
}

/// A child that nobody knows of yet. Whoever asked for it may go in the middle of a start, before the answer is sent or
/// before it is taken: then it is killed.
#[derive(Debug)]
struct Unclaimed(Option<Child>);

impl Unclaimed {
    /// The child, which is not killed from now on.
    fn claim(mut self) -> Option<Child> {
        self.0.take()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_mut().map(Child::start_kill) {
            tracing::warn!(%error, "failed to kill a process that nobody waits for");
        }
    }
}

impl Spawner {
    /// Starts the thread.
    pub(crate) fn new() -> Result<Self> {
        let (requests, receiver) = mpsc::channel(1);
        let runtime = Handle::current();
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || serve(&runtime, receiver))
            .context("failed to start the thread that starts processes")?;
        Ok(Self(requests))
    }

    /// Starts a process. It is killed if this is dropped before it returns.
    pub(crate) async fn spawn(&self, command: Command) -> Result<Child> {
        let (answer, child) = oneshot::channel();
        let sent = self.0.send(Request { command, answer }).await;
        sent.ok().context("the thread that starts processes has ended")?;
        let child = child
            .await
            .context("the thread that starts processes has ended")??;
        child.claim().context("a child is claimed once")
    }
}

fn serve(runtime: &Handle, mut requests: mpsc::Receiver<Request>) {
    let _inside = runtime.enter();
    while let Some(Request { mut command, answer }) = requests.blocking_recv() {
        let child = command.spawn().map(|child| Unclaimed(Some(child)));
        drop(answer.send(child));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_child_that_nobody_takes_is_killed() {
        let (answer, receiver) = oneshot::channel();
        let (requests, receiver_of_requests) = mpsc::channel(1);
        let runtime = Handle::current();
        let thread = std::thread::spawn(move || serve(&runtime, receiver_of_requests));
        let (reader, writer) = io::pipe().unwrap();
        let mut command = Command::new("sleep");
        command.arg("60").stdout(writer);
        requests.send(Request { command, answer }).await.unwrap();
        drop(requests);
        thread.join().unwrap();
        // Sent, and not taken.
        drop(receiver);
        let ended = tokio::task::spawn_blocking(move || io::read_to_string(reader));
        let ended = tokio::time::timeout(Duration::from_secs(10), ended).await;
        assert_eq!(ended.expect("is killed").unwrap().unwrap(), "");
    }
}
