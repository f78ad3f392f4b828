//! Shares: how much of something one client may use at once, so that no client uses up what is there for all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// The uses in progress, by client. Clones share one state.
#[derive(Debug, Clone)]
pub struct Shares<K> {
    per_client_max: usize,
    in_progress: Arc<Mutex<HashMap<K, usize>>>,
}

/// One use of a client's share, given back when dropped.
#[derive(Debug)]
pub struct Share<K: Eq + Hash> {
    client: K,
    shares: Shares<K>,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    /// Shares of `per_client_max` uses for each client.
    #[must_use]
    pub fn new(per_client_max: usize) -> Self {
        Self {
            per_client_max,
            in_progress: Arc::default(),
        }
    }

    /// Takes one use of the client's share; `None` where the share is used up.
    #[must_use]
    pub fn take(&self, client: K) -> Option<Share<K>> {
        let mut in_progress = self.in_progress.lock().unwrap_or_else(PoisonError::into_inner);
        let uses = in_progress.entry(client.clone()).or_insert(0);
        if *uses >= self.per_client_max {
            return None;
        }
        *uses += 1;
        Some(Share {
            client,
            shares: self.clone(),
        })
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut in_progress = self
            .shares
            .in_progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(uses) = in_progress.get_mut(&self.client) {
            *uses -= 1;
            if *uses == 0 {
                in_progress.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_per_client_and_comes_back() {
        let shares = Shares::new(1);
        let first = shares.take("a");
        assert!(first.is_some());
        assert!(shares.take("a").is_none());
        assert!(shares.take("b").is_some());
        drop(first);
        assert!(shares.take("a").is_some());
        assert!(shares.in_progress.lock().unwrap().is_empty());
    }
}
