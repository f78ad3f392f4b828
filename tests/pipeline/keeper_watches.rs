//! The keeper: clocks are compared, troubles become alarms and end, applied binlogs go and no others.

use mysql_async::Row;
use mysql_async::prelude::Queryable;
use playground::Options;
use serde_json::{Value, json};

use crate::centre;
use crate::ledger::Ledger;
use crate::rig::{Rig, one_region, put, settings, signal, wait_until};
use crate::tube::{delete_buried, wait_until_empty};

const MINUTE: i64 = 1_763_787_600;

/// Passes that the keeper fails at while the centre hangs, before what it did meanwhile is looked at.
const PASSES: u64 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn compares_clocks() {
    let rig = Rig::start(one_region()).await;
    wait_until("the region's clock to be compared", async || {
        let mut conn = centre::connect(&rig.description().central).await;
        let row: Option<(i64, i64)> = conn
            .query_first("SELECT aheadMs, peakMs FROM eventtracker.ClockOffset WHERE region = 'eu'")
            .await
            .unwrap();
        let (ahead_ms, peak_ms) = row.ok_or("no row")?;
        // Both servers have this machine's clock.
        assert!(
            ahead_ms.abs() < 1_000 && peak_ms >= ahead_ms,
            "{ahead_ms} {peak_ms}"
        );
        let ahead_s = figure(&rig, "keeper_region_clock_ahead_seconds", &[r#"region="eu""#]).await;
        ahead_s.map(|_| ()).ok_or("no metric".to_owned())
    })
    .await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buried_job_is_an_alarm_until_it_is_gone() {
    let rig = Rig::start(one_region()).await;
    assert_eq!(alarms(&rig).await, Vec::<Value>::new());
    put(&rig, b"not json").await;
    let labels = [r#"region="eu""#, r#"kind="buried""#];
    let raised = wait_until("the alarm", async || {
        let alarms = alarms(&rig).await;
        let metric = figure(&rig, "keeper_alarm", &labels).await;
        let buried = alarms.iter().find(|alarm| alarm["kind"] == "buried");
        match (buried, metric.as_deref()) {
            (Some(alarm), Some("1")) => Ok(alarm.clone()),
            (_, metric) => Err(format!("{alarms:?}, metric {metric:?}")),
        }
    })
    .await;
    assert_eq!(raised["region"], "eu");
    assert!(raised["since"].as_f64().unwrap() > 1.7e9, "{raised}");
    let sentence = raised["sentence"].as_str().unwrap();
    assert!(sentence.contains("eventtracker queue list"), "{sentence}");

    delete_buried(&rig, "eu", |_| true).await;
    wait_until("the alarm to end", async || {
        let alarms = alarms(&rig).await;
        let metric = figure(&rig, "keeper_alarm", &labels).await;
        match (alarms.is_empty(), metric.as_deref()) {
            (true, Some("0")) => Ok(()),
            (_, metric) => Err(format!("{alarms:?}, metric {metric:?}")),
        }
    })
    .await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purges_what_the_centre_has_applied_and_nothing_else() {
    let rig = Rig::start(Options {
        central_overrides: settings("[keeper]\nbinlog_keep_hours = 0"),
        ..one_region()
    })
    .await;
    let mut ledger = Ledger::default();
    count_and_flush(&rig, &mut ledger).await;
    only_newest_is_left(&rig).await;

    let mut conn = centre::connect(&rig.description().central).await;
    conn.query_drop("STOP SLAVE 'eu'").await.unwrap();
    let before = binlogs(&rig).await;
    count_and_flush(&rig, &mut ledger).await;
    // It stands for several passes before it is an alarm.
    wait_until("the alarm of replication", async || {
        let alarms = alarms(&rig).await;
        let is_raised = alarms.iter().any(|alarm| alarm["kind"] == "replication");
        is_raised.then_some(()).ok_or(format!("{alarms:?}"))
    })
    .await;
    let kept = binlogs(&rig).await;
    assert!(
        kept.starts_with(&before) && kept.len() > before.len(),
        "{before:?} {kept:?}"
    );
    conn.query_drop("START SLAVE 'eu'").await.unwrap();
    only_newest_is_left(&rig).await;
    ledger.expect_at_centre(&rig).await;
    // The marks of that comparison stay counted.
    ledger.acknowledged("test.mark.eu", 1_700_000_040, 1);

    let failures = failures(&rig).await;
    let centre = rig.description().central.pid;
    signal("STOP", centre).await;
    let before = binlogs(&rig).await;
    count_and_flush(&rig, &mut ledger).await;
    wait_until("passes without the centre", async || {
        match self::failures(&rig).await {
            now if now >= failures + PASSES => Ok(()),
            now => Err(format!("{now} failures, {failures} before")),
        }
    })
    .await;
    let kept = binlogs(&rig).await;
    assert!(
        kept.starts_with(&before) && kept.len() > before.len(),
        "{before:?} {kept:?}"
    );
    signal("CONT", centre).await;
    only_newest_is_left(&rig).await;
    ledger.expect_at_centre(&rig).await;
    rig.expect_replication_runs().await;
    let status = rig.get("/v1/status").await.json;
    assert!(status["oldest_backup"].as_f64().unwrap() > 1.7e9, "{status}");
    rig.stop().await;
}

/// Counts something in the region's newest binlog file and begins another.
pub(crate) async fn count_and_flush(rig: &Rig, ledger: &mut Ledger) {
    count_and_flush_in(rig, MINUTE, ledger).await;
}

pub(crate) async fn count_and_flush_in(rig: &Rig, minute: i64, ledger: &mut Ledger) {
    rig.post_until_accepted("eu", &json!({ "name": "kept", "timestamp": minute, "count": 7 }))
        .await;
    ledger.acknowledged("kept", minute, 7);
    wait_until_empty(rig, "eu").await;
    let root = rig.description().regions["eu"].mariadb.root();
    let mut conn = root.connect().await.unwrap();
    conn.query_drop("FLUSH BINARY LOGS").await.unwrap();
}

pub(crate) async fn only_newest_is_left(rig: &Rig) {
    wait_until("the older binlog files to be purged", async || {
        match binlogs(rig).await {
            files if files.len() == 1 => Ok(()),
            files => Err(format!("{files:?}")),
        }
    })
    .await;
}

pub(crate) async fn binlogs(rig: &Rig) -> Vec<String> {
    let root = rig.description().regions["eu"].mariadb.root();
    let mut conn = root.connect().await.unwrap();
    let rows: Vec<Row> = conn.query("SHOW BINARY LOGS").await.unwrap();
    rows.into_iter().map(|mut row| row.take(0).unwrap()).collect()
}

/// But for the one about the disk of the machine that the tests run on, which may be as full as it likes.
pub(crate) async fn alarms(rig: &Rig) -> Vec<Value> {
    let status = rig.get("/v1/status").await.json;
    let mut alarms = status["alarms"].as_array().unwrap().clone();
    alarms.retain(|alarm| alarm["kind"] != "disk");
    alarms
}

async fn failures(rig: &Rig) -> u64 {
    let failures = figure(rig, "keeper_failures_total", &[]).await;
    failures.map_or(0, |text| text.parse().unwrap())
}

/// A figure of the keeper's metrics.
async fn figure(rig: &Rig, name: &str, labels: &[&str]) -> Option<String> {
    let metrics = rig.metrics(&rig.keeper()).await;
    let line = metrics
        .lines()
        .find(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)))?;
    line.rsplit(' ').next().map(str::to_owned)
}
