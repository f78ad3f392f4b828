//! The audit, every so often, beside the passes: it may take minutes and must not hold them up.

use std::time::{Duration, SystemTime};

use model::Instant;
use store::{Account, Alarm, Audit, Range, Server, Source, Verdict};
use tokio::sync::watch;

use crate::alarms::alarm;

pub(crate) struct Auditor {
    pub centre: Server,
    pub sources: Vec<Source>,
    pub account: Account,
    /// From the end of one audit to the next.
    pub interval: Duration,
}

impl Auditor {
    /// Audits until dropped. `found` has the alarms of the last audit that could be made.
    pub(crate) async fn work(self, found: watch::Sender<Vec<Alarm>>) {
        loop {
            let range = Range::recent(Instant::from(SystemTime::now()));
            match store::audit(&self.centre, &self.sources, &self.account, range).await {
                Ok(audit) => {
                    metrics::counter!("keeper_audits_total").increment(1);
                    found.send_replace(alarms_of(&audit));
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    metrics::counter!("keeper_audit_failures_total").increment(1);
                    tracing::warn!(error, "no audit could be made: the last one stands");
                }
            }
            tokio::time::sleep(self.interval).await;
        }
    }
}

/// What is lost, doubled or saturated. What is not known is no alarm: a region that does not answer has one of its own.
fn alarms_of(audit: &Audit) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let mut of_centre = Vec::new();
    if let Some(first) = audit.gaps.first() {
        of_centre.push(format!(
            "the sums of {} of {} minutes or days differ ('eventtracker audit' lists them), the first is {first}",
            audit.gaps_total, audit.compared
        ));
    }
    for (database, rows) in &audit.saturated {
        of_centre.push(format!(
            "{rows} counts in {database} are at their limit of 2^64 - 1 and no longer grow"
        ));
    }
    if !of_centre.is_empty() {
        alarms.push(alarm("", "audit", of_centre.join("; ")));
    }
    for region in &audit.regions {
        if let Verdict::Gap(sentence) = &region.verdict {
            let sentence = format!("its counts are not what the centre has: {sentence}");
            alarms.push(alarm(&region.region, "audit", sentence));
        }
    }
    alarms
}

#[cfg(test)]
mod tests {
    use store::{Gap, RegionAudit};

    use super::*;

    #[test]
    fn what_differs_is_an_alarm_and_what_is_not_known_is_none() {
        let region = |region: &str, verdict| RegionAudit {
            region: region.to_owned(),
            sum: 1,
            total: 1,
            flushes: 1,
            verdict,
        };
        let mut audit = Audit {
            compared: 10,
            gaps: Vec::new(),
            gaps_total: 0,
            regions: vec![
                region("eu", Verdict::Equal),
                region("us", Verdict::NotKnown("pruned".to_owned())),
            ],
            saturated: Vec::new(),
        };
        assert!(alarms_of(&audit).is_empty());
        audit.regions.push(region("ap", Verdict::Gap("less".to_owned())));
        audit.gaps_total = 1;
        audit.gaps.push(Gap {
            unix_s: 60,
            is_day: false,
            counted: 5,
            stored: 4,
        });
        let regions: Vec<String> = alarms_of(&audit).into_iter().map(|alarm| alarm.region).collect();
        assert_eq!(regions, ["", "ap"]);
    }
}
