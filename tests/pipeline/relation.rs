//! How one name depends on another: I(L(t)), from events to the line.

use serde_json::{Value, json};

use crate::rig::{Rig, two_regions, wait_until};

const NOON: i64 = 1_763_787_600;

/// Minutes with a pair.
const MINUTES: i64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn the_line_through_what_was_counted() {
    let rig = Rig::start(two_regions()).await;
    // In minute n the load is n / 100, as the mean of two samples, and n items are sold; in one more nothing was sampled.
    for n in 1..=MINUTES {
        let minute = NOON + 60 * n;
        let events = json!([
            {"name": "web.load", "count": 2 * n, "timestamp": minute},
            {"name": "web.load.samples", "count": 200, "timestamp": minute},
            {"name": "shop.item.sold", "count": n, "timestamp": minute},
            {"name": "a/b", "count": 7, "timestamp": minute},
            {"name": "a", "count": 1, "timestamp": minute},
            {"name": "b", "count": 2, "timestamp": minute},
        ]);
        let region = if n % 2 == 0 { "eu" } else { "us" };
        rig.post_until_accepted(region, &events).await;
    }
    rig.post_until_accepted(
        "eu",
        &json!({"name": "shop.item.sold", "count": 5, "timestamp": NOON}),
    )
    .await;
    let range = format!("from={NOON}&until={}", NOON + 60 * (MINUTES + 1));
    let relation = async |query: &str| {
        let answer = rig.get(&format!("/v1/relation?{range}&{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        answer.json
    };
    let load = "x=web.load/web.load.samples&y=shop.item.sold";
    let found = wait_until("all pairs", async || {
        let found = relation(load).await;
        let sold = relation("x=shop.item.sold&y=shop.item.sold").await;
        let all = found["n"] == MINUTES && sold["n"] == MINUTES + 1 && sold["pairs"][0][0] == 5;
        if all {
            Ok(found)
        } else {
            Err(format!("{found} {sold}"))
        }
    })
    .await;
    let near = |value: &Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 1e-9;
    assert!(near(&found["correlation"], 1.0), "{found}");
    assert!(
        near(&found["fit"]["slope"], 100.0) && near(&found["fit"]["intercept"], 0.0),
        "{found}"
    );
    assert_eq!(found["pairs"][2], json!([0.03, 3, NOON + 180]));
    assert_eq!((&found["from"], &found["step"]), (&json!(NOON), &json!(60)));
    assert!(found["complete_until"].is_number());

    let hours = relation(&format!("{load}&step=1h")).await;
    assert_eq!(hours["n"], 2);
    assert_eq!(hours["pairs"][1], json!([0.6, 60, NOON + 3_600]));

    slashes(&rig, &range).await;
    not_yet_complete(&rig).await;
    refusals(&rig).await;
    let csv = rig.http.get(format!(
        "{}/v1/relation?{range}&x=a/b&y=a&format=csv",
        rig.description().api
    ));
    let csv = csv.send().await.unwrap().text().await.unwrap();
    assert_eq!(csv.lines().nth(2), Some("2025-11-22T05:01:00Z,7,1"));
    assert_eq!(csv.lines().next(), Some("time,x,y"));
    rig.stop().await;
}

async fn slashes(rig: &Rig, range: &str) {
    let relation = async |query: &str| {
        let answer = rig.get(&format!("/v1/relation?{range}&{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        answer.json
    };
    // A name with a slash goes before the ratio, blanks make it the ratio.
    assert_eq!(relation("x=a/b&y=a").await["pairs"][1], json!([7, 1, NOON + 60]));
    let ratio = relation("x=a%20/%20b&y=a/b").await;
    assert_eq!(ratio["pairs"][0], json!([0.5, 7, NOON + 60]));
    assert_eq!(
        (&ratio["correlation"], &ratio["fit"]),
        (&Value::Null, &Value::Null)
    );

    for query in ["x=never.counted&y=a", "x=a&y=a/never.counted"] {
        let nothing = relation(query).await;
        assert_eq!(
            (&nothing["pairs"], &nothing["n"]),
            (&json!([]), &json!(0)),
            "{query}"
        );
    }
}

/// What may still grow is no pair.
async fn not_yet_complete(rig: &Rig) {
    rig.post_until_accepted("eu", &json!({"name": "just.now", "count": 3}))
        .await;
    wait_until("what is counted just now", async || {
        let series = rig.get("/v1/series?name=just.now&from=-5m&step=1d").await.json;
        let relation = rig
            .get("/v1/relation?x=just.now&y=just.now&from=-5m&step=1d")
            .await
            .json;
        if series["series"][0]["total"] != 3 {
            return Err(series.to_string());
        }
        // Also behind a midnight, when the day before is complete.
        let complete_until = relation["complete_until"].as_f64().unwrap_or_default();
        let ends = relation["pairs"].as_array().unwrap().iter();
        let mut ends = ends.map(|pair| pair[2].as_f64().unwrap() + 86_400.0);
        assert!(ends.all(|end| end <= complete_until), "{relation}");
        Ok(())
    })
    .await;
}

async fn refusals(rig: &Rig) {
    for (query, sentence) in [
        ("x=a", "y is neither a name"),
        ("x=a*&y=a", "x is neither a name"),
        ("x=a&y=a&x=b", "x is given more than once"),
        ("x=a&y=a&lag=1", "unknown query parameter"),
        ("x=a&y=a&from=0", "more than 600000 points"),
        (
            "x=a%20/%20b&y=web.load/web.load.samples&from=2024-12-01&until=2025-12-01",
            "more than 2000000 points",
        ),
    ] {
        let refused = rig.get(&format!("/v1/relation?{query}")).await;
        let error = refused.json["error"].as_str().unwrap_or_default();
        assert!(
            refused.status == 400 && error.contains(sentence),
            "{query}: {refused:?}"
        );
    }
}
