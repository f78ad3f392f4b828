//! Each bad request gets its answer, and nothing of it is counted.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::rig::{Response, Rig, answer, one_region};

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

struct Collector<'a> {
    rig: &'a Rig,
    url: String,
}

impl Collector<'_> {
    async fn send(&self, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Response {
        let mut request = self.rig.http.post(&self.url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request).await
    }

    async fn json(&self, body: impl Into<reqwest::Body>) -> Response {
        self.send(&[("content-type", "application/json")], body).await
    }
}

fn expect(answer: &Response, status: u16, error: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(
        answer.json["error"].as_str().unwrap().contains(error),
        "{error}: {answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_gets_its_answer() {
    let rig = Rig::start(one_region()).await;
    let url = format!("{}/v1/events", rig.collectors("eu")[0]);
    let collector = Collector { rig: &rig, url };
    bodies_are_refused_whole(&collector).await;
    headers_are_refused(&collector).await;
    events_are_rejected_one_by_one(&collector).await;
    let ledger = good_events_in_every_form(&collector).await;
    ledger.expect_at_centre(&rig).await;
    rig.expect_replication_runs().await;
    rig.stop().await;
}

async fn bodies_are_refused_whole(collector: &Collector<'_>) {
    let packed = [("content-type", "application/json"), ("content-encoding", "gzip")];
    expect(&collector.json("{\"name\":").await, 400, "not JSON");
    expect(&collector.json("").await, 400, "not JSON");
    expect(&collector.json("7").await, 400, "not JSON");
    expect(
        &collector.json(r#"{"name":"a","timestamp":NaN}"#).await,
        400,
        "not JSON",
    );
    expect(
        &collector.json(&b"{\"name\":\"\xff\"}"[..]).await,
        400,
        "not UTF-8",
    );
    let good = gzip(&br#"[{"name":"never.counted"}]"#.repeat(50));
    expect(
        &collector.send(&packed, good[..good.len() - 10].to_vec()).await,
        400,
        "Content-Encoding",
    );
    expect(&collector.send(&packed, "plain").await, 400, "Content-Encoding");

    let bomb = collector.send(&packed, gzip(&vec![b' '; 64 << 20])).await;
    expect(&bomb, 413, "8388608 bytes once unpacked");
    assert_eq!(
        bomb.json["limits"],
        json!({"events": 10_000, "bytes": 1 << 20, "bytes_unpacked": 8 << 20})
    );
    expect(
        &collector.json(vec![b' '; (1 << 20) + 1]).await,
        413,
        "1048576 bytes",
    );
    let many: Value = vec![json!({"name": "never.counted"}); 10_001].into();
    expect(&collector.json(many.to_string()).await, 413, "10000 events");
}

async fn headers_are_refused(collector: &Collector<'_>) {
    let body = r#"{"name":"never.counted"}"#;
    expect(
        &collector.send(&[("content-type", "application/xml")], body).await,
        415,
        "Content-Type",
    );
    expect(&collector.send(&[], body).await, 415, "Content-Type");
    let json = ("content-type", "application/json");
    expect(
        &collector.send(&[json, ("content-encoding", "br")], body).await,
        415,
        "Content-Encoding",
    );
    expect(
        &collector.send(&[json, ("idempotency-key", "a b")], body).await,
        400,
        "Idempotency-Key",
    );
    expect(
        &collector
            .send(&[json, ("idempotency-key", &"k".repeat(256))], body)
            .await,
        400,
        "Idempotency-Key",
    );
    let get = answer(collector.rig.http.get(&collector.url)).await;
    expect(&get, 405, "method");
    let elsewhere = answer(collector.rig.http.post(format!("{}s", collector.url))).await;
    expect(&elsewhere, 404, "no such path");
}

/// Each bad event travels with a good one, which is accepted, and alone, which is 400.
async fn events_are_rejected_one_by_one(collector: &Collector<'_>) {
    let long = "x".repeat(256);
    for (bad, reason) in [
        (json!({"name": long}), "longer than 255"),
        (json!({"name": ""}), "empty"),
        (json!({"name": "it's"}), "'\\''"),
        (json!({"name": "say \"hi\""}), "not allowed"),
        (json!({"name": "a b"}), "' '"),
        (json!({"name": "bell\u{7}"}), "\\u{7}"),
        (json!({"name": "größe"}), "'ö'"),
        (json!({"count": 1}), "no name"),
        (
            json!({"name": "a", "count": 0}),
            "count is not an integer from 1 to 1000000000: 0",
        ),
        (json!({"name": "a", "count": -1}), ": -1"),
        (json!({"name": "a", "count": 1.5}), ": 1.5"),
        (json!({"name": "a", "count": 1e10}), ": 1"),
        (json!({"name": "a", "count": "3"}), ": \"3\""),
        (json!({"name": "a", "timestamp": 915_148_800}), "before 2000"),
        (
            json!({"name": "a", "timestamp": "1999-12-31T23:59:59Z"}),
            "before 2000",
        ),
        (
            json!({"name": "a", "timestamp": 2_524_608_000_u64}),
            "an hour ahead",
        ),
        (
            json!({"name": "a", "timestamp": "2050-01-01T00:00:00Z"}),
            "an hour ahead",
        ),
        (json!({"name": "a", "timestamp": "NaN"}), "not a number"),
        (json!({"name": "a", "timestamp": null}), "not a number"),
        (json!({"name": "a", "wert": 3}), "unknown field"),
        (json!("a"), "not a JSON object"),
    ] {
        let good = json!({"name": "good.company", "timestamp": 1_763_787_600});
        let mixed = collector.json(json!([good, bad]).to_string()).await;
        assert_eq!(
            (mixed.status, &mixed.json["accepted"]),
            (202, &json!(1)),
            "{bad}: {mixed:?}"
        );
        assert_eq!(mixed.json["rejected"][0]["index"], 1, "{bad}: {mixed:?}");
        let error = mixed.json["rejected"][0]["error"].as_str().unwrap();
        assert!(error.contains(reason), "{bad}: {error}");
        expect(
            &collector.json(json!([bad]).to_string()).await,
            400,
            "all events were rejected",
        );
    }
    let hundreds: Value = vec![json!({"name": "*"}); 250].into();
    let refused = collector.json(hundreds.to_string()).await;
    assert_eq!(refused.json["rejected"].as_array().unwrap().len(), 100);
    assert_eq!(
        (refused.status, &refused.json["rejected_total"]),
        (400, &json!(250))
    );
}

async fn good_events_in_every_form(collector: &Collector<'_>) -> Ledger {
    let minute = 1_763_787_600;
    let mut ledger = Ledger::default();
    ledger.acknowledged("good.company", minute, 21);
    let event = json!({"name": "form", "count": 1, "timestamp": minute}).to_string();
    let lines = format!("{event}\nbroken\n\n{event}\n");
    let zstd = zstd_encoded(event.as_bytes());
    for (content_type, encoding, body, accepted) in [
        ("application/json", "identity", event.clone().into_bytes(), 1),
        (
            "application/json; charset=utf-8",
            "identity",
            format!("[{event},{event}]").into_bytes(),
            2,
        ),
        (
            "application/json",
            "gzip",
            gzip(format!("{{\"events\":[{event}]}}").as_bytes()),
            1,
        ),
        ("application/json", "zstd", zstd, 1),
        ("application/x-ndjson", "identity", lines.into_bytes(), 2),
        ("text/plain;charset=UTF-8", "identity", event.into_bytes(), 1),
    ] {
        let headers = [("content-type", content_type), ("content-encoding", encoding)];
        let answer = collector.send(&headers, body).await;
        assert_eq!(
            (answer.status, &answer.json["accepted"]),
            (202, &json!(accepted)),
            "{content_type} {encoding}"
        );
        ledger.acknowledged("form", minute, accepted);
    }
    let empty = collector.json("[]").await;
    assert_eq!((empty.status, &empty.json["accepted"]), (202, &json!(0)));
    ledger
}

/// One raw block in a frame: what any zstd encoder may write.
fn zstd_encoded(body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    let block_header = (u32::from(length) << 3) | 1;
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, length];
    frame.extend_from_slice(&block_header.to_le_bytes()[..3]);
    frame.extend_from_slice(body);
    frame
}
