//! The document of the api's paths is true: real answers, refusals included, are what it says, and no path of it is left out.

use std::collections::BTreeSet;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::rig::{Rig, two_regions, wait_until};

const ID: &str = "0199aa55-0000-7000-8000-000000000001";

#[derive(Clone, Copy)]
enum Body {
    None,
    Json(&'static str),
    Form(&'static str),
}

use Body::{Form, Json, None as NoBody};

/// Path of the document, request, body, status. `GET` without a body, `POST` with one, unless the path says otherwise.
type Call = (&'static str, &'static str, Body, u16);

const V1: [Call; 23] = [
    ("/", "/", NoBody, 200),
    (
        "/v1/series",
        "/v1/series?name=shop.*.sold&name=web.load",
        NoBody,
        200,
    ),
    ("/v1/series", "/v1/series?name=nothing", NoBody, 200),
    (
        "/v1/series",
        "/v1/series?name=shop.item.sold&format=csv",
        NoBody,
        200,
    ),
    ("/v1/series", "/v1/series", NoBody, 400),
    ("/v1/series", "/v1/series?name=a&from=0", NoBody, 400),
    ("/v1/names", "/v1/names?query=shop.*", NoBody, 200),
    ("/v1/names", "/v1/names?limit=0", NoBody, 400),
    (
        "/v1/relation",
        "/v1/relation?x=web.load/web.load.samples&y=shop.item.sold&from=2025-11-22&until=2025-11-23&step=1h",
        NoBody,
        200,
    ),
    ("/v1/relation", "/v1/relation?x=nothing&y=web.load", NoBody, 200),
    (
        "/v1/relation",
        "/v1/relation?x=web.load&y=web.load&format=csv",
        NoBody,
        200,
    ),
    ("/v1/relation", "/v1/relation?x=web.load", NoBody, 400),
    ("/v1/status", "/v1/status", NoBody, 200),
    ("/v1/status", "/v1/status?all=1", NoBody, 400),
    (
        "/v1/audit",
        "/v1/audit?from=2025-11-22&until=2025-11-23",
        NoBody,
        200,
    ),
    ("/v1/audit", "/v1/audit?from=-9d", NoBody, 400),
    (
        "/v1/annotations",
        "/v1/annotations",
        Json(r#"{"id":"0199aa55-0000-7000-8000-000000000001","what":"deploy","tags":["web"],"until":null}"#),
        201,
    ),
    (
        "/v1/annotations",
        "/v1/annotations",
        Json(r#"{"id":"0199aa55-0000-7000-8000-000000000001","what":"deploy"}"#),
        200,
    ),
    ("/v1/annotations", "/v1/annotations", Json("{}"), 400),
    ("/v1/annotations", "/v1/annotations", Form("what=deploy"), 415),
    (
        "/v1/annotations",
        "/v1/annotations?from=-1h&tags=web",
        NoBody,
        200,
    ),
    ("/v1/annotations", "/v1/annotations?tag=web", NoBody, 400),
    ("/v1/nothing", "/v1/nothing", NoBody, 404),
];

const RENDER: [Call; 11] = [
    (
        "/render",
        "/render?target=shop.*.sold&target=constantLine(1.5)&from=-10min&until=now&maxDataPoints=5",
        NoBody,
        200,
    ),
    ("/render", "/render?target=shop.item.sold&format=csv", NoBody, 200),
    ("/render", "/render?target=shop.item.sold&format=raw", NoBody, 200),
    ("/render", "/render?target=nothing(", NoBody, 400),
    (
        "/render",
        "/render",
        Form(
            "target=aliasSub(scale(web.load%2C0.5)%2C%22(%5E.*%24)%22%2C%22%5C1%20A%22)&from=-1h&until=now&format=json&maxDataPoints=100",
        ),
        200,
    ),
    ("/render", "/render", Form("target=unknown(a)"), 400),
    ("/functions", "/functions", NoBody, 200),
    ("/functions", "/functions?grouped=1", NoBody, 200),
    ("/functions/{name}", "/functions/sumSeries", NoBody, 200),
    ("/functions/{name}", "/functions/unknown", NoBody, 404),
    ("/functions/{name}", "/functions/%FF", NoBody, 404),
];

const GRAPHITE: [Call; 29] = [
    ("/version", "/version", NoBody, 200),
    ("/metrics/find", "/metrics/find?query=*", NoBody, 200),
    (
        "/metrics/find",
        "/metrics/find?query=web.l&format=completer",
        NoBody,
        200,
    ),
    ("/metrics/find", "/metrics/find", NoBody, 400),
    (
        "/metrics/find",
        "/metrics/find?from=-1h&until=now",
        Form("query=shop.*"),
        200,
    ),
    ("/metrics/find", "/metrics/find", Json("{}"), 415),
    (
        "/metrics/expand",
        "/metrics/expand?query=web.*&query=*",
        NoBody,
        200,
    ),
    (
        "/metrics/expand",
        "/metrics/expand?query=web.*&groupByExpr=1",
        NoBody,
        200,
    ),
    ("/metrics/expand", "/metrics/expand", NoBody, 400),
    ("/metrics/expand", "/metrics/expand", Form("query=web.*"), 200),
    ("/metrics/expand", "/metrics/expand", Form("quary=web.*"), 400),
    ("/metrics/index.json", "/metrics/index.json", NoBody, 200),
    ("/metrics/index.json", "/metrics/index.json", Form("jsonp=x"), 200),
    ("/tags", "/tags", NoBody, 200),
    (
        "/tags/autoComplete/tags",
        "/tags/autoComplete/tags?tagPrefix=n",
        NoBody,
        200,
    ),
    (
        "/tags/autoComplete/tags",
        "/tags/autoComplete/tags",
        Form("tagPrefix=n"),
        200,
    ),
    (
        "/tags/autoComplete/tags",
        "/tags/autoComplete/tags",
        Json("{}"),
        415,
    ),
    (
        "/tags/autoComplete/values",
        "/tags/autoComplete/values?tag=name&valuePrefix=w",
        NoBody,
        200,
    ),
    (
        "/tags/autoComplete/values",
        "/tags/autoComplete/values",
        NoBody,
        400,
    ),
    (
        "/tags/autoComplete/values",
        "/tags/autoComplete/values",
        Form("tag=name"),
        200,
    ),
    (
        "/tags/autoComplete/values",
        "/tags/autoComplete/values",
        Form("tag=name&limit=x"),
        400,
    ),
    (
        "/events/get_data",
        "/events/get_data?from=-1h&until=now&tags=web",
        NoBody,
        200,
    ),
    ("/events/get_data", "/events/get_data?from=soon", NoBody, 400),
    ("/events/get_data", "/events/get_data", Form("tags=web"), 200),
    ("/events/get_data", "/events/get_data", Form("until=soon"), 400),
    (
        "/events/",
        "/events/",
        Json(r#"{"what":"deploy","tags":"web db","when":1763787600}"#),
        200,
    ),
    ("/events/", "/events/", Json(r#"{"tags":"web"}"#), 400),
    ("/openapi.json", "/openapi.json", NoBody, 200),
    ("/healthz", "/healthz", NoBody, 200),
];

#[tokio::test(flavor = "multi_thread")]
async fn is_what_the_api_answers() {
    let rig = Rig::start(two_regions()).await;
    let events = json!([
        {"name": "web.load", "count": 2, "timestamp": 1_763_787_600}, {"name": "web.load.samples", "count": 3, "timestamp": 1_763_787_600},
        {"name": "shop.item.sold"}, {"name": "shop.item.sold", "timestamp": 1_763_787_600}, {"name": "web.load"},
    ]);
    for region in rig.regions() {
        rig.post_until_accepted(&region, &events).await;
    }
    // So that there are regions, clocks and pairs in the answers.
    wait_until("everything to be known", async || {
        let relation = rig
            .get("/v1/relation?x=shop.item.sold&y=web.load&from=-2m")
            .await
            .json;
        let status = rig.get("/v1/status").await.json;
        let tree = rig.get("/metrics/find?query=*").await.json;
        let known = relation["n"].as_u64() > Some(0) && status["regions"].as_array().map(Vec::len) == Some(2);
        let known = known && tree.as_array().map(Vec::len) == Some(2);
        known.then_some(()).ok_or(format!("{relation} {status} {tree}"))
    })
    .await;
    let checker = Checker {
        api: rig.description().api,
        document: rig.get("/openapi.json").await.json,
        rig: &rig,
    };
    let mut seen = BTreeSet::new();
    for (path, request, body, status) in V1.into_iter().chain(RENDER).chain(GRAPHITE) {
        let method = if matches!(body, NoBody) {
            Method::GET
        } else {
            Method::POST
        };
        seen.extend(checker.call(method, path, request, body, status).await);
    }
    for request in ["/readyz", "/metrics"] {
        seen.extend(checker.call(Method::GET, request, request, NoBody, 200).await);
    }
    for (id, status) in [(ID, 204), (ID, 404)] {
        let request = format!("/v1/annotations/{id}");
        seen.extend(
            checker
                .call(Method::DELETE, "/v1/annotations/{id}", &request, NoBody, status)
                .await,
        );
    }
    let left: Vec<_> = checker.documented().difference(&seen).cloned().collect();
    assert_eq!(left, [""; 0], "documented, and not seen");
    for path in checker.document["paths"].as_object().unwrap().keys() {
        checker.call(Method::PUT, path, path, NoBody, 405).await;
    }
    rig.stop().await;
}

struct Checker<'a> {
    rig: &'a Rig,
    api: String,
    document: Value,
}

impl Checker<'_> {
    /// Every answer that the document has, as `GET /v1/series 200`; but for failures, which nothing provokes here.
    fn documented(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for (path, methods) in self.document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let statuses = operation["responses"].as_object().unwrap().keys();
                let statuses = statuses.filter(|status| !status.starts_with('5'));
                all.extend(statuses.map(|status| format!("{} {path} {status}", method.to_uppercase())));
            }
        }
        all
    }

    /// Fails unless the answer has this status and fits the document; which answer of it that is, if it has one.
    async fn call(
        &self,
        method: Method,
        path: &str,
        request: &str,
        body: Body,
        status: u16,
    ) -> Option<String> {
        let what = format!("{method} {request}");
        let sent = self
            .rig
            .http
            .request(method.clone(), format!("{}{request}", self.api));
        let sent = match body {
            NoBody => sent,
            Json(text) => sent.header(CONTENT_TYPE, "application/json").body(text),
            Form(text) => sent
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(text),
        };
        let answer = sent.send().await.unwrap();
        assert_eq!(
            answer.status(),
            status,
            "{what}: {}",
            answer.text().await.unwrap()
        );
        let content_type = answer
            .headers()
            .get(CONTENT_TYPE)
            .map(|value| value.to_str().unwrap().to_owned());
        let content_type = content_type
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        let text = answer.text().await.unwrap();

        let responses = &self.document["paths"][path][method.as_str().to_lowercase()]["responses"];
        let class = format!("{}XX", status / 100);
        let key = [status.to_string(), class]
            .into_iter()
            .find(|key| responses.get(key).is_some());
        let Some(key) = key else {
            assert!([404, 405].contains(&status), "{what}: {status} is not documented");
            self.validate(&what, &json!({"$ref": "#/components/schemas/Error"}), &text);
            return None;
        };
        let response = match responses[&key]["$ref"].as_str() {
            Some(reference) => self.document.pointer(&reference[1..]).unwrap(),
            None => &responses[&key],
        };
        match response.get("content") {
            None => assert_eq!(text, "", "{what}: no body is documented"),
            Some(content) => {
                let documented = &content[&content_type]["schema"];
                assert!(
                    documented.is_object(),
                    "{what}: '{content_type}' is not documented: {content}"
                );
                if content_type == "application/json" {
                    self.validate(&what, documented, &text);
                }
            }
        }
        Some(format!("{method} {path} {key}"))
    }

    fn validate(&self, what: &str, schema: &Value, text: &str) {
        let mut schema = schema.clone();
        schema["components"] = self.document["components"].clone();
        let value: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{what}: no JSON: {text}"));
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let wrong: Vec<_> = validator
            .iter_errors(&value)
            .map(|error| error.to_string())
            .collect();
        assert!(wrong.is_empty(), "{what}: {wrong:?} in {text}");
    }
}
