//! A region whose clocks are a minute and a half off: its counts are exact, and its completeness is not ahead of the truth.

use std::collections::BTreeMap;
use std::time::SystemTime;

use model::Instant;
use playground::Options;
use serde_json::json;

use crate::ledger::Ledger;
use crate::rig::{Rig, two_regions, wait_until};
use crate::under_load::two_of_each;

const OFF_S: i32 = 90;

/// What a comparison over loopback may be wrong by.
const ERROR_S_MAX: f64 = 2.0;

/// Each is awaited until the answer says that it is in it.
const EVENTS: u64 = 10;

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
    let mut ledger = Ledger::default();
    for number in 1..=EVENTS {
        let event = json!({ "name": "probe", "timestamp": 1_763_787_600 });
        rig.post_until_accepted("us", &event).await;
        ledger.acknowledged("probe", 1_763_787_600, 1);
        let acknowledged = Instant::from(SystemTime::now());
        wait_until("the event to be complete", async || {
            let url = "/v1/series?name=probe&from=2025-11-22&until=2025-11-23&step=1d";
            let series = rig.get(url).await.json;
            let total = series["series"][0]["total"].as_u64().unwrap_or(0);
            let until = Instant::from_unix_s(series["complete_until"].as_f64().unwrap()).unwrap();
            assert!(
                until <= acknowledged || total == number,
                "complete until {until}, acknowledged at {acknowledged}, and not in it: {series}"
            );
            (until > acknowledged).then_some(()).ok_or(series.to_string())
        })
        .await;
    }
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}
