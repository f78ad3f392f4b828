//! What Grafana's Graphite data source asks is answered exactly, and what is wrong with a request is said.

use playground::Options;
use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::rig::{Response, Rig, answer, one_region, put, wait_until};

/// 2025-11-22T05:00:00Z.
const T: i64 = 1_763_787_600;

const MINUTES: i64 = 180;

/// The smallest integer that a float cannot hold.
const NO_FLOAT: u64 = 9_007_199_254_740_993;

/// What Grafana posts for a panel with two queries of the three hours from `T`.
const PANEL: &str = "target=aliasSub(graph.shop.*%2C%20%22(%5E.*%24)%22%2C%20%22%5C1%20A%22)\
                     &target=aliasSub(sumSeries(graph.*.sold)%7Cscale(2)%2C%20%22(%5E.*%24)%22%2C%20%22%5C1%20B%22)\
                     &from=1763787599&until=1763798399&format=json&maxDataPoints=1904";

/// What "Save & test" posts, without times.
const SAVE_AND_TEST: &str = "target=constantLine(100)&format=json&maxDataPoints=300&cacheTimeout=60";

async fn render(rig: &Rig, form: &str) -> Response {
    let request = rig.http.post(format!("{}/render", rig.description().api));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    answer(request.body(form.to_owned())).await
}

/// A target over all that was counted, at most so many values.
async fn render_all(rig: &Rig, target: &str, values_max: i64) -> Value {
    let (from, until) = (T - 1, T + 60 * MINUTES - 60);
    let form = format!("target={target}&from={from}&until={until}&maxDataPoints={values_max}");
    let answer = render(rig, &form).await;
    assert_eq!(answer.status, 200, "{form}: {answer:?}");
    answer.json
}

fn values(series: &Value) -> Vec<Value> {
    let points = series["datapoints"].as_array().unwrap();
    points.iter().map(|point| point[0].clone()).collect()
}

fn total(series: &Value) -> u64 {
    values(series).iter().map(|value| value.as_u64().unwrap()).sum()
}

/// As many hosts as an ordinary panel adds up, and more than it did.
const HOSTS: usize = 2_001;

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_names_are_summed() {
    let rig = Rig::start(one_region()).await;
    let events: Vec<Value> = (0..HOSTS)
        .map(|host| json!({ "name": format!("web.{host}.req"), "timestamp": T + 60 * (i64::try_from(host).unwrap() % 3) }))
        .collect();
    rig.post_until_accepted("eu", &json!(events)).await;
    // A day by the minute: 2.9 million values of single series.
    let day = format!("from={}&until={}", T - 43_200, T + 43_200);
    let summed = async |target: &str| -> Vec<Value> {
        let answer = render(&rig, &format!("target={target}&{day}")).await;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        let series = answer.json.as_array().unwrap();
        assert!(series.len() <= 1, "{target}");
        series.first().map(values).unwrap_or_default()
    };
    wait_until("all of them to be counted", async || {
        let values = summed("sumSeries(web.*.req)").await;
        let total: u64 = values.iter().filter_map(Value::as_u64).sum();
        match usize::try_from(total).unwrap() {
            HOSTS => Ok(()),
            total => Err(total.to_string()),
        }
    })
    .await;
    for target in [
        "sum(web.*.req)",
        "sumSeries(seriesByTag('name=~^web\\..*req'))",
        "alias(sumSeries(web.*.req),'all')",
    ] {
        let values = summed(target).await;
        let counts: Vec<u64> = values
            .iter()
            .filter_map(Value::as_u64)
            .filter(|&count| count > 0)
            .collect();
        assert_eq!(counts, [667, 667, 667], "{target}");
    }
    // Each of them by itself is too much; a few hundred are not.
    let apart = render(&rig, &format!("target=averageSeries(web.*.req)&{day}")).await;
    assert_eq!(apart.status, 400);
    assert!(
        apart.json["error"]
            .as_str()
            .unwrap()
            .contains("more than 2000000 points"),
        "{apart:?}"
    );
    let series = rig
        .get("/v1/series?name=web.1??.req&name=web.2??.req&from=2025-11-22&until=2025-11-23&step=1h")
        .await;
    assert_eq!(
        series.json["series"].as_array().map(Vec::len),
        Some(200),
        "{}",
        series.status
    );
    let all = rig
        .get("/v1/series?name=web.*.req&from=2025-11-22&until=2025-11-23&step=1h")
        .await;
    assert_eq!(all.json["series"].as_array().map(Vec::len), Some(HOSTS));
    rig.stop().await;
}

