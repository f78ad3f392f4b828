//! Places: a finite number of them, then a finite queue with a time limit, then a refusal.

#![expect(
    clippy::disallowed_methods,
    reason = "who was there a moment ago counts as being there"
)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::{ClientKey, FairQueue, Number};

/// For so long after its last request that needs no place, a client counts as one that sends such requests.
const SHORT_FOR: Duration = Duration::from_secs(1);

/// The limits of places.
#[derive(Debug, Clone, Copy)]
pub struct PlaceLimits {
    /// Places that may be taken at once.
    pub at_once_max: usize,
    /// Places that may be taken at once while another client than who takes one sends requests that need none.
    pub beside_short_max: usize,
    /// Clients' requests that may wait for one.
    pub waiting_max: usize,
    /// Longest wait.
    pub wait_max: Duration,
}

/// No place came free in time, or too many wait for one already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all places are taken, and too many wait for one")]
pub struct NoPlace;

/// Places that clients take turns for, by weight. In a full queue, the last that came of the client that has most waiting makes room for a
/// client that has fewer: so none fills the queue for all. Clones share them.
#[derive(Debug, Clone)]
pub struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: PlaceLimits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    taken: Taken,
    waiting: FairQueue<oneshot::Sender<Place>>,
}

/// How many places are taken, and who leaves how many.
#[derive(Debug)]
struct Taken {
    is_fair: bool,
    places: usize,
    /// The two clients that were the last to send a request that needs no place, and when; the last of all first.
    latest: [Option<(ClientKey, Instant)>; 2],
}

impl Taken {
    fn note(&mut self, client: &ClientKey) {
        let now = Instant::now();
        match &mut self.latest[0] {
            Some((latest, at)) if latest == client => *at = now,
            _ => {
                self.latest.swap(0, 1);
                self.latest[0] = Some((client.clone(), now));
            }
        }
    }

    /// Whether a client may take one place more.
    fn may_take(&self, limits: &PlaceLimits, now: Instant, client: &ClientKey) -> bool {
        let mut others = self.latest.iter().flatten().filter(|(other, _)| other != client);
        let is_beside_short = self.is_fair && others.any(|(_, at)| now.duration_since(*at) < SHORT_FOR);
        let max = if is_beside_short {
            limits.beside_short_max
        } else {
            limits.at_once_max
        };
        self.places < max
    }
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub struct Place(Option<Arc<Shared>>);

/// Somebody who waits, and leaves the queue when he gives up.
struct Waits<'a> {
    places: &'a Places,
    client: &'a ClientKey,
    number: Number,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        // Removed under the lock, dropped without it: what is dropped may be a place.
        let left = self.places.lock().waiting.remove(self.client, self.number);
        drop(left);
    }
}

impl Places {
    /// Places within `limits`. Ones that are not fair go to who came first.
    #[must_use]
    pub fn new(limits: PlaceLimits, is_fair: bool) -> Self {
        Self(Arc::new(Shared {
            limits,
            state: Mutex::new(State {
                taken: Taken {
                    is_fair,
                    places: 0,
                    latest: [None, None],
                },
                waiting: FairQueue::new(is_fair),
            }),
        }))
    }

    /// Takes note of a client's request that needs no place, so that others leave it room.
    pub fn note(&self, client: &ClientKey) {
        self.lock().taken.note(client);
    }

