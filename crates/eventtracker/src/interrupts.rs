//! SIGINT (Ctrl-C) and SIGTERM, which end a process in order.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The interrupts of this process from [`Interrupts::new`] on. One that arrives while nobody waits is kept for the next
/// [`Interrupts::next`]; with `tokio::signal::ctrl_c`, which begins to listen each time, it would be lost.
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Begins to listen: from here on neither signal ends the process by itself.
    ///
    /// # Errors
    /// The system's, where it does not let the process handle them.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next of either.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A token that the first interrupt cancels; further ones are ignored.
///
/// # Errors
/// The system's, where it does not let the process handle interrupts.
pub(crate) fn stop_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupts = Interrupts::new()?;
    let stopped = stop.clone();
    tokio::spawn(async move {
        interrupts.next().await;
        tracing::info!("stopping");
        stopped.cancel();
    });
    Ok(stop)
}
