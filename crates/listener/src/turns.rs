//! What waits, of each client one in turn.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// What waits, of each client in the order in which it came. However much one client has waiting, another waits for one of it at most.
#[derive(Debug)]
pub(crate) struct Turns<K, T> {
    /// Clients that have something waiting, the next one first.
    clients: VecDeque<K>,
    waiting: HashMap<K, VecDeque<T>>,
}

impl<K: Eq + Hash + Clone, T> Turns<K, T> {
    pub(crate) fn new() -> Self {
        Self {
            clients: VecDeque::new(),
            waiting: HashMap::new(),
        }
    }

    pub(crate) fn push(&mut self, client: K, what: T) {
        let of_client = self.waiting.entry(client.clone()).or_default();
        if of_client.is_empty() {
            self.clients.push_back(client);
        }
        of_client.push_back(what);
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let client = self.clients.pop_front()?;
        let of_client = self.waiting.get_mut(&client)?;
        let what = of_client.pop_front();
        if of_client.is_empty() {
            self.waiting.remove(&client);
        } else {
            self.clients.push_back(client);
        }
        what
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_turn_and_what_it_sent_first_comes_first() {
        let mut turns = Turns::new();
        (1..=4).for_each(|n| turns.push("flood", n));
        turns.push("polite", 10);
        assert_eq!((turns.pop(), turns.pop()), (Some(1), Some(10)));
        turns.push("late", 20);
        let rest: Vec<_> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(rest, [2, 20, 3, 4]);
        assert!(turns.waiting.is_empty());
    }
}
