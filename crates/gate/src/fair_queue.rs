//! Whose turn it is, where several clients wait for the same.

use std::collections::{HashMap, VecDeque};

use crate::ClientKey;
use crate::tokens::WEIGHT_MAX;

/// Most clients whose past is remembered while they wait for nothing.
const CLIENTS_MAX: usize = 4_096;

/// The number of what waits, by which it is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number(u64);

/// What waits, of each client in the order in which it came. The next is of the client that has had least for its weight since it began to
/// wait: weighted fair queueing, by a virtual time for each client (Demers, Keshav and Shenker, "Analysis and simulation of a fair queueing
/// algorithm", 1989). A client that wanted nothing for a while has saved nothing up by that.
#[derive(Debug)]
pub struct FairQueue<T> {
    is_fair: bool,
    /// The virtual time of what was served last.
    now: u64,
    clients: HashMap<ClientKey, Waiter<T>>,
    next_number: u64,
    length: usize,
}

#[derive(Debug)]
struct Waiter<T> {
    /// The virtual time at which the client's next turn comes.
    turn: u64,
    weight: u32,
    waiting: VecDeque<Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    number: u64,
    cost: usize,
    what: T,
}

impl<T> FairQueue<T> {
    /// A queue in which nothing waits. One that is not fair serves what came first.
    #[must_use]
    pub fn new(is_fair: bool) -> Self {
        Self {
            is_fair,
            now: 0,
            clients: HashMap::new(),
            next_number: 0,
            length: 0,
        }
    }

    /// The number of what waits.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether something of a client waits.
    #[must_use]
    pub fn is_waited_in_by(&self, client: &ClientKey) -> bool {
        self.clients
            .get(client)
            .is_some_and(|waiter| !waiter.waiting.is_empty())
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes note of what a client had without waiting.
    pub fn note(&mut self, client: &ClientKey, weight: u32, cost: usize) {
        let is_fair = self.is_fair;
        let now = self.now;
        let waiter = self.waiter(client, weight);
        waiter.turn = waiter.turn.max(now);
        let turn = waiter.turn;
        waiter.pay(cost);
        if is_fair {
            self.now = turn;
        }
    }

    /// Lets something wait that costs so much.
    pub fn push(&mut self, client: &ClientKey, weight: u32, cost: usize, what: T) -> Number {
        let number = self.next_number;
        self.next_number += 1;
        self.length += 1;
        let now = self.now;
        let waiter = self.waiter(client, weight);
        if waiter.waiting.is_empty() {
            waiter.turn = waiter.turn.max(now);
        }
        waiter.waiting.push_back(Waiting { number, cost, what });
        Number(number)
    }

    /// What is next, and what it costs.
    #[must_use]
    pub fn first(&self) -> Option<(&T, usize)> {
        let first = self
            .clients
            .get(&self.next_client(|_, _| true)?)?
            .waiting
            .front()?;
        Some((&first.what, first.cost))
    }

    /// Takes what is next.
    pub fn pop(&mut self) -> Option<T> {
        self.pop_if(|_, _| true)
    }

    /// Takes what is next of those clients whose turn may come, by what waits first of each.
    pub fn pop_if(&mut self, may: impl Fn(&ClientKey, &T) -> bool) -> Option<T> {
        let client = self.next_client(may)?;
        let waiter = self.clients.get_mut(&client)?;
        let first = waiter.waiting.pop_front()?;
        self.now = self.now.max(waiter.turn);
        waiter.pay(first.cost);
        self.length -= 1;
        Some(first.what)
    }

    /// Takes out what waits no longer; `None` where it had its turn.
    pub fn remove(&mut self, client: &ClientKey, Number(number): Number) -> Option<T> {
        let waiting = &mut self.clients.get_mut(client)?.waiting;
        let at = waiting
            .binary_search_by_key(&number, |waiting| waiting.number)
            .ok()?;
        self.length -= 1;
        waiting.remove(at).map(|waiting| waiting.what)
    }

    /// Takes out what came last of the client that has most waiting, where that is more than `client` has; false where it is not.
    pub fn make_room_for(&mut self, client: &ClientKey) -> bool {
        let own = self.clients.get(client).map_or(0, |waiter| waiter.waiting.len());
        let most = self
            .clients
            .values_mut()
            .max_by_key(|waiter| waiter.waiting.len());
        let Some(most) = most.filter(|most| self.is_fair && most.waiting.len() > own + 1) else {
            return false;
        };
        most.waiting.pop_back();
        self.length -= 1;
        true
    }

    /// Takes out everything.
    pub fn take_all(&mut self) -> Vec<T> {
        self.length = 0;
        let all = self
            .clients
            .values_mut()
            .flat_map(|waiter| waiter.waiting.drain(..));
        all.map(|waiting| waiting.what).collect()
    }

    fn next_client(&self, may: impl Fn(&ClientKey, &T) -> bool) -> Option<ClientKey> {
        if self.length == 0 {
            return None;
        }
        let heads = self.clients.iter().filter_map(|(client, waiter)| {
            let first = waiter.waiting.front()?;
            let turn = if self.is_fair { waiter.turn } else { 0 };
            may(client, &first.what).then_some(((turn, first.number), client))
        });
        heads
            .min_by_key(|(order, _)| *order)
            .map(|(_, client)| client.clone())
    }

    fn waiter(&mut self, client: &ClientKey, weight: u32) -> &mut Waiter<T> {
        if self.clients.len() >= CLIENTS_MAX && !self.clients.contains_key(client) {
            self.clients.retain(|_, waiter| !waiter.waiting.is_empty());
        }
        let waiter = self.clients.entry(client.clone()).or_insert_with(|| Waiter {
            turn: 0,
            weight,
            waiting: VecDeque::new(),
        });
        waiter.weight = weight;
        waiter
    }
}

impl<T> Waiter<T> {
    /// Puts the client's next turn off by what it had, the less the more weight it has.
    fn pay(&mut self, cost: usize) {
        let cost = (cost as u64).saturating_mul(u64::from(WEIGHT_MAX));
        self.turn = self.turn.saturating_add(cost / u64::from(self.weight.max(1)));
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

    /// How often each name comes among the next `turns`.
    fn served<'a>(queue: &mut FairQueue<&'a str>, turns: usize, name: &str) -> usize {
        let served: Vec<&'a str> = std::iter::from_fn(|| queue.pop()).take(turns).collect();
        served.iter().filter(|served| **served == name).count()
    }

