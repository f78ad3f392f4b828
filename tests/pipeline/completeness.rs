//! `complete_until` follows the present, is never ahead of the counts, and stands still where a region cannot speak.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use model::Timestamp;
use mysql_async::prelude::Queryable;
use playground::Options;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::complete::{complete_until, wait_until_complete, wait_until_current};
use crate::rig::{Rig, one_region, signal, two_regions, wait_until};

/// Looks at the answer, between two disturbances.
const LOOKS: usize = 20;

fn now() -> Timestamp {
    SystemTime::now().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_minute_is_0_when_complete_and_null_before() {
    let rig = Rig::start(two_regions()).await;
    rig.post_until_accepted("eu", &json!({"name": "quiet.one", "timestamp": 1_763_787_600}))
        .await;
    wait_until_complete(&rig, now()).await;
    let series = rig.get("/v1/series?name=quiet.one&from=-5m&until=now").await.json;
    let points = series["series"][0]["points"].as_array().unwrap();
    let (first, last) = (&points[0][1], &points[points.len() - 1][1]);
    assert_eq!((first, last), (&json!(0), &Value::Null), "{series}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_cut_off_holds_the_clock_back_and_is_named() {
    let rig = Rig::start(two_regions()).await;
    wait_until_current(&rig).await;
    let mut centre = rig.description().central.root().connect().await.unwrap();
    centre.query_drop("STOP SLAVE 'us'").await.unwrap();
    let us = async || {
        let status = rig.get("/v1/status").await.json;
        let regions = status["regions"].as_array().unwrap();
        regions
            .iter()
            .find(|region| region["region"] == "us")
            .unwrap()
            .clone()
    };
    let stood = us().await["clock"].as_f64().unwrap();
    wait_until("the region to be named", async || {
        match us().await["held_back"].as_str() {
            Some(reason) if reason.contains("replication does not run") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let status = rig.get("/v1/status").await.json;
    assert!(
        status["complete_until"].as_f64().unwrap() <= stood,
        "{stood}: {status}"
    );
    centre.query_drop("START SLAVE 'us'").await.unwrap();
    wait_until_current(&rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn never_ahead_while_workers_are_killed() {
    never_ahead(async |rig, look| {
        for _ in 0..3 {
            let pid = rig.description().regions["eu"].pids.worker.all()[0];
            signal("KILL", pid).await;
            looks(rig, look).await;
        }
    })
    .await;
}

/// For longer than the time to run. beanstalkd 1.12 does not take jobs back from a connection that is silent (see crates/queue/README.md),
/// so the clock stands until the worker wakes, with a transaction and a claim of long ago.
#[tokio::test(flavor = "multi_thread")]
async fn never_ahead_while_a_worker_is_stopped() {
    const LONGER_THAN_THE_TIME_TO_RUN_MS: i64 = 33_000;
    never_ahead(async |rig, look| {
        let pid = rig.description().regions["eu"].pids.worker.all()[0];
        signal("STOP", pid).await;
        wait_until("the clock to have stood for long", async || {
            looks(rig, look).await;
            let stood = complete_until(&rig.get("/v1/status").await.json).unwrap();
            match now().ms_since(stood) {
                LONGER_THAN_THE_TIME_TO_RUN_MS.. => Ok(()),
                lag_ms => Err(format!("{lag_ms} ms")),
            }
        })
        .await;
        signal("CONT", pid).await;
        looks(rig, look).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn never_ahead_while_servers_are_killed() {
    never_ahead(async |rig, look| {
        signal("KILL", rig.description().regions["eu"].mariadb.pid).await;
        looks(rig, look).await;
        signal("KILL", rig.description().regions["eu"].pids.beanstalkd).await;
        looks(rig, look).await;
        signal("KILL", rig.description().central.pid).await;
        looks(rig, look).await;
    })
    .await;
}

/// What a sender knows, and what was seen of it.
#[derive(Default)]
struct Look {
    /// When each event was acknowledged, in unix ms.
    acknowledged: std::sync::Mutex<Vec<i64>>,
    /// Answers that said until when they are complete.
    seen: AtomicU64,
}

/// Sends one event after the other, disturbs, and looks: what was acknowledged before an answer's `complete_until` is in it.
async fn never_ahead(disturb: impl AsyncFn(&Rig, &Look)) {
    let rig = Rig::start(Options {
        collectors: 2,
        workers: 2,
        ..one_region()
    })
    .await;
    wait_until_current(&rig).await;
    let (look, stop) = (Arc::new(Look::default()), CancellationToken::new());
    let sender = send(&rig, look.clone(), stop.clone());
    looks(&rig, &look).await;
    disturb(&rig, &look).await;
    stop.cancel();
    sender.await.unwrap();
    let last = *look.acknowledged.lock().unwrap().last().unwrap();
    wait_until_complete(&rig, Timestamp::from_unix_ms(last)).await;
    looks(&rig, &look).await;
    assert!(
        look.seen.load(Ordering::SeqCst) > 0,
        "no answer said until when it is complete"
    );
    let sum = rig
        .get("/v1/series?name=truth&from=2025-11-22&until=2025-11-23&step=1d")
        .await
        .json;
    let acknowledged = look.acknowledged.lock().unwrap().len();
    assert_eq!(
        sum["series"][0]["total"], acknowledged,
        "every key counts once: {sum}"
    );
    rig.stop().await;
}

fn send(rig: &Rig, look: Arc<Look>, stop: CancellationToken) -> JoinHandle<()> {
    let (http, collectors) = (rig.http.clone(), rig.collectors("eu"));
    tokio::spawn(async move {
        for number in 0_usize.. {
            if stop.is_cancelled() {
                return;
            }
            let event = json!({"name": "truth", "timestamp": 1_763_787_600});
            for attempt in number.. {
                let url = format!("{}/v1/events", collectors[attempt % collectors.len()]);
                let request = http
                    .post(url)
                    .header("Idempotency-Key", format!("truth-{number}"));
                match request.json(&event).send().await {
                    Ok(response) if response.status() == 202 => break,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
            look.acknowledged.lock().unwrap().push(now().unix_ms());
        }
    })
}

async fn looks(rig: &Rig, look: &Look) {
    for _ in 0..LOOKS {
        let url = format!(
            "{}/v1/series?name=truth&from=2025-11-22&until=2025-11-23&step=1d",
            rig.description().api
        );
        // While a server is away there is no answer, and none that could be wrong.
        let response = rig.http.get(url).send().await;
        tokio::time::sleep(Duration::from_millis(25)).await;
        let Ok(response) = response else { continue };
        if response.status() != 200 {
            continue;
        }
        let series: Value = response.json().await.unwrap();
        let Some(until) = complete_until(&series) else {
            continue;
        };
        let before = look
            .acknowledged
            .lock()
            .unwrap()
            .iter()
            .filter(|&&at| at < until.unix_ms())
            .count() as u64;
        let sum = series["series"][0]["total"].as_u64().unwrap_or(0);
        assert!(
            sum >= before,
            "{before} were acknowledged before {until}, but the answer has {sum}: {series}"
        );
        look.seen.fetch_add(1, Ordering::SeqCst);
    }
}
