//! A full queue and a queue that does not answer: 503, nothing counted that was refused, nothing lost that was accepted.

use playground::Options;
use serde_json::json;

use crate::ledger::Ledger;
use crate::rig::{Rig, one_region, settings, signal, wait_until};

const MINUTE: i64 = 1_763_787_600;

#[tokio::test(flavor = "multi_thread")]
async fn is_refused_and_drains() {
    let region_overrides = settings("[queue]\njobs_max = 5");
    let rig = Rig::start(Options {
        region_overrides,
        ..one_region()
    })
    .await;
    let worker = rig.description().regions["eu"].pids.worker.all()[0];
    signal("STOP", worker).await;
    let mut ledger = Ledger::default();
    let mut refused = 0;
    // Each of those that find no room waits for some first.
    for number in 0..8 {
        let name = format!("full.{number}");
        let answer = rig
            .post("eu", &json!({ "name": name, "timestamp": MINUTE }))
            .await;
        match answer.status {
            202 => ledger.acknowledged(&name, MINUTE, 1),
            _ => {
                assert_eq!((answer.status, answer.retry_after), (503, true), "{answer:?}");
                assert_eq!(
                    answer.json,
                    json!({ "error": "the queue is full", "limit": "queue.jobs_max", "retry_after_s": 2 })
                );
                refused += 1;
            }
        }
    }
    assert_eq!((ledger.total(), refused), (5, 3));
    signal("CONT", worker).await;
    let event = json!({ "name": "full.after", "timestamp": MINUTE });
    rig.post_until_accepted("eu", &event).await;
    ledger.acknowledged("full.after", MINUTE, 1);
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_hangs_is_given_up_and_comes_back() {
    let rig = Rig::start(one_region()).await;
    let beanstalkd = rig.description().regions["eu"].pids.beanstalkd;
    signal("STOP", beanstalkd).await;
    let mut ledger = Ledger::default();
    let hung = rig
        .post("eu", &json!({ "name": "hung", "timestamp": MINUTE }))
        .await;
    assert_eq!((hung.status, hung.retry_after), (503, true), "{hung:?}");
    if hung.json["outcome"] == "unknown" {
        ledger.doubtful("hung", MINUTE, 1);
    }
    wait_until("the collector to know that the queue is away", async || {
        let answer = rig
            .post("eu", &json!({ "name": "away", "timestamp": MINUTE }))
            .await;
        let known = answer.json["error"] == "the queue is away";
        if known { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    let metrics = rig.metrics(&rig.collectors("eu")[0]).await;
    assert!(
        metrics
            .lines()
            .any(|line| line.starts_with("queue_calls_abandoned_total ")),
        "{metrics}"
    );
    signal("CONT", beanstalkd).await;
    let event = json!({ "name": "back", "timestamp": MINUTE });
    rig.post_until_accepted("eu", &event).await;
    ledger.acknowledged("back", MINUTE, 1);
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}
