//! Clocks that are off, and clocks that are set while all runs: counts are exact, completeness is not ahead of the truth, and nothing
//! is forgotten or dropped because one clock says so.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use model::Timestamp;
use mysql_async::prelude::Queryable;
use playground::{Options, counter};
use serde_json::{Value, json};

use crate::centre;
use crate::complete::complete_until;
use crate::keeper_watches::{alarms, binlogs, count_and_flush_in};
use crate::ledger::Ledger;
use crate::rig::{Rig, answer, one_region, settings, signal, two_regions, wait_until, wait_up_to};
use crate::tube::at_queue;
use crate::under_load::{exact_under_load, progress_by, two_of_each};

const OFF_S: i32 = 90;

/// What a comparison over loopback may be wrong by.
const ERROR_S_MAX: f64 = 2.0;

/// Each is awaited until the answer says that it is in it.
const EVENTS: u64 = 10;

/// The same after each of several steps of a clock, under load.
const EVENTS_A_STEP: u64 = 3;

/// Requests acknowledged after a clock was set.
const REQUESTS: u64 = 100;

const DAY_S: i32 = 86_400;

/// Longer than workers claim nothing after a clock was set, and than a comparison is believed.
const CLAIMS_RESUME: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn ahead() {
    off(OFF_S).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind() {
    off(-OFF_S).await;
}

async fn off(ahead_s: i32) {
    let rig = Rig::start(Options {
        clocks_ahead_s: BTreeMap::from([("us".to_owned(), ahead_s)]),
        ..two_of_each(two_regions())
    })
    .await;
    wait_until("the clock to be compared, and to be an alarm", async || {
        let status = rig.get("/v1/status").await.json;
        let regions = status["regions"].as_array().unwrap();
        let us = regions.iter().find(|region| region["region"] == "us").unwrap();
        let measured_s = us["clock_ahead_s"].as_f64().unwrap_or(0.0);
        let alarms = status["alarms"].as_array().unwrap();
        let is_raised = alarms
            .iter()
            .any(|alarm| alarm["region"] == "us" && alarm["kind"] == "clock");
        if is_raised && (measured_s - f64::from(ahead_s)).abs() < ERROR_S_MAX {
            Ok(())
        } else {
            Err(format!("{us} {alarms:?}"))
        }
    })
    .await;
    let mut probe = Probe::default();
    for _ in 0..EVENTS {
        probe.until_complete(&rig).await;
    }
    probe.ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}

/// Events of one name of region us, each of which must be in an answer that claims to have it.
#[derive(Default)]
struct Probe {
    sent: u64,
    ledger: Ledger,
}

impl Probe {
    /// Returns when it was acknowledged.
    async fn post(&mut self, rig: &Rig) -> Timestamp {
        let event = json!({ "name": "probe", "timestamp": 1_763_787_600 });
        rig.post_until_accepted("us", &event).await;
        self.ledger.acknowledged("probe", 1_763_787_600, 1);
        self.sent += 1;
        Timestamp::from(SystemTime::now())
    }

    /// Until when an answer is complete; fails if it claims to have what was acknowledged, and has not.
    async fn look(&self, rig: &Rig, acknowledged: Timestamp) -> Option<Timestamp> {
        let url = "/v1/series?name=probe&from=2025-11-22&until=2025-11-23&step=1d";
        let series = rig.get(url).await.json;
        let total = series["series"][0]["total"].as_u64().unwrap_or(0);
        let until = complete_until(&series)?;
        assert!(
            until <= acknowledged || total == self.sent,
            "complete until {until}, acknowledged at {acknowledged}, and not in it: {series}"
        );
        Some(until)
    }

    async fn until_complete(&mut self, rig: &Rig) {
        let acknowledged = self.post(rig).await;
        wait_up_to(CLAIMS_RESUME, "the event to be complete", async || {
            match self.look(rig, acknowledged).await {
                Some(until) if until > acknowledged => Ok(()),
                until => Err(format!("{until:?}")),
            }
        })
        .await;
    }
}

/// Nobody compares its clock any more when a region's database is set a minute and a half forward: what it claims from then on is
/// not believed, once no comparison from before may be any more.
#[tokio::test(flavor = "multi_thread")]
async fn set_while_nobody_compares() {
    let rig = Rig::start(Options {
        clocks_ahead_s: BTreeMap::from([("us".to_owned(), 0)]),
        ..two_regions()
    })
    .await;
    let mut probe = Probe::default();
    probe.until_complete(&rig).await;
    let keeper = rig.description().pids.keeper.unwrap();
    signal("STOP", keeper).await;
    let database = rig.description().regions["us"].mariadb.clone();
    rig.set_database_clock("us/mariadb", &database, OFF_S).await;
    wait_up_to(
        CLAIMS_RESUME,
        "completeness not to be known for want of a comparison",
        async || {
            let acknowledged = probe.post(&rig).await;
            if let Some(until) = probe.look(&rig, acknowledged).await {
                return Err(until.to_string());
            }
            // The other region's last comparison may be the older one, which alone leaves the answer without a claim.
            let status = rig.get("/v1/status").await.json;
            let regions = status["regions"].as_array().unwrap();
            let us = regions.iter().find(|region| region["region"] == "us").unwrap();
            let why = us["held_back"].as_str().unwrap_or_default();
            match why.contains("last compared") && us["clock"].is_null() {
                true => Ok(()),
                false => Err(us.to_string()),
            }
        },
    )
    .await;
    // The workers claim again, and still nobody knows by which clock.
    let claims = "SELECT COUNT(*) FROM bigdata_0.RegionClock WHERE region = 'us' AND completeUntil > NOW() + INTERVAL 30 SECOND";
    wait_up_to(CLAIMS_RESUME, "claims by the new clock", async || {
        let acknowledged = probe.post(&rig).await;
        assert_eq!(probe.look(&rig, acknowledged).await, None);
        let mut conn = centre::connect(&rig.description().central).await;
        match conn.query_first::<u64, _>(claims).await.unwrap() {
            Some(0) | None => Err("none"),
            Some(_) => Ok(()),
        }
        .map_err(str::to_owned)
    })
    .await;
    signal("CONT", keeper).await;
    probe.until_complete(&rig).await;
    probe.ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}

/// Ages and times to run are by beanstalkd's clock: they mislead nobody, and an age that is no number stops nobody.
#[tokio::test(flavor = "multi_thread")]
async fn beanstalkds_clock_is_set_under_load() {
    let rig = Rig::start(Options {
        clocks_ahead_s: BTreeMap::from([("eu".to_owned(), 0), ("us".to_owned(), 0)]),
        ..two_of_each(two_regions())
    })
    .await;
    exact_under_load(rig, async |rig, progress, ledger| {
        let mut probe = Probe::default();
        for (ahead_s, is_back) in [(-OFF_S, true), (OFF_S, false), (0, true)] {
            let uptime_s = uptime_s(rig).await;
            rig.set_clock("eu/beanstalkd", ahead_s);
            rig.set_clock("us/beanstalkd", ahead_s);
            wait_until("beanstalkd to show the time", async || {
                match self::uptime_s(rig).await - uptime_s {
                    passed_s @ -60..=60 => Err(format!("{passed_s} s passed")),
                    _ => Ok(()),
                }
            })
            .await;
            if is_back {
                for region in rig.regions() {
                    start_queue_again(rig, &region).await;
                }
            }
            progress_by(progress, REQUESTS).await;
            for _ in 0..EVENTS_A_STEP {
                probe.until_complete(rig).await;
            }
        }
        ledger.merge(probe.ledger);
    })
    .await;
}

/// Where a clock was set back, beanstalkd syncs nothing any more: collectors refuse events until it is started again.
pub(crate) async fn start_queue_again(rig: &Rig, region: &str) {
    let readyz = format!("{}/readyz", rig.collectors(region)[0]);
    wait_until("the collector to refuse events", async || {
        let answer = rig
            .http
            .get(&readyz)
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
        let refuses = status == 503 && text.contains("since its clock was set back");
        refuses.then_some(()).ok_or(text)
    })
    .await;
    signal("TERM", rig.description().regions[region].pids.beanstalkd).await;
}

/// By beanstalkd's own clock.
async fn uptime_s(rig: &Rig) -> i64 {
    at_queue(rig, "eu", |client| {
        client.stats().unwrap()["uptime"].parse().unwrap()
    })
    .await
}

/// What it has acknowledged is counted in the minutes that it says, and no worker finds it unreadable.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_two_days_ahead_is_read() {
    let rig = Rig::start(Options {
        clocks_ahead_s: BTreeMap::from([("eu".to_owned(), 0)]),
        ..one_region()
    })
    .await;
    rig.set_clock("eu/collector-1", 2 * DAY_S);
    let mut sent = 0;
    wait_until("an event to be counted in two days", async || {
        rig.post_until_accepted("eu", &json!({ "name": "ahead" })).await;
        sent += 1;
        let ahead = rig
            .get("/v1/series?name=ahead&from=now&until=2037-01-01&step=1mo")
            .await;
        match ahead.json["series"][0]["total"].as_u64() {
            Some(1..) => Ok(()),
            _ => Err(format!("{ahead:?}")),
        }
    })
    .await;
    wait_until("all of them to be counted", async || {
        let all = rig
            .get("/v1/series?name=ahead&from=-1d&until=2037-01-01&step=1mo")
            .await;
        match all.json["series"][0]["total"].as_u64() {
            Some(total) if total == sent => Ok(()),
            total => Err(format!("{total:?} of {sent}")),
        }
    })
    .await;
    assert_eq!(rig.tube("eu").await.buried, 0);
    rig.stop().await;
}

