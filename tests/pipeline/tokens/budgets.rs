//! Names beyond a token's budget overflow, and nothing is lost.

use serde_json::{Value, json};

use super::{MINUTE, get, send, total, under, wait_for_total, with_tokens};
use crate::rig::{Rig, answer, token, wait_until};

fn event(name: &str) -> Value {
    json!({ "name": name, "timestamp": MINUTE, "count": 3 })
}

/// A thousand names of a program that puts an id into them.
fn request(first: u32) -> Value {
    (first..first + 1_000)
        .map(|n| event(&format!("bug.order.{n}")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_beyond_overflow() {
    let (bug, of_bug) = token("bug", &["write"], "names_max = 100");
    let (all, of_all) = token("all", &["write", "read"], "");
    let (rig, _) = with_tokens(&[&of_bug, &of_all]).await;
    let first = send(&rig, &bug, &request(0)).await;
    assert_eq!((first.status, &first.json["accepted"]), (202, &json!(1_000)));
    assert_eq!(first.json["overflowed"], 900);
    // Names that were there keep counting; a repetition is told the same, and counts once.
    let known = send(&rig, &bug, &json!([event("bug.order.7")])).await;
    assert_eq!((known.status, known.json.get("overflowed")), (202, None));
    let url = format!("{}/v1/events", rig.collectors("eu")[0]);
    for _ in 0..2 {
        let keyed = rig
            .http
            .post(&url)
            .bearer_auth(&bug)
            .header("Idempotency-Key", "order-1");
        let keyed = answer(keyed.json(&request(500))).await;
        assert_eq!((keyed.status, &keyed.json["overflowed"]), (202, &json!(1_000)));
    }
    // Others have budgets of their own.
    let others = send(&rig, &all, &json!([event("shop.item.sold")])).await;
    assert_eq!((others.status, others.json.get("overflowed")), (202, None));
    wait_for_total(&rig, &all, "{bug.**,__overflow__.bug}", 3 * 2_001).await;
    assert_eq!(total(&rig, &all, "bug.**").await, 3 * 101);
    assert_eq!(total(&rig, &all, "__overflow__.bug").await, 3 * 1_900);
    let names = get(&rig, "/v1/names?query=bug.*&limit=1000", &all).await.json;
    assert_eq!(names["names"].as_array().unwrap().len(), 100);
    who_makes_names_is_seen(&rig, &all).await;
    rig.stop().await;
}

/// In an alarm, by names of EventTracker's own, and by a command.
async fn who_makes_names_is_seen(rig: &Rig, all: &str) {
    let alarm = wait_until("an alarm that names the token", async || {
        let status = get(rig, "/v1/status", all).await.json;
        let alarms = status["alarms"].as_array().unwrap();
        let alarm = alarms.iter().find(|alarm| alarm["kind"] == "names_overflow");
        let sentence = alarm.map(|alarm| alarm["sentence"].as_str().unwrap().to_owned());
        sentence.ok_or(status.to_string())
    })
    .await;
    assert!(alarm.ends_with("bug"), "{alarm}");
    let clients = wait_until("the use of each token", async || {
        let status = get(rig, "/v1/status", all).await.json;
        match status["clients"].as_array().unwrap() {
            clients if clients.len() == 2 => Ok(clients.clone()),
            _ => Err(status["clients"].to_string()),
        }
    })
    .await;
    let of_bug = json!({"name": "bug", "events": 3_001, "rejected": 0, "overflowed": 2_900, "names": 100});
    assert_eq!(clients[1], of_bug);
    let api = rig.description().api;
    let top = async |by: &[&str]| -> Vec<String> {
        let arguments = [&["names", "top", "--api", &api, "--by"], by].concat();
        let shown = String::from_utf8(under(all, &arguments).await.stdout).unwrap();
        let first = shown.lines().nth(1).unwrap_or_default();
        first.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(top(&["token"]).await, ["bug", "100", "3,001", "2,900"]);
    assert_eq!(top(&["prefix", "--depth", "2"]).await[..2], ["bug.order.", "100"]);
}
