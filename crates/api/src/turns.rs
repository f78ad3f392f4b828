//! Turns: work that keeps a core busy is done by a few at a time, on threads of its own, where it holds up no other task.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Longest wait for a turn.
const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// Reasons for which work was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the answer took too long: try again, use a shorter range or fewer names")]
    TookTooLong,
    #[error("a search ended without an answer")]
    Died(#[source] tokio::task::JoinError),
}

/// A permit for each piece of work in progress; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

/// The right to work, until it is dropped.
pub(crate) struct Turn(OwnedSemaphorePermit);

impl Turns {
    /// Turns for so many pieces of work at once.
    pub(crate) fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// `TookTooLong` where none comes in time.
    pub(crate) async fn wait(&self) -> Result<Turn, Error> {
        let turn = Arc::clone(&self.0).acquire_owned();
        match tokio::time::timeout(WAIT_LIMIT, turn).await {
            Ok(Ok(turn)) => Ok(Turn(turn)),
            _ => Err(Error::TookTooLong),
        }
    }

    /// Waits for a turn, and does `work` in it.
    ///
    /// # Errors
    /// `TookTooLong` where none comes in time, `Died` where `work` panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.wait().await?.run(work).await
    }
}

impl Turn {
    /// Does `work`. The turn is given back when it ends, even if nobody waits for it any more.
    ///
    /// # Errors
    /// `Died` where `work` panics.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let work = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(self.0);
            done
        });
        work.await.map_err(Error::Died)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_waits_for_its_turn_and_not_for_ever() {
        let turns = Turns::new(1);
        let taken = turns.wait().await.unwrap();
        assert!(matches!(turns.run(|| 0).await, Err(Error::TookTooLong)));
        assert_eq!(taken.run(|| 7).await.unwrap(), 7);
        let died = turns.run(|| panic!("on purpose")).await;
        assert!(matches!(died, Err::<(), _>(Error::Died(_))));
        assert!(turns.wait().await.is_ok());
    }
}
