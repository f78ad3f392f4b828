//! A pool of something finite, of which nobody can take so much that the others get nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ClientKey;

/// The part of a pool that one client leaves to others, whatever its weight: one in so many.
const LEFT_TO_OTHERS: usize = 8;

/// There is not so much left, or not for this client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is in use")]
pub struct Full;

/// A pool, of which each client holds at most its weight times what is free: dynamic thresholds (Choudhury and Hahne, "Dynamic queue length
/// thresholds for shared-memory packet switches", 1998). One that wants all gets half, and what is free is there for whoever comes next;
/// the more want some, the less each has, in proportion to their weights. Nothing is remembered of who holds nothing. Clones share it.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    capacity: usize,
    is_fair: bool,
    uses: Mutex<Uses>,
}

#[derive(Debug, Default)]
struct Uses {
    total: usize,
    of_clients: HashMap<ClientKey, usize>,
}

/// What a client holds of a pool, until it is dropped.
#[derive(Debug)]
pub struct Held {
    pool: Pool,
    client: ClientKey,
    amount: usize,
}

impl Pool {
    /// A pool of `capacity`. One that is not fair gives what there is to whoever comes first.
    #[must_use]
    pub fn new(capacity: usize, is_fair: bool) -> Self {
        Self(Arc::new(Shared {
            capacity,
            is_fair,
            uses: Mutex::default(),
        }))
    }

    /// Takes `amount` for a client of so much weight; with what it holds already, if it holds something.
    ///
    /// # Errors
    /// `Full` where there is not so much, or where the client has its share.
    pub fn take(&self, client: &ClientKey, weight: u32, amount: usize) -> Result<Held, Full> {
        let mut held = Held {
            pool: self.clone(),
            client: client.clone(),
            amount: 0,
        };
        held.grow(weight, amount)?;
        Ok(held)
    }

    fn lock(&self) -> MutexGuard<'_, Uses> {
        self.0.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Takes so much more.
    ///
    /// # Errors
    /// As [`Pool::take`]; what is held stays.
    pub fn grow(&mut self, weight: u32, amount: usize) -> Result<(), Full> {
        if amount == 0 {
            return Ok(());
        }
        let capacity = self.pool.0.capacity;
        let mut uses = self.pool.lock();
        let free = capacity
            .checked_sub(uses.total.saturating_add(amount))
            .ok_or(Full)?;
        let of_client = uses.of_clients.get(&self.client).copied().unwrap_or(0) + amount;
        let weight = usize::try_from(weight).unwrap_or(usize::MAX);
        let most = weight
            .saturating_mul(free)
            .min(capacity - capacity / LEFT_TO_OTHERS);
        if self.pool.0.is_fair && of_client > most {
            return Err(Full);
        }
        uses.total += amount;
        uses.of_clients.insert(self.client.clone(), of_client);
        self.amount += amount;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.amount == 0 {
            return;
        }
        let mut uses = self.pool.lock();
        uses.total -= self.amount;
        if let Some(of_client) = uses.of_clients.get_mut(&self.client) {
            *of_client -= self.amount;
            if *of_client == 0 {
                uses.of_clients.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
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
        assert!(pool.lock().of_clients.is_empty());
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
        let mut all = pool.take(&client("flood"), 1, 60).unwrap();
        all.grow(1, 40).unwrap();
        assert_eq!(all.grow(1, 1), Err(Full));
        assert!(pool.take(&client("polite"), 1, 1).is_err());
        assert!(pool.take(&client("polite"), 1, 0).is_ok());
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
                prop_assert_eq!(pool.lock().total, total);
            }
            drop(held);
            prop_assert!(pool.lock().of_clients.is_empty());
        }
    }
}
