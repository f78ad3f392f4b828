//! The threads on which bodies are unpacked and read.

use std::cell::Cell;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinError;

/// The priority of these threads (nice, from -20 to 19): bodies that take a core for milliseconds hold up the connections of others less. It
/// counts among the threads of a session, so it orders this process, and not what else runs on the machine (sched(7), autogroups).
const NICE: i32 = 10;

/// Events that are read, and bytes that are unpacked, until others may have the core: some tens of microseconds.
const EVENTS_PER_TURN: usize = 512;
pub(crate) const UNPACKED_BYTES_PER_TURN: usize = 128 << 10;

thread_local! {
    /// Whether this is one of these threads.
    static IS_READER: Cell<bool> = const { Cell::new(false) };
}

/// Lets others have the core, on one of these threads. One that goes on and on keeps it for the rest of its slice, milliseconds, from others
/// that wake up, whatever its priority (Linux's EEVDF protects slices). No lock may be held that others want.
pub(crate) fn give_way() {
    if IS_READER.get() {
        std::thread::yield_now();
    }
}

/// Whether it is time to give way, after so many events.
pub(crate) fn is_turn_over(events: usize) -> bool {
    events.is_multiple_of(EVENTS_PER_TURN)
}

/// Threads that yield to all others, each for one body at a time.
#[derive(Debug)]
pub(crate) struct Readers {
    threads: Handle,
    runtime: Option<Runtime>,
}

impl Readers {
    /// So many threads, which are started when they are first needed.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(threads)
            .thread_name("bodies")
            .on_thread_start(|| {
                IS_READER.set(true);
                // Of this thread alone, as Linux has it (setpriority(2)).
                if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                    tracing::warn!(%error, "bodies are read at the priority of all else");
                }
            })
            .build()?;
        Ok(Self {
            threads: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Does `work` on one of the threads, even if nobody waits for it any more.
    ///
    /// # Errors
    /// The work panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        self.threads.spawn_blocking(work).await
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // Not waited for: a runtime must not be dropped where others are served.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn they_yield_to_others() {
        let readers = Readers::new(1).unwrap();
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let own = nice();
        assert_eq!(readers.run(nice).await.unwrap(), NICE.max(own));
        assert_eq!(nice(), own, "of no other thread");
    }
}
