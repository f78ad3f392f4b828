//! A token counts and sees its names alone.

use reqwest::Method;
use reqwest::header::ORIGIN;
use serde_json::{Value, json};

use super::{MINUTE, get, send, sentence, to_api, wait_for_total, with_tokens};
use crate::rig::{Rig, token, wait_until};

/// The names that are counted, of which the shop's token has the first three.
const NAMES: [&str; 6] = [
    "shop.item.seen",
    "shop.item.sold",
    "web.status.200",
    "shopping",
    "web.requests",
    "web.status.404",
];

fn event(name: &str) -> Value {
    json!({ "name": name, "timestamp": MINUTE })
}

#[tokio::test(flavor = "multi_thread")]
async fn are_all_that_a_token_has() {
    let (shop, of_shop) = token("shop", &["write", "read"], "prefixes = ['shop.', 'web.status.2']");
    let (all, of_all) = token("all", &["write", "read"], "origins = ['https://shop.example']");
    let (rig, _) = with_tokens(&[&of_shop, &of_all]).await;
    counts_of_its_names_alone(&rig, &shop, &all).await;
    wait_for_total(&rig, &all, "**", 9).await;
    wait_until("the index to have the names", async || {
        let web = get(&rig, "/metrics/find?query=web", &all).await.json;
        if web[0]["names"] == 3 {
            Ok(())
        } else {
            Err(web.to_string())
        }
    })
    .await;
    patterns_are_cut(&rig, &shop, &all).await;
    foreign_names_are_refused(&rig, &shop).await;
    every_list_is_cut(&rig, &shop).await;
    graphs_are_cut(&rig, &shop).await;
    pages_of_its_origins_may_use_it(&rig, &all).await;
    rig.stop().await;
}

async fn counts_of_its_names_alone(rig: &Rig, shop: &str, all: &str) {
    let events: Vec<Value> = NAMES.iter().map(|name| event(name)).collect();
    assert_eq!(send(rig, all, &json!(events)).await.status, 202);
    let mixed = send(rig, shop, &json!(events)).await;
    assert_eq!((mixed.status, &mixed.json["accepted"]), (202, &json!(3)));
    assert_eq!(mixed.json["rejected_total"], 3);
    let reason = "name does not begin as those that the token 'shop' may count: 'shopping'";
    assert_eq!(mixed.json["rejected"][0]["error"], reason);
    // Nobody counts what counts clients.
    for reserved in ["eventtracker.client.shop.events", "__overflow__.shop"] {
        let refused = send(rig, all, &event(reserved)).await;
        let reason = refused.json["rejected"][0]["error"].as_str().unwrap();
        assert!(
            refused.status == 400 && reason.contains("no client may send it"),
            "{reason}"
        );
    }
}

/// The last minute before which everything was counted.
fn range() -> String {
    format!("from={MINUTE}&until={}", MINUTE + 60)
}

async fn patterns_are_cut(rig: &Rig, shop: &str, all: &str) {
    let series = async |name: &str, secret: &str| -> Vec<String> {
        let answer = get(rig, &format!("/v1/series?name={name}&{}", range()), secret).await;
        let series = answer.json["series"].as_array().unwrap();
        let name = |series: &Value| series["name"].as_str().unwrap().to_owned();
        series.iter().map(name).collect()
    };
    assert_eq!(series("**", shop).await, NAMES[..3]);
    assert_eq!(series("*.*.sold", shop).await, ["shop.item.sold"]);
    assert_eq!(series("web.**", shop).await, ["web.status.200"]);
    assert_eq!(series("**", all).await.len(), NAMES.len());
    assert!(series("{web.requests,web.status.404}", shop).await.is_empty());
    let csv = format!("/v1/series?name=**&{}&format=csv", range());
    let csv = to_api(rig, Method::GET, &csv, Some(shop)).send().await.unwrap();
    let csv = csv.text().await.unwrap();
    assert!(
        csv.contains("shop.item.sold") && !csv.contains("requests") && !csv.contains("404"),
        "{csv}"
    );
    let status = get(rig, "/v1/status", shop).await.json;
    assert_eq!(status["token"]["name"], "shop");
    assert_eq!(status["token"]["prefixes"], json!(["shop.", "web.status.2"]));
    assert_eq!(status["shards"], json!([]), "sizes tell of others");
}

