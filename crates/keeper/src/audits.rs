//! The audit at regular intervals, its metrics and its alarms.

#![expect(clippy::disallowed_methods, reason = "audits are of the time up to now")]

use std::time::{Duration, SystemTime};

use store::upkeep::Alarm;
use store::{Account, Audit, Members, Range, Verdict};
use tokio_util::sync::CancellationToken;

use crate::alarms::alarm;
use crate::findings::Findings;

/// Audits the last two days and every region's total at regular intervals, until `shutdown`. An audit that could not be made leaves the
/// alarms of the one before.
pub(crate) async fn run(
    centre: &Members,
    account: &Account,
    interval: Duration,
    findings: &Findings,
    shutdown: &CancellationToken,
) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        let range = Range::recent(SystemTime::now().into());
        match store::audit(centre, account, range).await {
            Ok(audit) => {
                tell(&audit);
                findings.set(alarms(&audit));
            }
            Err(error) => {
                metrics::counter!("keeper_audit_failures_total").increment(1);
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(cause, "the audit could not be made");
            }
        }
    }
}

/// Sets the metrics and writes the log of an audit.
fn tell(audit: &Audit) {
    let gauge = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let regions =
        |is: fn(&Verdict) -> bool| audit.regions.iter().filter(|region| is(&region.verdict)).count();
    let gaps = audit.gaps_total + regions(|verdict| matches!(verdict, Verdict::Gap(_)));
    let not_known = regions(|verdict| matches!(verdict, Verdict::NotKnown(_)));
    metrics::counter!("keeper_audits_total").increment(1);
    metrics::gauge!("keeper_audit_gaps").set(gauge(gaps));
    metrics::gauge!("keeper_audit_regions_not_known").set(gauge(not_known));
    if gaps > 0 {
        tracing::error!(gaps, "the audit found counts lost or doubled");
    } else {
        tracing::info!(compared = audit.compared, not_known, "audited: no gap");
    }
}

fn alarms(audit: &Audit) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    if let Some(first) = audit.gaps.first() {
        let sentence = format!(
            "the audit found {} minutes whose sums differ: {first}; 'eventtracker audit' lists them",
            audit.gaps_total
        );
        alarms.push(alarm("", "audit", sentence));
    }
    for region in &audit.regions {
        if let Verdict::Gap(why) = &region.verdict {
            alarms.push(alarm(
                &region.region,
                "audit",
                format!("the audit found counts lost or doubled: {why}"),
            ));
        }
    }
    if let Some((database, rows)) = audit.saturated.first() {
        let sentence =
            format!("{rows} counts in {database} are at their limit of 2^64 - 1 and no longer grow");
        alarms.push(alarm("", "saturated", sentence));
    }
    alarms
}

#[cfg(test)]
mod tests {
    use store::{Gap, RegionAudit};

    use super::*;

    #[test]
    fn what_an_audit_finds_is_an_alarm() {
        let region = |verdict| RegionAudit {
            region: "eu".to_owned(),
            sum: 1,
            total: 1,
            flushes: 1,
            is_source: true,
            verdict,
        };
        let mut audit = Audit {
            compared: 1,
            gaps: Vec::new(),
            gaps_total: 0,
            regions: vec![region(Verdict::NotKnown("away".to_owned()))],
            saturated: Vec::new(),
        };
        assert!(alarms(&audit).is_empty());
        audit.gaps.push(Gap {
            unix_s: 60,
            is_day: false,
            counted: 5,
            stored: 4,
        });
        audit.gaps_total = 1;
        audit.regions.push(region(Verdict::Gap("why".to_owned())));
        let sentences: Vec<String> = alarms(&audit).into_iter().map(|alarm| alarm.sentence).collect();
        assert!(sentences[0].contains("1 missing"), "{sentences:?}");
        assert!(sentences[1].ends_with("why"));
    }
}
