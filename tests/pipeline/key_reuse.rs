//! An `Idempotency-Key` that is used again with another body hides no loss: what is not counted is a metric and an alarm that names
//! the client. Equal bodies without keys are no repetitions, and all count.

use std::collections::BTreeMap;

use playground::Options;
use serde_json::{Value, json};

use crate::rig::{Rig, answer, one_region, settings, wait_until, write_tokens};

const MINUTE_S: i64 = 1_763_787_600;
const SECRET: &str = "a-secret-of-the-shop-0123456789";

async fn send(rig: &Rig, key: Option<&str>, events: &Value) {
    let url = format!("{}/v1/events", rig.collectors("eu")[0]);
    let mut request = rig.http.post(url).bearer_auth(SECRET).json(events);
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    let answer = answer(request).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

fn event(name: &str, count: u64) -> Value {
    json!({ "name": name, "count": count, "timestamp": MINUTE_S })
}

/// Waits until every name that begins with `reuse.` has this sum, and no other is there.
async fn expect_sums(rig: &Rig, sums: &[(&str, u64)]) {
    let expected: BTreeMap<String, u64> = sums.iter().map(|&(name, sum)| (name.to_owned(), sum)).collect();
    wait_until("the queue to empty and the sums to be there", async || {
        if rig.tube("eu").await.jobs() > 0 {
            return Err("jobs are queued".to_owned());
        }
        let answer = rig
            .get("/v1/series?name=reuse.*&from=2025-11-22&until=now&step=1mo")
            .await
            .json;
        let series = answer["series"].as_array().unwrap().iter();
        let found: BTreeMap<String, u64> = series
            .map(|one| {
                (
                    one["name"].as_str().unwrap().to_owned(),
                    one["total"].as_u64().unwrap(),
                )
            })
            .collect();
        if found == expected {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
}

async fn key_alarm(rig: &Rig) -> Option<String> {
    let status = rig.get("/v1/status").await.json;
    let alarms = status["alarms"].as_array().unwrap();
    let alarm = alarms.iter().find(|alarm| alarm["kind"] == "key_reuse")?;
    assert_eq!(alarm["region"], "eu");
    Some(alarm["sentence"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_body_is_told_and_an_equal_one_is_not() {
    let dir = playground::Directory::new().unwrap();
    let tokens = dir.path().join("tokens");
    let entry = format!(
        "[[token]]\nname = 'shop'\nsha256 = '{}'\nscopes = ['write']\n",
        gate::Secret::new(SECRET).unwrap().hash()
    );
    write_tokens(&tokens, &entry);
    let options = Options {
        region_overrides: settings(&format!("[collector]\ntokens_file = '{}'", tokens.display())),
        ..one_region()
    };
    let rig = Rig::start_in(dir, options).await;

    // A repetition, and one that JSON writes otherwise.
    send(&rig, Some("order-1"), &json!([event("reuse.a", 3)])).await;
    send(&rig, Some("order-1"), &json!([event("reuse.a", 3)])).await;
    send(
        &rig,
        Some("order-1"),
        &json!({ "events": [{ "timestamp": "2025-11-22T05:00:00Z", "count": 3.0, "name": "reuse.a" }] }),
    )
    .await;
    // Without a time, the repetition comes in another minute, perhaps: it is the same request all the same.
    send(&rig, Some("order-2"), &json!([{ "name": "reuse.b" }])).await;
    send(&rig, Some("order-2"), &json!([{ "name": "reuse.b" }])).await;
    // Equal is not a repetition.
    for _ in 0..3 {
        send(&rig, None, &json!([event("reuse.equal", 5)])).await;
    }
    let mut sums = vec![("reuse.a", 3), ("reuse.b", 1), ("reuse.equal", 15)];
    expect_sums(&rig, &sums).await;
    assert_eq!(key_alarm(&rig).await, None, "nothing was used again");
    let worker = rig.worker("eu");
    assert_eq!(
        rig.counter(&worker, "worker_key_reuse_counts_total{client=\"shop\"}")
            .await,
        0
    );

    // Another body; one that puts right what was refused at first; one that has more behind what was counted.
    send(&rig, Some("order-1"), &json!([event("reuse.lost", 40)])).await;
    send(
        &rig,
        Some("order-3"),
        &json!([event("reuse.c", 1), { "name": "reuse.d", "count": "7" }]),
    )
    .await;
    sums.push(("reuse.c", 1));
    expect_sums(&rig, &sums).await;
    send(
        &rig,
        Some("order-3"),
        &json!([event("reuse.c", 1), event("reuse.d", 7)]),
    )
    .await;
    let sentence = wait_until("an alarm about both", async || match key_alarm(&rig).await {
        Some(sentence) if sentence.contains("(48 counts in 2 batches)") => Ok(sentence),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(sentence.contains("shop (48"), "{sentence}");
    assert_eq!(
        rig.counter(&worker, "worker_key_reuse_counts_total{client=\"shop\"}")
            .await,
        48
    );
    assert_eq!(
        rig.counter(&worker, "worker_key_reuse_batches_total{client=\"shop\"}")
            .await,
        2
    );
    expect_sums(&rig, &sums).await;
    rig.stop().await;
}