/// What is given as a whole is refused with its sentence; of a ratio's readings those are left that may be read.
async fn foreign_names_are_refused(rig: &Rig, shop: &str) {
    let foreign = "'web.requests' is not among the names that the token 'shop' may read: they begin with shop. or web.status.2";
    for path in [
        "/v1/series?name=web.requests",
        "/v1/series?name=web.requests&format=csv",
        "/v1/relation?x=web.requests&y=shop.item.sold",
        "/render?target=sumSeries(web.requests,shop.*.sold)",
    ] {
        let refused = get(rig, path, shop).await;
        assert_eq!((refused.status, sentence(&refused)), (403, foreign), "{path}");
    }
    let ratio = format!(
        "/v1/relation?x=shop.item.sold/shop.item.seen&y=web.status.200&{}",
        range()
    );
    let related = get(rig, &ratio, shop).await;
    assert_eq!((related.status, &related.json["n"]), (200, &json!(1)));
}

/// The search, the tree and the lists have the same names.
async fn every_list_is_cut(rig: &Rig, shop: &str) {
    let texts = async |path: &str, key: &str| -> Vec<String> {
        let answer = get(rig, path, shop).await.json;
        let list = answer.as_array().or_else(|| answer["names"].as_array()).unwrap();
        let text = |entry: &Value| entry.get(key).unwrap_or(entry).as_str().unwrap().to_owned();
        let mut texts: Vec<String> = list.iter().map(text).collect();
        texts.sort_unstable();
        texts
    };
    for path in [
        "/v1/names",
        "/v1/names?query=*",
        "/metrics/index.json",
        "/tags/autoComplete/values?tag=name",
    ] {
        assert_eq!(texts(path, "name").await, NAMES[..3], "{path}");
    }
    assert_eq!(texts("/v1/names?query=item", "name").await, NAMES[..2]);
    assert!(texts("/v1/names?query=requests", "name").await.is_empty());
    assert_eq!(texts("/metrics/find?query=*", "text").await, ["shop", "web"]);
    assert_eq!(texts("/metrics/find?query=web.status.*", "text").await, ["200"]);
    let web = &get(rig, "/metrics/find?query=web", shop).await.json[0];
    assert_eq!(web["names"], 1, "no more than it may see: {web}");
    let expanded = get(rig, "/metrics/expand?query=*.*.*", shop).await.json;
    assert_eq!(expanded["results"], json!(NAMES[..3]));
}

async fn graphs_are_cut(rig: &Rig, shop: &str) {
    let range = format!("from={}&until={MINUTE}&format=json", MINUTE - 60);
    let rendered = get(rig, &format!("/render?target=**&{range}"), shop).await.json;
    assert_eq!(rendered.as_array().unwrap().len(), 3);
    let summed = get(rig, &format!("/render?target=sumSeries(**)&{range}"), shop)
        .await
        .json;
    assert_eq!(summed[0]["datapoints"][0][0], 6.0, "{summed}");
}

/// Pages of the origins that a token lists may use it, and others may not; what they are refused, they can read.
async fn pages_of_its_origins_may_use_it(rig: &Rig, all: &str) {
    let collector = format!("{}/v1/events", rig.collectors("eu")[0]);
    let allowed = |response: &reqwest::Response| {
        let value = response.headers().get("access-control-allow-origin")?;
        Some(value.to_str().unwrap().to_owned())
    };
    let from_page = async |origin: &str| {
        let ask = rig
            .http
            .request(Method::OPTIONS, &collector)
            .header(ORIGIN, origin);
        let ask = ask.header("Access-Control-Request-Method", "POST");
        let sent = rig.http.post(&collector).header(ORIGIN, origin).bearer_auth(all);
        let (ask, sent) = (
            ask.send().await.unwrap(),
            sent.json(&event("shop.page")).send().await.unwrap(),
        );
        (allowed(&ask), sent.status().as_u16(), allowed(&sent))
    };
    const PAGE: &str = "https://shop.example";
    let page = Some(PAGE.to_owned());
    assert_eq!(from_page(PAGE).await, (page.clone(), 202, page.clone()));
    assert_eq!(from_page("https://evil.example").await, (None, 403, None));
    assert_eq!(from_page("null").await, (None, 403, None));
    let refused = rig.http.post(&collector).header(ORIGIN, PAGE).json(&event("a"));
    let refused = refused.send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), allowed(&refused)),
        (401, page.clone())
    );
    let read = to_api(rig, Method::GET, "/v1/names", Some(all)).header(ORIGIN, PAGE);
    assert_eq!(allowed(&read.send().await.unwrap()), page);
    let ask = to_api(rig, Method::OPTIONS, "/v1/series", None).header(ORIGIN, PAGE);
    let ask = ask
        .header("Access-Control-Request-Method", "GET")
        .send()
        .await
        .unwrap();
    assert_eq!((ask.status().as_u16(), allowed(&ask)), (204, page));
}
