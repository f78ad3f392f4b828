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

#[derive(Debug)]
pub(crate) struct Spawner(mpsc::Sender<Request>);

#[derive(Debug)]
struct Request {
    command: Command,
    answer: oneshot::Sender<io::Result<Child>>,
}

impl Spawner {
    pub(crate) fn new() -> Result<Self> {
        let (requests, receiver) = mpsc::channel(1);
        let runtime = Handle::current();
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || serve(&runtime, receiver))
            .context("failed to start the thread that starts processes")?;
        Ok(Self(requests))
    }

    pub(crate) async fn spawn(&self, command: Command) -> Result<Child> {
        let (answer, child) = oneshot::channel();
        let sent = self.0.send(Request { command, answer }).await;
        sent.ok().context("the thread that starts processes has ended")?;
        Ok(child
            .await
            .context("the thread that starts processes has ended")??)
    }
}

fn serve(runtime: &Handle, mut requests: mpsc::Receiver<Request>) {
    let _inside = runtime.enter();
    while let Some(Request { mut command, answer }) = requests.blocking_recv() {
        // Whoever asked has gone in the middle of a start: nobody else knows of this child.
        if let Err(Ok(mut child)) = answer.send(command.spawn())
            && let Err(error) = child.start_kill()
        {
            tracing::warn!(%error, "failed to kill a process that nobody waits for");
        }
    }
}
