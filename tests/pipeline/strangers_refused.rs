//! Who may send, for which pages, by which names, and where a role dares to listen.

use playground::Options;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ledger::Ledger;
use crate::rig::{PROGRAM, Response, Rig, answer, eventtracker, one_region, settings, token, write_tokens};

const MINUTE: i64 = 1_763_787_600;

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    let (secret, entry) = token("shop", &["write"], "");
    write_tokens(&tokens, &entry);
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
    assert_eq!(send(Some(format!("Bearer {secret}"))).await.status, 202);
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
        .env("EVENTTRACKER_TOKEN", &secret)
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
    let central = dir.path().join("central.toml");
    let sections = "[central]\nuser = 'a'\npassword = { env = 'HOME' }\nsocket = '/nowhere'\n\
        [api]\nlisten = '0.0.0.0:0'\n";
    std::fs::write(&central, sections).unwrap();
    let refused = eventtracker(&["api", "--config", central.to_str().unwrap()]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("api.allow_anonymous_on_any_address = true"),
        "{said}"
    );
    let unknown_key = dir.path().join("typo.toml");
    std::fs::write(&unknown_key, "[collector]\nlisten_on = '127.0.0.1:0'\n").unwrap();
    let refused = eventtracker(&["collector", "--config", unknown_key.to_str().unwrap()]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("listen_on"), "{said}");
}

/// What the server at `base` answers to a request of exactly this head, without a body: its status line and all behind it.
async fn raw(base: &str, head: &str) -> String {
    let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    let request = format!("{}\r\nConnection: close\r\n\r\n", head.replace('\n', "\r\n"));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_others_are_not_answered_to() {
    let rig = Rig::start(Options {
        region_overrides: settings("[collector]\nallowed_hosts = ['Events.Example']"),
        ..one_region()
    })
    .await;
    let (api, collector) = (rig.description().api, rig.collectors("eu").remove(0));
    for (base, path) in [
        (&api, "/v1/status"),
        (&api, "/"),
        (&api, "/metrics"),
        (&api, "/no/such/path"),
        (&collector, "/metrics"),
        (&collector, "/v1/events"),
        (&rig.worker("eu"), "/metrics"),
        (&rig.keeper(), "/metrics"),
    ] {
        for head in [
            format!("GET {path} HTTP/1.1\nHost: evil.example"),
            format!("GET {path} HTTP/1.0\nHost: evil.example"),
            format!("GET http://evil.example{path} HTTP/1.1\nHost: localhost"),
        ] {
            let said = raw(base, &head).await;
            assert!(
                said.starts_with("HTTP/1.1 421") || said.starts_with("HTTP/1.0 421"),
                "{head}: {said}"
            );
            assert!(
                said.contains("{\"error\":") && said.contains("allowed_hosts"),
                "{head}: {said}"
            );
        }
        for head in [
            format!("GET {path} HTTP/1.1"),
            format!("GET {path} HTTP/1.1\nHost: localhost\nHost: evil.example"),
            format!("GET {path} HTTP/1.1\nHost: evil.example@localhost"),
        ] {
            let said = raw(base, &head).await;
            assert!(said.starts_with("HTTP/1.1 400"), "{head}: {said}");
        }
        for asked in [
            "GET /healthz HTTP/1.1\nHost: evil.example",
            "OPTIONS /readyz HTTP/1.0",
        ] {
            let said = raw(base, asked).await;
            assert!(
                said.contains(" 200 OK") || said.contains(" 405 "),
                "{asked}: {said}"
            );
        }
    }
    for (base, head, status) in [
        (&api, "GET /v1/names HTTP/1.0", "200"),
        (&api, "GET /v1/names HTTP/1.1\nHost: LOCALHOST.:1", "200"),
        (&api, "GET /v1/names HTTP/1.1\nHost: [::1]", "200"),
        (&api, "GET /v1/names HTTP/1.1\nHost: events.example", "421"),
        (
            &collector,
            "GET /metrics HTTP/1.1\nHost: events.example:443",
            "200",
        ),
    ] {
        let said = raw(base, head).await;
        assert_eq!(said.split(' ').nth(1), Some(status), "{head}: {said}");
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_others_count_nothing() {
    let rig = Rig::start(Options {
        region_overrides: settings("[collector]\nallowed_hosts = ['shop.example']"),
        ..one_region()
    })
    .await;
    let api = rig.description().api;
    let events = format!("{}/v1/events", rig.collectors("eu")[0]);
    let marks = format!("{api}/v1/annotations");
    let event = json!({ "name": "by.page", "timestamp": MINUTE });
    let send = async |url: &str, body: &Value, content_type: &str, headers: &[(&str, &str)]| -> Response {
        let request = rig.http.post(url).body(body.to_string());
        let request = request.header("Content-Type", content_type);
        answer(
            headers
                .iter()
                .fold(request, |request, (name, value)| request.header(*name, *value)),
        )
        .await
    };
    let mark = json!({ "what": "by page" });
    for headers in [
        [
            ("Origin", "https://evil.example"),
            ("Sec-Fetch-Site", "cross-site"),
        ],
        [
            ("Origin", "https://evil.shop.example"),
            ("Sec-Fetch-Site", "same-site"),
        ],
        [("Origin", "null"), ("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")],
    ] {
        let refused = send(&events, &event, "text/plain", &headers).await;
        let error = refused.json["error"].as_str().unwrap().to_owned();
        assert!(
            refused.status == 403 && error.contains("collector.allowed_hosts"),
            "{refused:?}"
        );
        let refused = send(&marks, &mark, "application/json", &headers).await;
        let error = refused.json["error"].as_str().unwrap().to_owned();
        assert!(
            refused.status == 403 && error.contains("api.allowed_hosts"),
            "{refused:?}"
        );
        let graphites = send(&format!("{api}/events/"), &mark, "application/json", &headers).await;
        assert_eq!(graphites.status, 403, "{graphites:?}");
        let remove = headers.iter().fold(
            rig.http
                .delete(format!("{marks}/0199aa55-0000-7000-8000-000000000001")),
            |request, (name, value)| request.header(*name, *value),
        );
        assert_eq!(answer(remove).await.status, 403);
    }
    let mut ledger = Ledger::default();
    for headers in [
        [
            ("Origin", "https://shop.example"),
            ("Sec-Fetch-Site", "cross-site"),
        ],
        [
            ("Origin", "http://localhost:3000"),
            ("Sec-Fetch-Site", "same-site"),
        ],
        [("Origin", "null"), ("Sec-Fetch-Site", "same-origin")],
        [("User-Agent", "a program"), ("Accept", "*/*")],
    ] {
        let taken = send(&events, &event, "text/plain;charset=UTF-8", &headers).await;
        assert_eq!(taken.status, 202, "{headers:?}: {taken:?}");
        ledger.acknowledged("by.page", MINUTE, 1);
    }
    ledger.expect_at_centre(&rig).await;
    let own = [("Origin", api.as_str()), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(send(&marks, &mark, "application/json", &own).await.status, 201);
    rig.stop().await;
}
