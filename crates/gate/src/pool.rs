//! A pool of something finite, of which nobody can take so much that the others get nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::{ClientKey, FairQueue, Number};

/// The part of a pool that one client leaves to others, whatever its weight: one in so many.
const LEFT_TO_OTHERS: usize = 8;

/// Most that may wait for something of a pool.
const WAITING_MAX: usize = 1_024;

/// There is not so much left, or not for this client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is in use")]
pub struct Full;

/// A pool, of which each client holds at most its weight times what is free: dynamic thresholds (Choudhury and Hahne, "Dynamic queue length
/// thresholds for shared-memory packet switches", 1998). One that wants all gets half, and what is free is there for whoever comes next;
/// the more want some, the less each has, in proportion to their weights. Nothing is remembered of who holds nothing. Clones share it.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    uses: Uses,
    waiting: FairQueue<Wanted>,
}

#[derive(Debug)]
struct Uses {
    capacity: usize,
    is_fair: bool,
    total: usize,
    of_clients: HashMap<ClientKey, usize>,
}

/// What somebody waits for.
#[derive(Debug)]
struct Wanted {
    client: ClientKey,
    weight: u32,
    amount: usize,
    told: oneshot::Sender<Held>,
}

impl Uses {
    /// Whether a client of so much weight may have so much more.
    fn may_take(&self, client: &ClientKey, weight: u32, amount: usize) -> bool {
        let Some(free) = self.capacity.checked_sub(self.total.saturating_add(amount)) else {
            return false;
        };
        let of_client = self.of_clients.get(client).copied().unwrap_or(0) + amount;
        let weight = usize::try_from(weight).unwrap_or(usize::MAX);
        let most = weight
            .saturating_mul(free)
            .min(self.capacity - self.capacity / LEFT_TO_OTHERS);
        !self.is_fair || of_client <= most
    }

    fn add(&mut self, client: &ClientKey, amount: usize) {
        self.total += amount;
        *self.of_clients.entry(client.clone()).or_insert(0) += amount;
    }

    fn subtract(&mut self, client: &ClientKey, amount: usize) {
        self.total -= amount;
        if let Some(of_client) = self.of_clients.get_mut(client) {
            *of_client -= amount;
            if *of_client == 0 {
                self.of_clients.remove(client);
            }
        }
    }
}

/// What a client holds of a pool, until it is dropped.
#[derive(Debug)]
pub struct Held {
    pool: Pool,
    client: ClientKey,
    amount: usize,
}

/// Somebody who waits, and leaves the queue when he gives up.
struct Waits<'a> {
    pool: &'a Pool,
    client: &'a ClientKey,
    number: Number,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        if state.waiting.remove(self.client, self.number).is_some() {
            // Those behind it may have room for what they want.
            self.pool.hand_out(&mut state);
        }
    }
}

impl Pool {
    /// A pool of `capacity`. One that is not fair gives what there is to whoever comes, and of those who wait to whoever came first.
    #[must_use]
    pub fn new(capacity: usize, is_fair: bool) -> Self {
        let uses = Uses {
            capacity,
            is_fair,
            total: 0,
            of_clients: HashMap::new(),
        };
        let waiting = FairQueue::new(is_fair);
        Self(Arc::new(Mutex::new(State { uses, waiting })))
    }

    /// Takes `amount` for a client of so much weight; with what it holds already, if it holds something.
    ///
    /// # Errors
    /// `Full` where there is not so much, or where the client has its share.
    pub fn take(&self, client: &ClientKey, weight: u32, amount: usize) -> Result<Held, Full> {
        let mut state = self.lock();
        if amount > 0 {
            if !state.uses.may_take(client, weight, amount) {
                return Err(Full);
            }
            state.uses.add(client, amount);
        }
        Ok(self.held(client, amount))
    }

    /// Nothing, of which more may be taken when its turn comes.
    #[must_use]
    pub fn none(&self, client: &ClientKey) -> Held {
        self.held(client, 0)
    }

    /// What is entered for a client, as something that comes back.
    fn held(&self, client: &ClientKey, amount: usize) -> Held {
        Held {
            pool: self.clone(),
            client: client.clone(),
            amount,
        }
    }