    #[test]
    fn turns_are_as_the_weights_whoever_asks_more() {
        let mut queue = FairQueue::new(true);
        for _ in 0..1_000 {
            queue.push(&client("one"), 1, 10, "one");
        }
        for _ in 0..300 {
            queue.push(&client("three"), 3, 10, "three");
        }
        assert_eq!(served(&mut queue, 400, "three"), 300);
        assert_eq!(served(&mut queue, 10, "one"), 10);
    }

    #[test]
    fn what_costs_more_has_fewer_turns() {
        let mut queue = FairQueue::new(true);
        for _ in 0..100 {
            queue.push(&client("large"), 1, 30, "large");
            queue.push(&client("small"), 1, 10, "small");
        }
        assert_eq!(served(&mut queue, 100, "small"), 75);
    }

    #[test]
    fn who_comes_late_has_saved_nothing_up_and_owes_nothing() {
        let mut queue = FairQueue::new(true);
        for _ in 0..1_000 {
            queue.note(&client("flood"), 1, 10);
        }
        for _ in 0..100 {
            queue.push(&client("flood"), 1, 10, "flood");
            queue.push(&client("late"), 1, 10, "late");
        }
        let late = served(&mut queue, 100, "late");
        assert!((49..=51).contains(&late), "{late}");
    }

    #[test]
    fn what_waits_no_longer_costs_nothing() {
        let mut queue = FairQueue::new(true);
        let mut numbers = Vec::new();
        for _ in 0..100 {
            numbers.push(queue.push(&client("gives up"), 1, 1_000, "gives up"));
        }
        for number in numbers {
            assert_eq!(queue.remove(&client("gives up"), number), Some("gives up"));
            assert_eq!(queue.remove(&client("gives up"), number), None);
        }
        assert!(queue.is_empty() && queue.first().is_none());
        queue.push(&client("other"), 1, 1, "other");
        queue.push(&client("gives up"), 1, 1, "gives up");
        assert_eq!(queue.first(), Some((&"other", 1)));
        assert_eq!(queue.take_all().len(), 2);
        assert!(queue.is_empty() && queue.pop().is_none());
    }

    #[test]
    fn a_queue_that_is_not_fair_serves_what_came_first() {
        let mut queue = FairQueue::new(false);
        for _ in 0..10 {
            queue.push(&client("flood"), 1, 1, "flood");
        }
        queue.push(&client("polite"), 1, 1, "polite");
        assert_eq!(served(&mut queue, 10, "flood"), 10);
    }

    #[test]
    fn clients_that_wait_for_nothing_are_forgotten() {
        let mut queue = FairQueue::new(true);
        queue.push(&client("waits"), 1, 1, ());
        for n in 0..=CLIENTS_MAX {
            queue.note(&client(&n.to_string()), 1, 1);
        }
        assert!(queue.clients.len() <= CLIENTS_MAX);
        assert_eq!((queue.len(), queue.pop()), (1, Some(())));
    }

    proptest! {
        #[test]
        fn everything_has_its_turn_once(steps in prop::collection::vec((0usize..5, 1u32..9, 0usize..50, 0u8..4), 0..200), is_fair in any::<bool>()) {
            let mut queue = FairQueue::new(is_fair);
            let mut waiting = std::collections::BTreeMap::new();
            for (at, (name, weight, cost, step)) in steps.into_iter().enumerate() {
                let name = client(&name.to_string());
                match step {
                    0 => queue.note(&name, weight, cost),
                    1 | 2 => {
                        let number = queue.push(&name, weight, cost, at);
                        waiting.insert(at, (name, number));
                    }
                    _ => match queue.pop() {
                        Some(at) => prop_assert!(waiting.remove(&at).is_some()),
                        None => prop_assert!(waiting.is_empty()),
                    },
                }
                prop_assert_eq!(queue.len(), waiting.len());
            }
            while let Some(at) = queue.pop() {
                prop_assert!(waiting.remove(&at).is_some());
            }
            prop_assert!(waiting.is_empty());
        }
    }
}