/// A day and an hour forward, a worker that prunes the ledger at its start, and back: keys of before are known still.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_a_day_forgets_no_key() {
    let rig = Rig::start(Options {
        clocks_ahead_s: BTreeMap::from([("eu".to_owned(), 0)]),
        ..one_region()
    })
    .await;
    let mut ledger = Ledger::default();
    ledger.acknowledged("keyed", 1_763_787_600, 5);
    post_keyed(&rig).await;
    ledger.expect_at_centre(&rig).await;
    ledger.acknowledged("test.mark.eu", 1_700_000_040, 1);
    let database = rig.description().regions["eu"].mariadb.clone();
    for ahead_s in [DAY_S + 3_600, 0] {
        rig.set_database_clock("eu/mariadb", &database, ahead_s).await;
        let before = rig.description().regions["eu"].pids.worker.all()[0];
        signal("KILL", before).await;
        // It prunes right after its first flush.
        wait_until("a new worker's second flush", async || {
            let is_new = rig.description().regions["eu"].pids.worker.all()[0] != before;
            let metrics = match rig.http.get(format!("{}/metrics", rig.worker("eu"))).send().await {
                Ok(metrics) if is_new => metrics.text().await.unwrap(),
                _ => return Err("it is not there".to_owned()),
            };
            let flushes = counter(&metrics, "worker_flush_seconds_count").unwrap();
            (flushes >= 2).then_some(()).ok_or(format!("{flushes} flushes"))
        })
        .await;
    }
    post_keyed(&rig).await;
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}