    /// Gives what is free to those who wait, in their turn. Who cannot have what he waits for lets others go first.
    fn hand_out(&self, State { uses, waiting }: &mut State) {
        while let Some(wanted) =
            waiting.pop_if(|client, wanted| uses.may_take(client, wanted.weight, wanted.amount))
        {
            let held = self.held(&wanted.client, wanted.amount);
            match wanted.told.send(held) {
                Ok(()) => uses.add(&wanted.client, wanted.amount),
                // Nobody waits for it any more. It was not entered, and must not be given back.
                Err(mut unwanted) => unwanted.amount = 0,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Takes so much more, at once or when its turn comes: after what waits already for this client.
    ///
    /// # Errors
    /// `Full` where there was no room within `limit`, or too many wait for some; what is held stays.
    pub async fn grow(&mut self, weight: u32, amount: usize, limit: Duration) -> Result<(), Full> {
        let (comes, waits) = {
            let mut state = self.pool.lock();
            let State { uses, waiting } = &mut *state;
            if !waiting.is_waited_in_by(&self.client) && uses.may_take(&self.client, weight, amount) {
                uses.add(&self.client, amount);
                self.amount += amount;
                return Ok(());
            }
            if waiting.len() >= WAITING_MAX && !waiting.make_room_for(&self.client) {
                return Err(Full);
            }
            let (told, comes) = oneshot::channel();
            let wanted = Wanted {
                client: self.client.clone(),
                weight,
                amount,
                told,
            };
            let number = waiting.push(&self.client, weight, amount, wanted);
            let (pool, client) = (&self.pool, &self.client);
            (comes, Waits { pool, client, number })
        };
        let outcome = tokio::time::timeout(limit, comes).await;
        drop(waits);
        let mut more = outcome.ok().and_then(Result::ok).ok_or(Full)?;
        self.amount += std::mem::take(&mut more.amount);
        Ok(())
    }

    /// What is held.
    #[must_use]
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Gives back all but `amount`.
    pub fn shrink_to(&mut self, amount: usize) {
        let surplus = self.amount.saturating_sub(amount);
        if surplus == 0 {
            return;
        }
        self.amount -= surplus;
        let mut state = self.pool.lock();
        state.uses.subtract(&self.client, surplus);
        self.pool.hand_out(&mut state);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a wait is measured")]
mod tests {
    use model::Client;
    use proptest::prelude::*;

    use super::*;

    fn client(name: &str) -> ClientKey {
        ClientKey::Token(Client::of(name))
    }

    /// Takes one at a time for each of the clients in turn, until none of them gets any more.
    fn take_all(pool: &Pool, clients: &[(&str, u32)], held: &mut [Vec<Held>]) {
        let mut gets = true;
        while gets {
            gets = false;
            for (held, (name, weight)) in held.iter_mut().zip(clients) {
                let more = pool.take(&client(name), *weight, 1).ok();
                gets |= more.is_some();
                held.extend(more);
            }
        }
    }

    fn all_that_they_get(pool: &Pool, clients: &[(&str, u32)]) -> Vec<Vec<Held>> {
        let mut held: Vec<Vec<Held>> = clients.iter().map(|_| Vec::new()).collect();
        take_all(pool, clients, &mut held);
        held
    }

    #[test]
    fn who_wants_all_leaves_enough_for_who_comes_next() {
        let pool = Pool::new(1_200, true);
        let held = all_that_they_get(&pool, &[("flood", 1)]);
        assert_eq!(held[0].len(), 600);
        let next = all_that_they_get(&pool, &[("polite", 1)]);
        assert_eq!(next[0].len(), 300);
        drop((held, next));
        assert!(pool.lock().uses.of_clients.is_empty());
        let heavy = all_that_they_get(&pool, &[("heavy", 1_000)]);
        assert_eq!(heavy[0].len(), 1_050);
    }

    #[test]
    fn shares_are_as_the_weights() {
        let clients = [("one", 1), ("three", 3)];
        let pool = Pool::new(10_000, true);
        let mut held = all_that_they_get(&pool, &clients);
        // What is held comes back sooner or later.
        for _ in 0..5_000 {
            for held in &mut held {
                held.pop();
            }
            take_all(&pool, &clients, &mut held);
        }
        let (one, three) = (held[0].len(), held[1].len());
        assert!(
            one.abs_diff(2_000) <= 20 && three.abs_diff(6_000) <= 20,
            "{one} {three}"
        );
    }

    #[test]
    fn a_pool_that_is_not_fair_gives_all_to_the_first() {
        let pool = Pool::new(100, false);
        let _all = pool.take(&client("flood"), 1, 100).unwrap();
        assert!(pool.take(&client("polite"), 1, 1).is_err());
        assert!(pool.take(&client("polite"), 1, 0).is_ok());
    }

    const LIMIT: Duration = Duration::from_secs(10);

    /// Something that grows, by so much, of a client that holds nothing yet.
    async fn wait_for(pool: &Pool, name: &str, amount: usize) -> Result<Held, Full> {
        let mut held = pool.none(&client(name));
        held.grow(1, amount, LIMIT).await.map(|()| held)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_has_what_comes_free_in_turn() {
        let pool = Pool::new(100, true);
        let mut first = wait_for(&pool, "flood", 50).await.unwrap();
        let waits = async || {
            let held = wait_for(&pool, "flood", 20).await;
            (tokio::time::Instant::now(), held)
        };
        let frees = async {
            tokio::time::sleep(LIMIT / 4).await;
            // The others are not kept out by those who wait.
            assert!(wait_for(&pool, "polite", 10).await.is_ok());
            first.shrink_to(30);
            tokio::time::sleep(LIMIT / 4).await;
            drop(first);
        };
        let ((second_at, second), (third_at, third), ()) = tokio::join!(waits(), waits(), frees);
        assert_eq!((second_at + LIMIT / 4), third_at);
        assert_eq!(second.unwrap().amount() + third.unwrap().amount(), 40);
        assert_eq!(pool.lock().uses.total, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_who_gives_up_has_nothing() {
        let pool = Pool::new(100, true);
        let held = wait_for(&pool, "flood", 50).await.unwrap();
        assert_eq!(wait_for(&pool, "flood", 1).await.unwrap_err(), Full);
        let waits = wait_for(&pool, "flood", 1);
        let gone = tokio::time::timeout(LIMIT / 2, waits).await;
        assert!(gone.is_err() && pool.lock().waiting.is_empty());
        // One that is told that it has its turn, and leaves before it hears of that.
        let mut waits = Box::pin(wait_for(&pool, "flood", 1));
        assert!(futures_util::poll!(&mut waits).is_pending());
        drop(held);
        assert_eq!(pool.lock().uses.total, 1);
        drop(waits);
        let state = pool.lock();
        assert!(state.uses.of_clients.is_empty() && state.uses.total == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_lets_those_behind_go_on() {
        let pool = Pool::new(100, true);
        let _held = wait_for(&pool, "flood", 40).await.unwrap();
        let mut first = Box::pin(wait_for(&pool, "flood", 30));
        let mut second = Box::pin(wait_for(&pool, "flood", 5));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        let begun = tokio::time::Instant::now();
        assert_eq!(
            (second.await.unwrap().amount(), begun.elapsed()),
            (5, Duration::ZERO)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_finite_number_waits_and_none_waits_alone() {
        let pool = Pool::new(100, true);
        let _held = wait_for(&pool, "flood", 50).await.unwrap();
        let _rest = wait_for(&pool, "polite", 25).await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..=WAITING_MAX {
            let pool = pool.clone();
            waiting.spawn(async move { wait_for(&pool, "flood", 1).await });
        }
        let refused = waiting.join_next().await.unwrap().unwrap();
        assert_eq!((refused.unwrap_err(), waiting.len()), (Full, WAITING_MAX));
        let polite = pool.clone();
        let polite = tokio::spawn(async move { wait_for(&polite, "polite", 25).await });
        // One of those of whom most wait makes room.
        assert_eq!(waiting.join_next().await.unwrap().unwrap().unwrap_err(), Full);
        assert!(!polite.is_finished());
    }

    proptest! {
        #[test]
        fn never_more_than_there_is_and_all_comes_back(
            steps in prop::collection::vec((0usize..4, 1u32..5, 0usize..60, any::<bool>()), 0..200),
            is_fair in any::<bool>(),
        ) {
            let pool = Pool::new(100, is_fair);
            let mut held: Vec<Held> = Vec::new();
            for (name, weight, amount, gives_back) in steps {
                if gives_back {
                    held.pop();
                } else {
                    held.extend(pool.take(&client(&name.to_string()), weight, amount).ok());
                }
                let total: usize = held.iter().map(|held| held.amount).sum();
                prop_assert!(total <= 100);
                prop_assert_eq!(pool.lock().uses.total, total);
            }
            drop(held);
            prop_assert!(pool.lock().uses.of_clients.is_empty());
        }
    }
}
