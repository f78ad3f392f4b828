//! The counts that both sides are given.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::counts::{MIDNIGHT_S, counts};
use crate::ledger::Ledger;
use crate::rig::Rig;

pub(super) const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 60 * MINUTE_S;
pub(super) const DAY_S: i64 = 24 * HOUR_S;

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
        let first = midnight - MIDNIGHT_S;
        let at = |(after_s, count): (i64, u64)| (first + after_s, count);
        let counts = counts().into_iter();
        Self {
            first,
            known_until: now.div_euclid(MINUTE_S) * MINUTE_S,
            counts: counts
                .map(|(name, counts)| (name, counts.into_iter().map(at).collect()))
                .collect(),
        }
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
