//! A changed file of tokens is taken over while all runs, and a wrong one is not.

use serde_json::{Value, json};

use super::{MINUTE, get, send, with_tokens};
use crate::rig::{Rig, answer, signal, token, wait_until, write_tokens};

fn event() -> Value {
    json!({ "name": "a", "timestamp": MINUTE })
}

async fn wait_for_status(what: &str, expected: u16, status: impl AsyncFn() -> u16) {
    wait_until(what, async || match status().await {
        status if status == expected => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
}

/// What `/readyz` of a role warns of.
async fn warning(rig: &Rig, base: &str) -> Value {
    let answer = answer(rig.http.get(format!("{base}/readyz"))).await;
    assert_eq!(answer.status, 200, "it works on: {answer:?}");
    answer.json["warnings"]["tokens_file"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_all_runs() {
    let (shop, of_shop) = token("shop", &["write", "read"], "");
    let (app, of_app) = token("app", &["write", "read"], "events_per_s = 5");
    let (_, of_old) = token("old", &["write"], "expires = 2025-11-22");
    let (rig, file) = with_tokens(&[&of_shop, &of_old]).await;
    let roles = [rig.collectors("eu")[0].clone(), rig.description().api];
    assert_eq!(send(&rig, &shop, &event()).await.status, 202);
    assert_eq!(send(&rig, &app, &event()).await.status, 401);

    // At once where a role is told; the other sees it by itself.
    write_tokens(&file, &format!("{of_shop}\n{of_app}"));
    signal("HUP", rig.description().regions["eu"].pids.collector.all()[0]).await;
    wait_for_status("the new token", 202, async || {
        send(&rig, &app, &event()).await.status
    })
    .await;
    wait_for_status("the api to know it", 200, async || {
        get(&rig, "/v1/names", &app).await.status
    })
    .await;
    a_rate_is_kept(&rig, &shop, &app).await;

    write_tokens(&file, "[[token]]\nname = 'shop'\n");
    for base in &roles {
        wait_until("a warning", async || match warning(&rig, base).await {
            Value::String(text) if text.contains("missing field `sha256`") => Ok(()),
            other => Err(other.to_string()),
        })
        .await;
    }
    assert_eq!(send(&rig, &shop, &event()).await.status, 202);
    wait_until("alarms of the api and of the collector", async || {
        let status = get(&rig, "/v1/status", &shop).await.json;
        let alarms = status["alarms"].as_array().unwrap();
        match alarms
            .iter()
            .filter(|alarm| alarm["kind"] == "tokens_file")
            .count()
        {
            2 => Ok(()),
            _ => Err(status["alarms"].to_string()),
        }
    })
    .await;
    write_tokens(&file, &of_shop);
    for base in &roles {
        wait_until("no warning", async || match warning(&rig, base).await {
            Value::Null => Ok(()),
            other => Err(other.to_string()),
        })
        .await;
    }
    assert_eq!(send(&rig, &app, &event()).await.status, 401, "it was taken out");
    rig.stop().await;
}

/// Five a second, and ten seconds' worth at once. A request that is more than that is let through once, and then it waits.
async fn a_rate_is_kept(rig: &Rig, shop: &str, app: &str) {
    assert_eq!(send(rig, app, &json!(vec![event(); 60])).await.status, 202);
    let refused = send(rig, app, &event()).await;
    assert_eq!((refused.status, refused.retry_after), (429, true));
    assert_eq!(refused.json["limit"], "events_per_s");
    let retry_after_s = refused.json["retry_after_s"].as_u64().unwrap();
    assert!((1..=3).contains(&retry_after_s), "{refused:?}");
    assert_eq!(
        send(rig, shop, &event()).await.status,
        202,
        "others are not held up"
    );
    wait_for_status("the rate to allow more", 202, async || {
        send(rig, app, &event()).await.status
    })
    .await;
}
