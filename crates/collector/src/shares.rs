//! What one client may take of a collector at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Requests in progress, by client.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    per_client_max: usize,
    in_progress: Arc<Mutex<HashMap<String, usize>>>,
}

/// One request's part of its client's share, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    client: String,
    shares: Shares,
}

impl Shares {
    pub(crate) fn new(per_client_max: usize) -> Self {
        Self {
            per_client_max,
            in_progress: Arc::default(),
        }
    }

    /// `None` where the client's share is used up.
    pub(crate) fn take(&self, client: String) -> Option<Share> {
        let mut in_progress = self.in_progress.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = in_progress.entry(client.clone()).or_insert(0);
        if *requests >= self.per_client_max {
            return None;
        }
        *requests += 1;
        Some(Share {
            client,
            shares: self.clone(),
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut in_progress = self
            .shares
            .in_progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(requests) = in_progress.get_mut(&self.client) {
            *requests -= 1;
            if *requests == 0 {
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
        let first = shares.take("a".to_owned());
        assert!(first.is_some());
        assert!(shares.take("a".to_owned()).is_none());
        assert!(shares.take("b".to_owned()).is_some());
        drop(first);
        assert!(shares.take("a".to_owned()).is_some());
        assert!(shares.in_progress.lock().unwrap().is_empty());
    }
}
