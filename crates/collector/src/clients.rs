//! The clients with tokens: what each may send, and what it sent.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use gate::{Token, Tokens};
use metrics::Counter;
use model::{Client, Day, EventName, Minute};
use queue::Counts;

use crate::names_budget::NamesBudget;
use crate::rate::{Rate, UsedUp};

/// The clients whose tokens were used, by name. There are no more than tokens, but for those whose token was taken out since the last
/// report.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    by_name: Mutex<HashMap<Client, Arc<Sending>>>,
    /// The names that all of them have counted today.
    names: Arc<AtomicUsize>,
}

/// What a client sends.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) names: NamesBudget,
    /// The name that counts the names beyond those.
    pub(crate) overflow: EventName<'static>,
    own_names: [EventName<'static>; 4],
    rate: Mutex<Rate>,
    /// What was not reported yet, in the order of the names.
    unreported: [AtomicU64; 4],
    totals: [Counter; 4],
}

/// How many events of one request were accepted, and of these how many overflowed; how many were rejected; and how many names were new
/// on their day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) accepted: usize,
    pub(crate) rejected: usize,
    pub(crate) overflowed: usize,
    pub(crate) names: usize,
}

impl Clients {
    /// What the client of `token` sends.
    pub(crate) fn sending(&self, token: &Token) -> Arc<Sending> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sending) = by_name.get(&token.name) {
            return Arc::clone(sending);
        }
        let sending = Arc::new(Sending::new(&token.name, Arc::clone(&self.names)));
        by_name.insert(token.name.clone(), Arc::clone(&sending));
        sending
    }

    /// Forgets clients that have no token any more, and that nothing is to be reported of; and all names of days before `today`.
    pub(crate) fn keep(&self, tokens: &Tokens, today: Day) {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let has_token = |name: &Client| tokens.iter().any(|token| token.name == *name);
        by_name.retain(|name, sending| has_token(name) || sending.has_unreported());
        by_name
            .values()
            .for_each(|sending| sending.names.forget_before(today));
    }

    /// Takes what was not reported yet: the clients' own counts, in `minute`.
    pub(crate) fn take_report(&self, minute: Minute) -> Report {
        let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = by_name.values().map(|sending| {
            let taken = sending
                .unreported
                .each_ref()
                .map(|number| number.swap(0, Ordering::Relaxed));
            (Arc::clone(sending), taken)
        });
        Report {
            taken: taken
                .filter(|(_, taken)| taken.iter().any(|&number| number > 0))
                .collect(),
            minute,
        }
    }
}

impl Sending {
    fn new(client: &Client, names: Arc<AtomicUsize>) -> Self {
        let label = client.to_string();
        let counter = |name: &'static str| metrics::counter!(name, "client" => label.clone());
        Self {
            names: NamesBudget::new(names),
            overflow: client.overflow_name(),
            own_names: client.own_names(),
            rate: Mutex::default(),
            unreported: Default::default(),
            totals: [
                counter("collector_client_events_total"),
                counter("collector_client_events_rejected_total"),
                counter("collector_client_events_overflowed_total"),
                counter("collector_client_names_total"),
            ],
        }
    }

    /// Charges events to what the client may send; with none, only looks whether it may send.
    ///
    /// # Errors
    /// `UsedUp` where it has sent more than it may before these; then they are not charged.
    #[expect(
        clippy::disallowed_methods,
        reason = "a rate is one of real time, read under the lock so that none is counted twice"
    )]
    pub(crate) fn charge(&self, token: &Token, events: usize) -> Result<(), UsedUp> {
        let Some(per_s) = token.events_per_s else {
            return Ok(());
        };
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.charge(per_s, events, Instant::now())
    }

    /// Puts back what was charged for events that did not count.
    pub(crate) fn refund(&self, events: usize) {
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.refund(events);
    }

    /// Notes what became of a request's events.
    pub(crate) fn sent(&self, sent: Sent) {
        let numbers = [sent.accepted, sent.rejected, sent.overflowed, sent.names];
        for ((unreported, total), number) in self.unreported.iter().zip(&self.totals).zip(numbers) {
            unreported.fetch_add(number as u64, Ordering::Relaxed);
            total.increment(number as u64);
        }
    }

    fn has_unreported(&self) -> bool {
        self.unreported
            .iter()
            .any(|number| number.load(Ordering::Relaxed) > 0)
    }
}

