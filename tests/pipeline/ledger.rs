//! What a sender knows that it sent.

use std::collections::BTreeMap;

use model::EventId;
use playground::Database;
use serde_json::json;

use crate::centre;
use crate::rig::{Rig, wait_until};

/// Sums by name and minute (unix seconds) of what was acknowledged, and of what may or may not have been counted.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ledger {
    acknowledged: BTreeMap<(String, i64), u64>,
    doubtful: BTreeMap<(String, i64), u64>,
}

impl Ledger {
    pub(crate) fn acknowledged(&mut self, name: &str, minute: i64, count: u64) {
        *self.acknowledged.entry((name.to_owned(), minute)).or_default() += count;
    }

    /// Whole or not at all: each name and minute may be in doubt once.
    pub(crate) fn doubtful(&mut self, name: &str, minute: i64, count: u64) {
        self.doubtful.insert((name.to_owned(), minute), count);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for ((name, minute), count) in other.acknowledged {
            self.acknowledged(&name, minute, count);
        }
        self.doubtful.extend(other.doubtful);
    }

    pub(crate) fn total(&self) -> u64 {
        self.acknowledged.values().sum()
    }

    /// Waits until every centre holds exactly what was acknowledged, then until nothing is on its way any more,
    /// and compares again.
    pub(crate) async fn expect_at_centre(&self, rig: &Rig) {
        self.wait_for_equality_everywhere(rig).await;
        for region in rig.regions() {
            wait_until("an empty queue", async || match rig.tube(&region).await {
                tube if tube.jobs() == 0 => Ok(()),
                tube => Err(format!("{tube:?}")),
            })
            .await;
        }
        let mut with_marks = self.clone();
        for region in rig.regions() {
            let name = format!("test.mark.{region}");
            let minute = 1_700_000_040;
            let marked = rig
                .post(&region, &json!({ "name": name, "timestamp": minute }))
                .await;
            assert_eq!(marked.status, 202, "{marked:?}");
            with_marks.acknowledged(&name, minute, 1);
        }
        with_marks.wait_for_equality_everywhere(rig).await;
    }

    async fn wait_for_equality_everywhere(&self, rig: &Rig) {
        for centre in rig.description().centres() {
            self.wait_for_equality(centre).await;
        }
    }

    async fn wait_for_equality(&self, centre: &Database) {
        let expected = ids(&self.acknowledged);
        let doubtful = ids(&self.doubtful);
        wait_until("the centre to have what was acknowledged", async || {
            let mut conn = centre::connect(centre).await;
            let found = centre::counts(&mut conn).await.map_err(|e| e.to_string())?;
            let mut missing = 0;
            for (key, &count) in &found {
                let most = expected.get(key).copied().unwrap_or(0) + doubtful.get(key).copied().unwrap_or(0);
                assert!(
                    count <= most,
                    "doubled or unknown: {key:?} is {count}, at most {most} was sent"
                );
            }
            for (key, &count) in &expected {
                let is = found.get(key).copied().unwrap_or(0);
                missing += count.saturating_sub(is);
            }
            if missing > 0 {
                return Err(format!("{missing} of {} counts are missing", self.total()));
            }
            for (key, &count) in &doubtful {
                let over = found.get(key).copied().unwrap_or(0) - expected.get(key).copied().unwrap_or(0);
                assert!(
                    over == 0 || over == count,
                    "{key:?}: {over} of {count} in doubt were counted"
                );
            }
            let rows_total: u128 = found.values().map(|&n| u128::from(n)).sum();
            match centre::region_total(&mut conn).await {
                total if total == rows_total => Ok(()),
                total => Err(format!(
                    "RegionMinute sums to {total}, EventMinute to {rows_total}"
                )),
            }
        })
        .await;
    }
}

fn ids(by_name: &BTreeMap<(String, i64), u64>) -> centre::Counts {
    by_name
        .iter()
        .map(|((name, minute), &count)| ((EventId::of(name).0, *minute), count))
        .collect()
}
