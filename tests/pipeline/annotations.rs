//! Marks on graphs: written once however often they are sent, at every centre, and read in both dialects.

use playground::Options;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::rig::{Response, Rig, answer, one_region, signal, wait_until};

const ID: &str = "0199aa55-0000-7000-8000-000000000001";

const NOON: i64 = 1_763_787_600;

async fn post(rig: &Rig, path: &str, body: &Value) -> Response {
    answer(
        rig.http
            .post(format!("{}{path}", rig.description().api))
            .json(body),
    )
    .await
}

async fn delete(rig: &Rig, id: &str) -> u16 {
    let url = format!("{}/v1/annotations/{id}", rig.description().api);
    rig.http.delete(url).send().await.unwrap().status().as_u16()
}

/// What happened, in the order of the answer.
async fn listed(rig: &Rig, query: &str) -> Vec<String> {
    let answer = rig.get(&format!("/v1/annotations?{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    whats(&answer.json["annotations"])
}

fn whats(annotations: &Value) -> Vec<String> {
    let each = annotations.as_array().unwrap().iter();
    each.map(|a| a["what"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn are_written_once_and_read_in_both_dialects() {
    let rig = Rig::start(one_region()).await;
    let deploy = json!({
        "id": ID, "what": "deploy 🚀", "when": 1_763_787_600.25, "until": "2025-11-22T06:10:00+01:00",
        "data": "<b>v12</b>\nby 'hand' \\", "tags": ["web", "shöp"]
    });
    let expected = json!({
        "id": ID, "what": "deploy 🚀", "when": 1_763_787_600.25, "until": 1_763_788_200.0,
        "data": "<b>v12</b>\nby 'hand' \\", "tags": ["web", "shöp"]
    });
    for status in [201, 200] {
        let written = post(&rig, "/v1/annotations", &deploy).await;
        assert_eq!((written.status, &written.json), (status, &expected));
    }
    let other = json!({"id": ID, "what": "another one"});
    assert_eq!(
        post(&rig, "/v1/annotations", &other).await.json,
        expected,
        "the first stays"
    );
    let graphite = json!({"what": "incident", "when": NOON - 60, "tags": "web db", "data": "", "unknown": 1});
    let posted = rig
        .http
        .post(format!("{}/events/", rig.description().api))
        .json(&graphite);
    assert_eq!(posted.send().await.unwrap().status(), 200);

    let around = format!("from={}&until={}", NOON - 60, NOON + 3_600);
    assert_eq!(listed(&rig, &around).await, ["incident", "deploy 🚀"]);
    assert_eq!(
        rig.get(&format!("/v1/annotations?{around}")).await.json["annotations"][1],
        expected
    );
    for (query, found) in [
        (format!("from={NOON}&until={}", NOON + 1), vec!["deploy 🚀"]),
        (
            format!("from={}&until={}", NOON + 599, NOON + 700),
            vec!["deploy 🚀"],
        ),
        (format!("from={}&until={}", NOON + 600, NOON + 700), vec![]),
        (format!("from={}&until={NOON}", NOON - 60), vec!["incident"]),
        (format!("{around}&tags=web&tags=sh%C3%B6p"), vec!["deploy 🚀"]),
        (format!("{around}&tags=we"), vec![]),
        (format!("{around}&tags=Web"), vec![]),
        (
            "from=0001-01-01&until=9999-01-01".to_owned(),
            vec!["incident", "deploy 🚀"],
        ),
        (String::new(), vec![]),
    ] {
        assert_eq!(listed(&rig, &query).await, found, "{query}");
    }

    in_graphites_dialect(&rig).await;
    assert_eq!((delete(&rig, ID).await, delete(&rig, ID).await), (204, 404));
    assert_eq!(
        (delete(&rig, "no-uuid").await, delete(&rig, "%FF").await),
        (404, 404)
    );
    assert_eq!(listed(&rig, &around).await, ["incident"]);
    refusals(&rig).await;
    rig.stop().await;
}

async fn in_graphites_dialect(rig: &Rig) {
    let events = async |query: &str| rig.get(&format!("/events/get_data?{query}")).await.json;
    assert_eq!(
        events(&format!("from={NOON}&until=now")).await,
        json!([{"id": ID, "when": NOON, "what": "deploy 🚀", "data": "<b>v12</b>\nby 'hand' \\", "tags": ["web", "shöp"]}])
    );
    assert_eq!(
        whats(&events(&format!("until={}", NOON - 60)).await),
        ["incident"],
        "until is included"
    );
    assert_eq!(whats(&events("tags=db+web").await), ["incident"]);
    assert_eq!(whats(&events("tags=db+sh%C3%B6p").await), [""; 0]);
    assert_eq!(
        whats(&events("tags=db+sh%C3%B6p&set=union").await),
        ["incident", "deploy 🚀"]
    );
    assert_eq!(
        whats(&events("tags=&from=-14months").await),
        ["incident", "deploy 🚀"]
    );
}

async fn refusals(rig: &Rig) {
    let url = format!("{}/v1/annotations", rig.description().api);
    let body = r#"{"what":"from a foreign page"}"#;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ] {
        for path in ["/v1/annotations", "/events/"] {
            let url = format!("{}{path}", rig.description().api);
            let request = rig.http.post(url).header(CONTENT_TYPE, content_type).body(body);
            assert_eq!(answer(request).await.status, 415, "{path} {content_type}");
        }
    }
    let with_type = |body: Vec<u8>| {
        rig.http
            .post(&url)
            .header(CONTENT_TYPE, "application/json")
            .body(body)
    };
    let large = answer(with_type(vec![b' '; 32 * 1024 + 1])).await;
    assert_eq!(
        (large.status, &large.json["error"]),
        (413, &json!("body is longer than 32768 bytes, or was cut off"))
    );
    let deep = answer(with_type(b"[".repeat(30_000))).await;
    assert_eq!(deep.status, 400, "{deep:?}");
    for (body, sentence) in [
        (json!({"what": "a\u{7}"}), "what has a control character"),
        (json!({"what": "a", "tags": ["a b"]}), "tags"),
        (json!({"what": "a", "when": 0}), "between 2000"),
        (
            json!({"what": "a", "when": NOON, "until": NOON - 1}),
            "until is before when",
        ),
    ] {
        let refused = post(rig, "/v1/annotations", &body).await;
        let error = refused.json["error"].as_str().unwrap();
        assert!(
            refused.status == 400 && error.contains(sentence),
            "{body}: {refused:?}"
        );
    }
    let many = (0..21).map(|n| format!("tags={n}")).collect::<Vec<_>>().join("&");
    assert_eq!(rig.get(&format!("/v1/annotations?{many}")).await.status, 400);
    assert_eq!(rig.get("/v1/annotations?from=now&until=-1h").await.status, 400);

    for n in 0..1_000 {
        let filler = json!({"what": n.to_string(), "when": NOON + n});
        assert_eq!(post(rig, "/v1/annotations", &filler).await.status, 201);
    }
    let range = format!("from={NOON}&until={}", NOON + 1_000);
    assert_eq!(listed(rig, &range).await.len(), 1_000);
    let whole = rig.get(&format!("/v1/annotations?{range}")).await.json;
    assert_eq!(whole["more"], false);
    // One more, a minute before: the newest are shown, in the order of time.
    let range = format!("from={}&until={}", NOON - 60, NOON + 1_000);
    let newest = rig.get(&format!("/v1/annotations?{range}")).await.json;
    assert_eq!(newest["more"], true);
    let expected: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    assert_eq!(whats(&newest["annotations"]), expected);
    let events = rig.get(&format!("/events/get_data?{range}")).await.json;
    assert_eq!(whats(&events), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn are_at_both_centres() {
    let rig = Rig::start(Options {
        standby: true,
        ..one_region()
    })
    .await;
    wait_until("both centres to answer", async || {
        let status = rig.get("/v1/status").await.json;
        let all_answer = status["centres"]
            .as_array()
            .unwrap()
            .iter()
            .all(|centre| centre["answers"] == true);
        all_answer.then_some(()).ok_or(status.to_string())
    })
    .await;
    for (id, what) in [(ID, "stays"), ("0199aa55-0000-7000-8000-000000000002", "goes")] {
        let body = json!({"id": id, "what": what, "when": NOON});
        assert_eq!(post(&rig, "/v1/annotations", &body).await.status, 201);
    }
    assert_eq!(delete(&rig, "0199aa55-0000-7000-8000-000000000002").await, 204);
    signal("STOP", rig.description().central.pid).await;
    let range = format!("from={NOON}&until={}", NOON + 1);
    assert_eq!(listed(&rig, &range).await, ["stays"], "of the standby");
    let missed = json!({"what": "missed", "when": NOON});
    assert_eq!(post(&rig, "/v1/annotations", &missed).await.status, 201);
    let metrics = rig.metrics(&rig.description().api).await;
    assert!(
        metrics.contains("api_annotations_missed_total{centre="),
        "{metrics}"
    );
    signal("CONT", rig.description().central.pid).await;
    rig.stop().await;
}