async fn counted(options: Options) -> Rig {
    let rig = Rig::start(options).await;
    let mut ledger = Ledger::default();
    let mut events = Vec::new();
    for minute in 0..MINUTES {
        for (name, count) in [
            ("graph.shop.sold", minute + 1),
            ("graph.web.sold", 1_000 + minute % 7),
        ] {
            let at = T + 60 * minute;
            ledger.acknowledged(name, at, u64::try_from(count).unwrap());
            events.push(json!({ "name": name, "timestamp": at, "count": count }));
        }
    }
    assert_eq!(rig.post("eu", &Value::Array(events)).await.status, 202);
    let most = 1_000_000_000_000_000;
    let parts = (0..10u64).map(|part| (part, if part < 9 { most } else { NO_FLOAT - 9 * most }));
    let batches: Vec<Value> = parts
        .map(|(part, count)| {
            json!({
                "id": format!("0199aa55-0000-7000-8000-00000000000{part}"),
                "counts": { T.to_string(): [[0, count]] },
            })
        })
        .collect();
    let job = json!({ "accepted": T, "names": ["graph.large"], "batches": batches });
    put(&rig, job.to_string().as_bytes()).await;
    ledger.acknowledged("graph.large", T, NO_FLOAT);
    ledger.expect_at_centre(&rig).await;
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn what_grafana_asks_is_answered_from_the_counts() {
    let rig = counted(one_region()).await;
    expect_panel(&rig).await;
    let tested = render(&rig, SAVE_AND_TEST).await;
    assert_eq!(tested.status, 200);
    assert_eq!(values(&tested.json[0]), [json!(100), json!(100), json!(100)]);
    assert_eq!(rig.get("/version").await.json, "1.1.10");

    let functions = rig.get("/functions").await.json;
    for name in ["sumSeries", "sum", "aliasSub", "movingAverage", "seriesByTag"] {
        let function = &functions[name];
        assert_eq!(function["name"], name);
        assert!(
            function["group"].is_string() && function["module"].is_string(),
            "{function}"
        );
        assert!(
            function["function"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{name}(")),
            "{function}"
        );
        assert_eq!(function["params"][0]["required"], true, "{function}");
    }
    assert_eq!(rig.get("/functions/scale").await.json, functions["scale"]);
    assert_eq!(
        rig.get("/functions?grouped=1").await.json["Combine"]["sum"],
        functions["sum"]
    );

    expect_same_totals(&rig).await;
    expect_exact_integers(&rig).await;
    rig.stop().await;
}

async fn expect_same_totals(rig: &Rig) {
    // Whatever the buckets, they sum to the same total, also where functions want minutes.
    let series = format!(
        "/v1/series?name=graph.shop.sold&from={T}&until={}",
        T + 60 * MINUTES
    );
    let expected = rig.get(&series).await.json["series"][0]["total"]
        .as_u64()
        .unwrap();
    for values_max in [1, 2, 3, 7, 50, 100, 179, 180, 5_000] {
        for target in ["graph.shop.sold", "transformNull(graph.shop.sold)"] {
            let answer = render_all(rig, target, values_max).await;
            let count = i64::try_from(values(&answer[0]).len()).unwrap();
            assert!(count <= values_max, "{target}, {values_max}: {answer}");
            assert_eq!(total(&answer[0]), expected, "{target}, {values_max}");
        }
    }
    let hours = render_all(rig, "graph.shop.sold", 3).await;
    let starts: Vec<i64> = hours[0]["datapoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p[1].as_i64().unwrap())
        .collect();
    assert_eq!(starts, [T, T + 3_600, T + 7_200], "{hours}");
    // Days that are packed come as their sums, the day that the range ends in by its minutes.
    let (from, until) = (T - 40 * 86_400, T + 59 * 60);
    let form = format!("target=graph.shop.sold&from={from}&until={until}&maxDataPoints=25");
    let days = render(rig, &form).await.json;
    let known = values(&days[0]);
    assert_eq!(
        known.iter().filter_map(Value::as_u64).sum::<u64>(),
        60 * 61 / 2,
        "{days}"
    );
    let most = render_all(rig, "consolidateBy(graph.shop.sold,'max')", 3).await;
    assert_eq!(values(&most[0]), [json!(60), json!(120), json!(180)]);
}

async fn expect_exact_integers(rig: &Rig) {
    for target in [
        "graph.large",
        "sumSeries(graph.large)",
        "aliasByNode(absolute(graph.large),1)",
    ] {
        for values_max in [2, 1_000] {
            let first = values(&render_all(rig, target, values_max).await[0])[0].clone();
            assert_eq!(first, json!(NO_FLOAT), "{target}");
        }
    }
    let doubled = render_all(rig, "scale(graph.large,2)", 1_000).await;
    assert_eq!(values(&doubled[0])[0], json!(2 * NO_FLOAT));
}

async fn expect_panel(rig: &Rig) {
    let panel = render(rig, PANEL).await;
    assert_eq!(panel.status, 200, "{panel:?}");
    let [shop, sum] = panel.json.as_array().unwrap().as_slice() else {
        panic!("{panel:?}")
    };
    assert_eq!(shop["target"], "graph.shop.sold A");
    assert_eq!(shop["tags"]["name"], "graph.shop.sold");
    assert_eq!(sum["target"], "scale(sumSeries(graph.*.sold),2) B");
    let points = shop["datapoints"].as_array().unwrap();
    assert_eq!(points.len(), usize::try_from(MINUTES).unwrap());
    assert_eq!(
        (&points[0], &points[179]),
        (&json!([1, T]), &json!([180, T + 60 * 179]))
    );
    assert_eq!(values(sum)[8], json!(2 * (9 + 1_001)));
    let query = rig.get(&format!("/render?{PANEL}")).await;
    assert_eq!(query.json, panel.json, "a query is as good as a form");
    let nothing = render(rig, "target=graph.nothing.*&format=json").await;
    assert_eq!((nothing.status, nothing.json), (200, json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn null_is_what_is_not_known_and_what_is_wrong_is_said() {
    let rig = Rig::start(one_region()).await;
    rig.post_until_accepted("eu", &json!({"name": "quiet.one", "timestamp": T}))
        .await;
    wait_until("a complete minute of the present", async || {
        let answer = render(&rig, "target=quiet.one&from=-5min&until=now").await.json;
        let seen = answer[0]["datapoints"].as_array().map(|_| values(&answer[0]));
        match seen.as_deref() {
            Some([first, .., last]) if *first == json!(0) && *last == Value::Null => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    for (form, sentence) in [
        (
            "target=nothing(quiet.one)",
            "unknown function 'nothing': GET /functions lists those that are known",
        ),
        (
            "target=scale(quiet.one",
            "target is not an expression: ',' or ')' is missing at character 16",
        ),
        (
            "target=scale(quiet.one)",
            "missing required parameter 'factor' for function 'scale'",
        ),
        (
            "target=quiet.one&from=soon",
            "from is not a time, such as unix seconds, -1h, now, midnight or 20151117",
        ),
        (
            "target=quiet.one&format=png",
            "format is not one of json, csv and raw",
        ),
        ("target=quiet.%7Ba", "pattern has an opening '{' without its end"),
        (
            "target=quiet.one&from=0",
            "more than 600000 points per series: use a larger step or a shorter range",
        ),
    ] {
        let answer = render(&rig, form).await;
        assert_eq!(
            (answer.status, &answer.json["error"]),
            (400, &json!(sentence)),
            "{form}"
        );
    }
    assert_eq!(rig.get("/functions/nothing").await.status, 404);
    let many = "target=quiet.one&".repeat(101);
    assert_eq!(
        render(&rig, &many).await.json["error"],
        "more than 100 targets: ask in several requests"
    );
    let deep = format!("target={}quiet.one{}", "sum(".repeat(40), ")".repeat(40));
    assert_eq!(
        render(&rig, &deep).await.json["error"],
        "more than 32 calls within calls: use fewer"
    );
    let long = format!("target={}", "a".repeat(1_100_000));
    assert_eq!(render(&rig, &long).await.status, 413);
    rig.stop().await;
}
