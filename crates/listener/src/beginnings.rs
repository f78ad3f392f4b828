//! How connections begin: a few at once, their clients in turn.

use std::future::poll_fn;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio_util::task::TaskTracker;

use crate::turns::Turns;

/// Most connections at once that are ready to be looked at for the first time, at which most have sent their first request, which then goes as
/// far as it can. Everything else that is ready waits with them for a thread, and one client may connect a thousand times in a moment.
const AT_ONCE_MAX: usize = 8;

/// Connections that were accepted and have not begun, `F` being what serves one. Whoever accepts bounds their number.
#[derive(Debug)]
pub(crate) struct Beginnings<K, F> {
    state: Mutex<State<K, F>>,
    connections: TaskTracker,
}

#[derive(Debug)]
struct State<K, F> {
    waiting: Turns<K, Pin<Box<F>>>,
    /// The number of those that have their turn.
    at_once: usize,
}

impl<K, F> Beginnings<K, F>
where
    K: Eq + Hash + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    /// Those whose connections are then among `connections`.
    pub(crate) fn new(connections: TaskTracker) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                waiting: Turns::new(),
                at_once: 0,
            }),
            connections,
        })
    }

    /// Serves a connection of a client, once it is its turn.
    pub(crate) fn add(self: &Arc<Self>, client: K, connection: F) {
        // Once: a future that is moved into others has room in each of them.
        let connection = Box::pin(connection);
        let mut state = self.lock();
        if state.at_once == AT_ONCE_MAX {
            state.waiting.push(client, connection);
            return;
        }
        state.at_once += 1;
        drop(state);
        self.spawn(connection);
    }

    /// A connection has begun once it was looked at: it waits for its client then, or for something else.
    fn spawn(self: &Arc<Self>, mut connection: Pin<Box<F>>) {
        let beginnings = self.clone();
        self.connections.spawn(async move {
            // Behind what is ready, before which goes what a task spawns, and after the system was asked whether the request has come.
            tokio::task::yield_now().await;
            let place = Place(beginnings);
            let has_ended =
                poll_fn(|context| Poll::Ready(connection.as_mut().poll(context).is_ready())).await;
            drop(place);
            if !has_ended {
                connection.await;
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, State<K, F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a connection that begins. The next one has it then, also where a request panics.
struct Place<K, F>(Arc<Beginnings<K, F>>)
where
    K: Eq + Hash + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static;

impl<K, F> Drop for Place<K, F>
where
    K: Eq + Hash + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    fn drop(&mut self) {
        let mut state = self.0.lock();
        let Some(next) = state.waiting.pop() else {
            state.at_once -= 1;
            return;
        };
        drop(state);
        self.0.spawn(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_next_begins_even_where_one_panics() {
        let connections = TaskTracker::new();
        let beginnings = Beginnings::new(connections.clone());
        let served = Arc::new(Mutex::new(Vec::new()));
        for n in 0..3 * AT_ONCE_MAX {
            let served = served.clone();
            beginnings.add(n % 2, async move {
                assert!(n % 2 == 0, "{n} panics, as it is to");
                served.lock().unwrap().push(n);
                tokio::task::yield_now().await;
            });
        }
        connections.close();
        connections.wait().await;
        let mut served = served.lock().unwrap();
        served.sort_unstable();
        let even: Vec<_> = (0..3 * AT_ONCE_MAX).step_by(2).collect();
        assert_eq!(*served, even);
        assert_eq!(beginnings.lock().at_once, 0);
    }
}