async fn post_keyed(rig: &Rig) {
    let url = format!("{}/v1/events", rig.collectors("eu")[0]);
    let request = rig.http.post(url).header("Idempotency-Key", "once");
    let event = json!({ "name": "keyed", "timestamp": 1_763_787_600, "count": 5 });
    let answer = answer(request.json(&event)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// Days that are kept, and binlogs, stay until two clocks agree; with an alarm meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_centre_400_days_ahead_drops_and_purges_nothing() {
    let rig = Rig::start(Options {
        clocks_ahead_s: BTreeMap::from([("central".to_owned(), 0)]),
        central_overrides: settings("[keeper]\npack_interval_s = 1\nkeep_months = 3\nbinlog_keep_hours = 2"),
        ..one_region()
    })
    .await;
    let recent = Timestamp::from(SystemTime::now()).unix_ms() / 1000 / 86_400 * 86_400 - 5 * 86_400;
    let mut ledger = Ledger::default();
    count_and_flush_in(&rig, recent, &mut ledger).await;
    let files = binlogs(&rig).await;
    let central = rig.description().central.clone();
    let mut conn = centre::connect(&central).await;
    wait_until(
        "the day to be packed, and a binlog file to be applied",
        async || {
            let noted: Option<u64> = conn
                .query_first("SELECT COUNT(*) FROM eventtracker.RegionBinlog")
                .await
                .unwrap();
            match (noted, centre::rows(&mut conn).await) {
                (Some(2..), (_, 1..)) => Ok(()),
                seen => Err(format!("{seen:?}")),
            }
        },
    )
    .await;
    rig.set_database_clock("central/mariadb", &central, 400 * DAY_S)
        .await;
    wait_until("both alarms", async || {
        let alarms = alarms(&rig).await;
        let is_raised = |region: &str, kind: &str| {
            alarms
                .iter()
                .any(|alarm| alarm["region"] == region && alarm["kind"] == kind)
        };
        let both = is_raised("", "retention") && is_raised("eu", "purge");
        both.then_some(()).ok_or(format!("{alarms:?}"))
    })
    .await;
    assert!(binlogs(&rig).await.starts_with(&files), "{files:?} were purged");
    rig.set_database_clock("central/mariadb", &central, 0).await;
    wait_until("the alarms to end", async || match alarms(&rig).await {
        none if none.is_empty() => Ok(()),
        alarms => Err(format!("{alarms:?}")),
    })
    .await;
    let status = rig.get("/v1/status").await.json;
    assert_eq!(status["kept_since"], Value::Null, "{status}");
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}
