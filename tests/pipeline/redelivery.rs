//! What comes back to the queue after it was counted, or to two workers at once, counts once.

use mysql_async::prelude::Queryable;
use playground::{Options, counter};
use serde_json::json;

use crate::ledger::Ledger;
use crate::relay::Relay;
use crate::rig::{Rig, one_region, put, signal, wait_until};

const MINUTE: i64 = 1_763_787_600;

/// Batches that are in two jobs each.
const BATCHES: u64 = 200;

/// Transactions of 15 s each that fail: together as long as the time to run.
const FAILURES: u64 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_commit_and_delete() {
    let (relay, options) = Relay::before_queue(one_region()).await;
    let rig = Rig::start(options).await;
    let mut ledger = Ledger::default();
    for number in 0..3 {
        relay.keep_deletes_back();
        let event = json!({ "name": "again", "timestamp": MINUTE, "count": 5 + number });
        assert_eq!(rig.post("eu", &event).await.status, 202);
        ledger.acknowledged("again", MINUTE, 5 + number);
        wait_until("the worker to have committed", async || {
            relay
                .has_kept_a_delete()
                .then_some(())
                .ok_or("no delete yet".to_owned())
        })
        .await;
        signal("KILL", rig.description().regions["eu"].pids.worker.all()[0]).await;
        relay.pass_deletes_on();
        wait_until("the next worker to recognise the batch", async || {
            // There are none while it starts.
            let url = format!("{}/metrics", rig.worker("eu"));
            let metrics = rig
                .http
                .get(url)
                .send()
                .await
                .map_err(|error| error.to_string())?;
            let metrics = metrics.text().await.map_err(|error| error.to_string())?;
            let recognised = counter(&metrics, "worker_batches_recognised_total").unwrap();
            (recognised == 1).then_some(()).ok_or("not recognised".to_owned())
        })
        .await;
    }
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_with_one_batch() {
    let rig = Rig::start(Options {
        workers: 2,
        ..one_region()
    })
    .await;
    let workers = rig.description().regions["eu"].pids.worker.clone();
    for &worker in workers.all() {
        signal("STOP", worker).await;
    }
    let mut ledger = Ledger::default();
    for number in 0..BATCHES {
        let id = format!("00000000-0000-0000-0000-{number:012x}");
        let counts = json!({ MINUTE.to_string(): [[0, 1 + number]] });
        let job =
            json!({ "accepted": MINUTE, "names": ["twin"], "batches": [{ "id": id, "counts": counts }] });
        let body = job.to_string();
        put(&rig, body.as_bytes()).await;
        put(&rig, body.as_bytes()).await;
        ledger.acknowledged("twin", MINUTE, 1 + number);
    }
    for &worker in workers.all() {
        signal("CONT", worker).await;
    }
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_locked_for_as_long_as_the_time_to_run() {
    let rig = Rig::start(one_region()).await;
    let mut ledger = Ledger::default();
    let send = async |ledger: &mut Ledger, count: u64| {
        let event = json!({ "name": "locked", "timestamp": MINUTE, "count": count });
        assert_eq!(rig.post("eu", &event).await.status, 202);
        ledger.acknowledged("locked", MINUTE, count);
    };
    send(&mut ledger, 1).await;
    wait_until("the first count", async || {
        let counted = rig.counter(&rig.worker("eu"), "worker_counts_total").await;
        (counted == 1).then_some(()).ok_or(counted.to_string())
    })
    .await;
    let root = rig.description().regions["eu"].mariadb.root();
    let mut lock = root.connect().await.unwrap();
    lock.query_drop("START TRANSACTION").await.unwrap();
    lock.query_drop("SELECT * FROM eventtracker.CountedTotal FOR UPDATE")
        .await
        .unwrap();
    send(&mut ledger, 10).await;
    wait_until("transactions to fail", async || {
        match rig
            .counter(&rig.worker("eu"), "worker_flush_failures_total")
            .await
        {
            failures if failures >= FAILURES => Ok(()),
            failures => Err(format!("{failures} failures")),
        }
    })
    .await;
    lock.query_drop("ROLLBACK").await.unwrap();
    send(&mut ledger, 100).await;
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}
