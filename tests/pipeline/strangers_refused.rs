//! Who may send, and where a collector dares to listen.

use playground::Options;
use serde_json::json;

use crate::ledger::Ledger;
use crate::rig::{PROGRAM, Rig, answer, eventtracker, one_region, settings};

const MINUTE: i64 = 1_763_787_600;
const SECRET: &str = "correct-horse-battery-staple";

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    std::fs::write(&tokens, format!("# who sends\nshop {SECRET}\n")).unwrap();
    let region_overrides = settings(&format!("[collector]\ntokens_file = '{}'", tokens.display()));
    let rig = Rig::start(Options {
        region_overrides,
        ..one_region()
    })
    .await;
    let url = format!("{}/v1/events", rig.collectors("eu")[0]);
    let event = json!({ "name": "by.token", "timestamp": MINUTE });
    let send = async |authorization: Option<String>| {
        let request = rig.http.post(&url).json(&event);
        answer(
            authorization
                .into_iter()
                .fold(request, |request, value| request.header("Authorization", value)),
        )
        .await
    };
    assert_eq!(send(None).await.status, 401);
    assert_eq!(
        send(Some("Bearer wrong-horse-battery-staple".to_owned()))
            .await
            .status,
        401
    );
    assert_eq!(send(Some(format!("Bearer {SECRET}"))).await.status, 202);
    let mut ledger = Ledger::default();
    ledger.acknowledged("by.token", MINUTE, 1);

    let emit = [
        "emit",
        "by.token",
        "--at",
        "2025-11-22T05:00:00Z",
        "--collector",
        &rig.collectors("eu")[0],
    ];
    let refused = eventtracker(&emit).await;
    assert!(!refused.status.success(), "{refused:?}");
    let sent = tokio::process::Command::new(PROGRAM)
        .args(emit)
        .env("EVENTTRACKER_TOKEN", SECRET)
        .output()
        .await
        .unwrap();
    assert!(sent.status.success(), "{sent:?}");
    ledger.acknowledged("by.token", MINUTE, 1);

    // The sum of what was acknowledged, and nothing of the strangers'.
    crate::rig::wait_until("both events", async || {
        let query = format!("/v1/series?name=by.token&from={MINUTE}&until={}", MINUTE + 60);
        match rig.get(&query).await.json["series"][0]["total"].as_u64() {
            Some(total) if total == ledger.total() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_address_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("region.toml");
    std::fs::write(&config, "[queue]\naddress = '127.0.0.1:1'\n[collector]\n").unwrap();
    let config = config.to_str().unwrap();
    let refused = eventtracker(&["collector", "--config", config, "--listen", "0.0.0.0:0"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("allow_anonymous_on_any_address"),
        "{said}"
    );
    let unknown_key = dir.path().join("typo.toml");
    std::fs::write(&unknown_key, "[collector]\nlisten_on = '127.0.0.1:0'\n").unwrap();
    let refused = eventtracker(&["collector", "--config", unknown_key.to_str().unwrap()]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("listen_on"), "{said}");
}
