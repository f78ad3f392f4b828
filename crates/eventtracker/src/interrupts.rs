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
    /// From here on neither signal ends the process by itself.
    ///
    /// # Errors
    /// The system does not let the process handle them.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Cancelled by the first interrupt.
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