    /// Takes a place for a client of so much weight, at once or when its turn comes. `cost` is how long the place is needed, beside others.
    ///
    /// # Errors
    /// `NoPlace` where none comes free in time, or the queue is full.
    pub async fn take(&self, client: &ClientKey, weight: u32, cost: usize) -> Result<Place, NoPlace> {
        let (comes, waits) = {
            let mut state = self.lock();
            // One may be free by now that was left to others.
            self.0.hand_out(&mut state);
            if state.waiting.is_empty() && state.taken.may_take(&self.0.limits, Instant::now(), client) {
                state.taken.places += 1;
                state.waiting.note(client, weight, cost);
                return Ok(Place(Some(Arc::clone(&self.0))));
            }
            if state.waiting.len() >= self.0.limits.waiting_max && !state.waiting.make_room_for(client) {
                return Err(NoPlace);
            }
            let (send, comes) = oneshot::channel();
            let number = state.waiting.push(client, weight, cost, send);
            // Those who wait may have to leave to others what this client may take.
            self.0.hand_out(&mut state);
            let places = self;
            (
                comes,
                Waits {
                    places,
                    client,
                    number,
                },
            )
        };
        let outcome = tokio::time::timeout(self.0.limits.wait_max, comes).await;
        drop(waits);
        outcome.ok().and_then(Result::ok).ok_or(NoPlace)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Shared {
    /// Gives the places that are free to those who wait, in their turn.
    fn hand_out(self: &Arc<Self>, state: &mut State) {
        let State { taken, waiting } = state;
        if waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        while taken.places < self.limits.at_once_max
            && let Some(waits) = waiting.pop_if(|client, _| taken.may_take(&self.limits, now, client))
        {
            match waits.send(Place(Some(Arc::clone(self)))) {
                Ok(()) => taken.places += 1,
                // Nobody waits for it any more. It was not taken, and must not be given back.
                Err(mut unwanted) => unwanted.0 = None,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut state = shared.lock();
        state.taken.places -= 1;
        shared.hand_out(&mut state);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a wait is measured")]
mod tests {
    use model::Client;

    use super::*;

    const LIMITS: PlaceLimits = PlaceLimits {
        at_once_max: 1,
        beside_short_max: 1,
        waiting_max: 4,
        wait_max: Duration::from_secs(5),
    };

    fn client(name: &str) -> ClientKey {
        ClientKey::Token(Client::of(name))
    }

    #[tokio::test(start_paused = true)]
    async fn places_come_back_and_nobody_waits_for_ever() {
        let places = Places::new(LIMITS, true);
        let taken = places.take(&client("a"), 1, 1).await.unwrap();
        let begun = tokio::time::Instant::now();
        assert_eq!(places.take(&client("b"), 1, 1).await.unwrap_err(), NoPlace);
        assert_eq!(begun.elapsed(), LIMITS.wait_max);
        assert!(places.lock().waiting.is_empty());
        let b = client("b");
        let (waited, ()) = tokio::join!(places.take(&b, 1, 1), async {
            tokio::task::yield_now().await;
            drop(taken);
        });
        let waited = waited.unwrap();
        let c = client("c");
        let gives_up = tokio::time::timeout(Duration::from_secs(1), places.take(&c, 1, 1));
        assert!(gives_up.await.is_err());
        assert!(places.lock().waiting.is_empty());
        drop(waited);
        assert!(places.lock().taken.places == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn beside_short_requests_of_others_a_place_is_left() {
        let places = Places::new(
            PlaceLimits {
                at_once_max: 2,
                ..LIMITS
            },
            true,
        );
        let (large, small) = (client("large"), client("small"));
        let alone = [
            places.take(&large, 1, 1).await.unwrap(),
            places.take(&large, 1, 1).await.unwrap(),
        ];
        places.note(&small);
        let mut next = Box::pin(places.take(&large, 1, 1));
        assert!(poll(&mut next).await.is_none());
        let [first, second] = alone;
        drop(first);
        assert!(poll(&mut next).await.is_none(), "one is left to the other");
        assert!(places.take(&small, 1, 1).await.is_ok());
        drop(second);
        let _one = poll(&mut next).await.unwrap().unwrap();
        let mut next = Box::pin(places.take(&large, 1, 1));
        assert!(poll(&mut next).await.is_none());
        tokio::time::advance(SHORT_FOR).await;
        let mut another = Box::pin(places.take(&large, 1, 1));
        assert!(poll(&mut another).await.is_none());
        assert!(
            poll(&mut next).await.unwrap().is_ok(),
            "nobody else sends short ones any more"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_fills_the_queue_makes_room_for_others() {
        let places = Places::new(LIMITS, true);
        let taken = places.take(&client("flood"), 1, 1).await.unwrap();
        let (flood, polite) = (client("flood"), client("polite"));
        let floods: Vec<_> = (0..LIMITS.waiting_max)
            .map(|_| Box::pin(places.take(&flood, 1, 1)))
            .collect();
        let mut floods = futures(floods).await;
        assert!(places.take(&flood, 1, 1).await.is_err(), "its own queue is full");
        let mut waits = Box::pin(places.take(&polite, 1, 1));
        assert!(poll(&mut waits).await.is_none());
        let refused = futures_done(&mut floods).await;
        assert_eq!(
            refused,
            [None, None, None, Some(false)],
            "the last that came of those that wait"
        );
        drop(taken);
        assert!(
            poll(&mut waits).await.unwrap().is_ok(),
            "its turn comes before the flood's"
        );
    }

    type Take<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Place, NoPlace>> + 'a>>;

    /// What a future has come to, if it has.
    async fn poll(
        future: &mut (impl Future<Output = Result<Place, NoPlace>> + Unpin),
    ) -> Option<Result<Place, NoPlace>> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
                std::task::Poll::Ready(outcome) => Some(outcome),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }

    async fn futures<'a>(
        takes: Vec<std::pin::Pin<Box<impl Future<Output = Result<Place, NoPlace>> + 'a>>>,
    ) -> Vec<Take<'a>> {
        let mut all: Vec<Take<'a>> = Vec::new();
        for take in takes {
            let mut take: Take<'a> = take;
            assert!(poll(&mut take).await.is_none());
            all.push(take);
        }
        all
    }

    async fn futures_done(takes: &mut [Take<'_>]) -> Vec<Option<bool>> {
        let mut all = Vec::new();
        for take in takes {
            all.push(poll(take).await.map(|outcome| outcome.is_ok()));
        }
        all
    }
}
