//! The counts that both sides are given.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::rig::Rig;

pub(super) const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 60 * MINUTE_S;
const DAY_S: i64 = 24 * HOUR_S;

/// Minutes with counts, around a midnight: from half past nine until half past twelve.
pub(super) const MINUTES: i64 = 180;

/// Days before in which both know every minute: functions look back for up to a week, and more for seasons.
pub(super) const KNOWN_DAYS: i64 = 10;

/// What a collector takes in one request.
const EVENTS_PER_REQUEST_MAX: usize = 10_000;

/// Counts by name and minute (unix seconds); what is not there is 0.
pub(super) struct Data {
    /// The first minute with counts of today's.
    pub(super) first: i64,
    /// What came before is complete, and no target asks for more.
    pub(super) known_until: i64,
    pub(super) counts: BTreeMap<&'static str, BTreeMap<i64, u64>>,
}

impl Data {
    /// Around the last midnight that is at least two hours ago: then all are past, also an hour further on, where graphite-web would cut
    /// them off at now. Their hours, days and weeks begin at the same places in each run.
    pub(super) fn before(now: i64) -> Self {
        let midnight = (now - 2 * HOUR_S).div_euclid(DAY_S) * DAY_S;
        let mut data = Self {
            first: midnight - 150 * MINUTE_S,
            known_until: now.div_euclid(MINUTE_S) * MINUTE_S,
            counts: BTreeMap::new(),
        };
        for days_ago in [0, 1, 7] {
            data.add("shop.item.sold", days_ago, |m| Some(20 + wave(m, 3) % 23));
            data.add("shop.cart.paid", days_ago, |m| Some(wave(m, 5) % 5));
        }
        data.add("shop.item.rare", 0, |m| spike(m, 59, 4));
        data.add("shop.cart.added", 0, |m| Some(2 + wave(m, 11) % 9));
        data.add("shop.cart.removed", 0, |m| Some(wave(m, 13) % 3));
        data.add("web.status.200", 0, |m| Some(100 + wave(m, 17) % 97));
        data.add("web.status.404", 0, |m| Some(wave(m, 19) % 11));
        data.add("web.status.500", 0, |m| (m > 60).then(|| wave(m, 23) % 2));
        data.add("web.load", 0, |m| Some(73 * (wave(m, 29) % 7)));
        data.add("web.load.samples", 0, |m| Some(wave(m, 29) % 4));
        data.add("hosts.a.requests", 0, |m| Some(10 + wave(m, 31) % 40));
        data.add("hosts.b.requests", 0, |m| Some(5 + wave(m, 37) % 7));
        data.add("hosts.c.requests", 0, |m| spike(m, 30, 90));
        // Stops after an hour and a half.
        data.add("hosts.d.requests", 0, |m| (m < 90).then(|| 8 + wave(m, 41) % 30));
        data.add("hosts.a.errors", 0, |m| Some(wave(m, 43) % 4));
        data.add("hosts.b.errors", 0, |m| Some(wave(m, 47) % 2));
        data.add("hosts.c.errors", 0, |m| spike(m, 60, 3));
        data.add("hosts.d.errors", 0, |m| spike(m, 45, 2));
        for name in [
            "odd.a-b_c",
            "odd.a+b",
            "odd.x@y",
            "odd.50%",
            "odd.#1",
            "odd.a:b",
            "odd.a~b",
            "odd.k=v",
        ] {
            data.add(name, 0, |m| Some(wave(m, 53) % 6));
        }
        // Counted once, days ago.
        data.add("quiet.name", 5, |m| (m == 0).then_some(7));
        // What Ledger marks the pipeline's end by, years ago.
        data.add("test.mark.eu", 0, |_| None);
        data
    }

    fn add(&mut self, name: &'static str, days_ago: i64, count: impl Fn(i64) -> Option<u64>) {
        let first = self.first - days_ago * DAY_S;
        let of_minute = (0..MINUTES).filter_map(|m| Some((first + m * MINUTE_S, count(m)?)));
        let counted = of_minute.filter(|(_, count)| *count > 0);
        self.counts.entry(name).or_default().extend(counted);
    }

    /// Sends all of it and waits until the centre has it.
    pub(super) async fn send(&self, rig: &Rig) {
        let mut ledger = Ledger::default();
        let mut events = Vec::new();
        for (name, counts) in &self.counts {
            for (minute, count) in counts {
                ledger.acknowledged(name, *minute, *count);
                events.push(json!({ "name": name, "timestamp": minute, "count": count }));
            }
        }
        for part in events.chunks(EVENTS_PER_REQUEST_MAX) {
            rig.post_until_accepted("eu", &Value::from(part)).await;
        }
        ledger.expect_at_centre(rig).await;
    }
}

/// A number that looks irregular and is the same in each run.
fn wave(minute: i64, salt: i64) -> u64 {
    let mixed = (minute + 1) * (minute + salt) * 7 + minute * salt + (minute / 7) * 13;
    mixed.unsigned_abs() / 3
}

fn spike(minute: i64, every: i64, height: u64) -> Option<u64> {
    (minute % every == every / 2).then_some(height)
}
