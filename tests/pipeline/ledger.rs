//! What a sender knows that it sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::{EventId, Shards};
use playground::Database;
use serde_json::{Value, json};

use crate::centre;
use crate::complete::complete_until;
use crate::rig::{Rig, wait_until};
use crate::truth;
use crate::tube::wait_until_empty;

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
        self.expect_nothing_more(rig).await;
    }

    /// Until what was acknowledged is complete by the centres' own word; then what is wrong with what they hold, if anything is.
    pub(crate) async fn check_at_centre(&self, rig: &Rig) -> Result<(), String> {
        let begun = truth::now();
        wait_until("everything to be complete, or not to come any more", async || {
            let status = rig.get("/v1/status").await.json;
            if let Some(error) = stopped(&status) {
                return Ok(Err(format!("replication stopped: {error}")));
            }
            let centres = status["centres"].as_array().ok_or(status.to_string())?;
            match centres.iter().all(|centre| complete_until(centre) > Some(begun)) {
                true => Ok(Ok(())),
                false => Err(format!("{} {}", status["centres"], status["regions"])),
            }
        })
        .await?;
        for servers in rig.description().servers_of_centres() {
            let (found, _) = counts_of(&servers).await?;
            let difference = self.compare(&found);
            if difference.lost + difference.doubled > 0 {
                return Err(difference.to_string());
            }
        }
        Ok(())
    }

    async fn expect_nothing_more(&self, rig: &Rig) {
        for region in rig.regions() {
            wait_until_empty(rig, &region).await;
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
        for servers in rig.description().servers_of_centres() {
            self.wait_for_equality(&servers).await;
        }
    }

    async fn wait_for_equality(&self, servers: &[(&Database, Shards)]) {
        wait_until("the centre to have what was acknowledged", async || {
            let (found, totals) = counts_of(servers).await?;
            let difference = self.compare(&found);
            assert!(difference.doubled == 0, "{difference}");
            if difference.lost > 0 {
                return Err(difference.to_string());
            }
            let rows_total: u128 = found.values().map(|&n| u128::from(n)).sum();
            match totals.iter().find(|&&total| total != rows_total) {
                None => Ok(()),
                Some(total) => Err(format!("RegionMinute sums to {total}, names to {rows_total}")),
            }
        })
        .await;
    }

    /// What is in doubt may be there as a whole, or not at all.
    pub(crate) fn compare(&self, found: &centre::Counts) -> Difference {
        let (expected, doubtful) = (ids(&self.acknowledged), ids(&self.doubtful));
        let mut difference = Difference::default();
        let keys: BTreeSet<_> = expected.keys().chain(found.keys()).copied().collect();
        for key in keys {
            let of = |counts: &centre::Counts| counts.get(&key).copied().unwrap_or(0);
            let (least, is, in_doubt) = (of(&expected), of(found), of(&doubtful));
            let surplus = is.saturating_sub(least);
            if is < least || (surplus > 0 && surplus != in_doubt) {
                difference.lost += least.saturating_sub(is);
                difference.doubled += surplus;
                difference.example.get_or_insert((key, least, in_doubt, is));
            }
        }
        difference
    }
}

/// What the servers of a centre hold together, and the sum of `RegionMinute` at each of them, which each has as a whole.
async fn counts_of(servers: &[(&Database, Shards)]) -> Result<(centre::Counts, Vec<u128>), String> {
    let (mut all, mut totals) = (centre::Counts::new(), Vec::new());
    for (server, _) in servers {
        // It may have been killed a moment ago.
        let mut conn = server.root().connect().await.map_err(|e| e.to_string())?;
        for (key, count) in centre::counts(&mut conn).await.map_err(|e| e.to_string())? {
            *all.entry(key).or_default() += count;
        }
        totals.push(centre::region_total(&mut conn).await);
    }
    Ok((all, totals))
}

/// Why a centre does not replicate from a region and will not try again by itself: MariaDB tries again whatever may be better then.
fn stopped(status: &Value) -> Option<String> {
    let regions = status["regions"].as_array()?.iter();
    let stopped =
        regions.filter(|region| region["replication"]["io"] == "No" || region["replication"]["sql"] == "No");
    let mut errors = stopped.filter_map(|region| region["replication"]["error"].as_str());
    errors.next().map(str::to_owned)
}

/// How what is stored differs from what was sent, as sums of counts.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// Or still on their way.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// Id and minute; acknowledged, in doubt, stored.
    example: Option<((u64, i64), u64, u64, u64)>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.lost, self.doubled) {
            (lost, 0) => write!(f, "{lost} counts missing")?,
            (0, doubled) => write!(f, "{doubled} counts too many")?,
            (lost, doubled) => write!(f, "{lost} counts missing, {doubled} counts too many")?,
        }
        if let Some((key, least, in_doubt, is)) = self.example {
            write!(
                f,
                ", as in {key:?}: acknowledged {least}, in doubt {in_doubt}, stored {is}"
            )?;
        }
        Ok(())
    }
}

fn ids(by_name: &BTreeMap<(String, i64), u64>) -> centre::Counts {
    by_name
        .iter()
        .map(|((name, minute), &count)| ((EventId::of(name).0, *minute), count))
        .collect()
}