/// What clients did, on its way to being counted.
#[derive(Debug)]
pub(crate) struct Report {
    taken: Vec<(Arc<Sending>, [u64; 4])>,
    minute: Minute,
}

impl Report {
    /// The counts of the report.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (sending, taken) in &self.taken {
            for (name, &number) in sending.own_names.iter().zip(taken) {
                if number > 0 {
                    counts.add(name, self.minute, number);
                }
            }
        }
        counts
    }

    /// Gives back what could not be counted: the next report has it.
    pub(crate) fn give_back(self) {
        for (sending, taken) in self.taken {
            for (unreported, number) in sending.unreported.iter().zip(taken) {
                unreported.fetch_add(number, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of one token, whose hash is of this digit.
    fn tokens(name: &str, digit: &str, more: &str) -> Tokens {
        let hash = digit.repeat(64);
        let entry = format!("[[token]]\nname = '{name}'\nsha256 = '{hash}'\nscopes = ['write']\n{more}");
        Tokens::parse(&entry).unwrap()
    }

    #[test]
    fn what_a_client_did_is_reported_once() {
        let clients = Clients::default();
        let (shop, app) = (tokens("shop", "0", ""), tokens("app", "f", ""));
        let of_shop = shop.iter().next().unwrap();
        let minute = Minute::from_unix_s(1_763_787_600).unwrap();
        assert!(clients.take_report(minute).counts().is_empty());
        let sent = Sent {
            accepted: 5,
            rejected: 2,
            overflowed: 0,
            names: 0,
        };
        clients.sending(of_shop).sent(sent);
        clients.keep(&app, Day::containing(0));
        let report = clients.take_report(minute);
        assert!(
            !report.counts().is_empty(),
            "it was taken out, and is still to be reported"
        );
        assert!(clients.take_report(minute).counts().is_empty());
        report.give_back();
        clients.sending(of_shop).sent(sent);
        let report = clients.take_report(minute);
        assert_eq!(report.taken[0].1, [10, 4, 0, 0]);
        let mut counts = Counts::default();
        for (name, count) in of_shop.name.own_names().iter().zip([10, 4]) {
            counts.add(name, minute, count);
        }
        assert_eq!(report.counts().bytes(), counts.bytes());
        drop(report);
        clients.keep(&app, Day::containing(0));
        assert!(clients.by_name.lock().unwrap().is_empty());
    }

    #[test]
    fn only_a_client_with_a_limit_is_limited() {
        let clients = Clients::default();
        let (free, limited) = (tokens("shop", "0", ""), tokens("shop", "0", "events_per_s = 1"));
        let (free, limited) = (free.iter().next().unwrap(), limited.iter().next().unwrap());
        let sending = clients.sending(free);
        assert_eq!(sending.charge(free, usize::MAX), Ok(()));
        assert_eq!(sending.charge(limited, 1_000), Ok(()));
        assert!(sending.charge(limited, 0).is_err());
        sending.refund(1_000);
        assert_eq!(sending.charge(limited, 0), Ok(()));
    }

    #[test]
    fn names_of_other_days_are_forgotten_whoever_counted_them() {
        let clients = Clients::default();
        let shop = tokens("shop", "0", "");
        let sending = clients.sending(shop.iter().next().unwrap());
        let (today, tomorrow) = (Day::containing(0), Day::containing(0).next());
        assert!(sending.names.reading(today, 10).admits(7));
        clients.keep(&shop, today);
        assert_eq!(clients.names.load(Ordering::Relaxed), 1);
        clients.keep(&shop, tomorrow);
        assert_eq!(clients.names.load(Ordering::Relaxed), 0);
    }
}
