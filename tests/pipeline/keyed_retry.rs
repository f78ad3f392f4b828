//! A keyed request whose jobs were stored in part is counted once when it is retried through another collector.

use playground::Options;
use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::relay::Relay;
use crate::rig::{Rig, answer, one_region, wait_until};

const EVENTS: usize = 10_000;

/// Jobs of the first attempt whose storing the collector hears of; the request needs more.
const JOBS_CONFIRMED: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn with_timestamps() {
    let mut ledger = Ledger::default();
    let minute = 1_763_787_600;
    let event = |n| json!({ "name": name(n), "timestamp": minute, "count": n + 1 });
    (0..EVENTS).for_each(|n| ledger.acknowledged(&name(n), minute, n as u64 + 1));
    let rig = retried((0..EVENTS).map(event).collect()).await;
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_timestamps() {
    let event = |n| json!({ "name": name(n), "count": n + 1 });
    let rig = retried((0..EVENTS).map(event).collect()).await;
    // Whichever attempt counted a piece chose its minute: the sums over all minutes must be right.
    let mut expected: Vec<(u64, u64)> = (0..EVENTS)
        .map(|n| (model::EventId::of(&name(n)).0, n as u64 + 1))
        .collect();
    expected.sort_unstable();
    wait_until("every name once", async || {
        let mut conn = crate::centre::connect(&rig.description().central).await;
        let counts = crate::centre::counts(&mut conn).await.unwrap();
        let found: Vec<_> = counts.iter().map(|((id, _), &count)| (*id, count)).collect();
        assert!(found.len() <= EVENTS, "a name was counted in two minutes");
        if found == expected {
            Ok(())
        } else {
            Err(format!("{} of {EVENTS} names", found.len()))
        }
    })
    .await;
    rig.stop().await;
}

fn name(n: usize) -> String {
    format!("keyed.request.with.many.names.{n}")
}

/// Sends `events` under a key through a collector whose link to the queue breaks in the middle, then again through another.
async fn retried(events: Value) -> Rig {
    let options = Options {
        collectors: 2,
        ..one_region()
    };
    let (relay, options) = Relay::before_queue(options).await;
    let rig = Rig::start(options).await;
    let collectors = rig.collectors("eu");
    let send = |collector: &str| {
        let request = rig
            .http
            .post(format!("{collector}/v1/events"))
            .header("Idempotency-Key", "order-4711");
        answer(request.json(&events))
    };

    relay.cut_after(JOBS_CONFIRMED);
    let first = send(&collectors[0]).await;
    assert!(
        relay.is_cut(),
        "the request needed no more than {JOBS_CONFIRMED} jobs"
    );
    assert_eq!(
        (first.status, &first.json["outcome"], first.retry_after),
        (503, &json!("unknown"), true),
        "{first:?}"
    );

    relay.heal();
    batches(&rig, "counted", JOBS_CONFIRMED as u64).await;
    wait_until("the other collector to reach the queue", async || {
        match send(&collectors[1]).await {
            answer if answer.status == 202 => Ok(()),
            answer => Err(format!("{answer:?}")),
        }
    })
    .await;
    batches(&rig, "recognised", JOBS_CONFIRMED as u64).await;
    rig
}

/// Waits until the worker has counted, or recognised as known, that many batches.
async fn batches(rig: &Rig, what: &str, at_least: u64) {
    wait_until(&format!("batches to be {what}"), async || {
        let counter = format!("worker_batches_{what}_total");
        match rig.counter(&rig.worker("eu"), &counter).await {
            found if found >= at_least => Ok(()),
            found => Err(found.to_string()),
        }
    })
    .await;
}
