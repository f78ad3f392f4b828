//! The threads on which bodies are unpacked and read.

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinError;

/// The priority of these threads (nice, from -20 to 19): bodies that take a core for milliseconds hold up the connections of others less. It
/// counts among the threads of a session, so it orders this process, and not what else runs on the machine (sched(7), autogroups).
const NICE: i32 = 10;

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
