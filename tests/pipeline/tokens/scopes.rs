//! What each scope opens, at every path.

use playground::{Options, Secrets};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{MINUTE, sentence, under, wait_for_total};
use crate::rig::{Rig, answer, eventtracker, one_region};

/// What nobody is answered, a wrong secret, and the scopes `write`, `read` and all three.
type Statuses = [u16; 5];

const OPEN: Statuses = [200; 5];
const READ: Statuses = [401, 401, 403, 200, 200];
const WRITE: Statuses = [401, 401, 202, 403, 202];
const ADMIN: Statuses = [401, 401, 403, 403, 200];

const OF_COLLECTOR: [(Method, &str, Statuses); 5] = [
    (Method::POST, "/v1/events", WRITE),
    (Method::GET, "/metrics", READ),
    (Method::GET, "/books", READ),
    (Method::GET, "/readyz", OPEN),
    (Method::GET, "/healthz", OPEN),
];

const OF_API: [(Method, &str, Statuses); 26] = [
    (Method::GET, "/v1/series?name=by.token", READ),
    (Method::HEAD, "/v1/names", READ),
    (Method::GET, "/v1/names", READ),
    (Method::GET, "/v1/relation?x=by.token&y=by.token", READ),
    (Method::GET, "/v1/status", READ),
    (Method::GET, "/v1/annotations", READ),
    (Method::GET, "/v1/audit?from=-1h", ADMIN),
    (Method::POST, "/v1/annotations", [401, 401, 201, 403, 201]),
    (Method::POST, "/events/", [401, 401, 200, 403, 200]),
    (Method::GET, "/events/get_data", READ),
    (Method::GET, "/render?target=by.token", READ),
    (Method::POST, "/render", READ),
    (Method::GET, "/functions", READ),
    (Method::GET, "/version", READ),
    (Method::GET, "/metrics/find?query=*", READ),
    (Method::GET, "/metrics/expand?query=*", READ),
    (Method::GET, "/metrics/index.json", READ),
    (Method::GET, "/tags", READ),
    (Method::GET, "/tags/autoComplete/tags", READ),
    (Method::GET, "/tags/autoComplete/values?tag=name", READ),
    (Method::GET, "/metrics", READ),
    (Method::GET, "/healthz", OPEN),
    (Method::GET, "/readyz", OPEN),
    (Method::GET, "/", OPEN),
    (Method::GET, "/dashboard/main.js", OPEN),
    (Method::GET, "/openapi.json", OPEN),
];

async fn status(request: RequestBuilder, secret: Option<&str>) -> u16 {
    let request = match secret {
        Some(secret) => request.bearer_auth(secret),
        None => request,
    };
    request.send().await.unwrap().status().as_u16()
}

/// The body that a path is sent.
fn body(method: &Method, path: &str) -> Option<Value> {
    match path {
        "/v1/events" => Some(json!({ "name": "by.token", "timestamp": MINUTE })),
        "/render" => None,
        _ => (*method == Method::POST).then(|| json!({ "what": "deploy" })),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_opens_its_doors() {
    let tokens = true;
    let rig = Rig::start(Options {
        tokens,
        ..one_region()
    })
    .await;
    let secrets = rig.description().tokens.unwrap();
    let wrong = "et_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
    let callers = [
        None,
        Some(wrong),
        Some(&*secrets.write),
        Some(&*secrets.read),
        Some(&*secrets.admin),
    ];
    let collector = rig.collectors("eu")[0].clone();
    let api = rig.description().api;
    let of_collector = OF_COLLECTOR.iter().map(|path| (&collector, path));
    for (base, (method, path, expected)) in of_collector.chain(OF_API.iter().map(|path| (&api, path))) {
        for (secret, expected) in callers.iter().zip(expected) {
            let request = rig.http.request(method.clone(), format!("{base}{path}"));
            let request = body(method, path).iter().fold(request, RequestBuilder::json);
            assert_eq!(
                status(request, *secret).await,
                *expected,
                "{method} {base}{path} {secret:?}"
            );
        }
    }
    // A secret in basic auth's password, as Grafana sends it; whoever the user is.
    let names = || rig.http.get(format!("{api}/v1/names"));
    assert_eq!(
        status(names().basic_auth("grafana", Some(&secrets.read)), None).await,
        200
    );
    let answered = names().send().await.unwrap();
    assert_eq!(
        answered.headers()["www-authenticate"],
        "Bearer",
        "which opens no window in a browser"
    );
    annotations_have_owners(&rig, &secrets).await;
    commands_send_it(&rig, &secrets).await;
    rig.stop().await;
}

/// Own annotations can be removed, those of others by an administrator alone.
async fn annotations_have_owners(rig: &Rig, secrets: &Secrets) {
    let all = format!("{}/v1/annotations", rig.description().api);
    let mark = async |secret: &str| {
        let request = rig
            .http
            .post(&all)
            .json(&json!({ "what": "deploy" }))
            .bearer_auth(secret);
        let id = answer(request).await.json["id"].as_str().unwrap().to_owned();
        format!("{all}/{id}")
    };
    let (own, theirs) = (mark(&secrets.write).await, mark(&secrets.admin).await);
    let remove = |url: &str| rig.http.delete(url);
    let refused = answer(remove(&theirs).bearer_auth(&secrets.write)).await;
    assert_eq!(
        (refused.status, sentence(&refused).contains("another client's")),
        (403, true)
    );
    assert_eq!(status(remove(&own), Some(&secrets.write)).await, 204);
    assert_eq!(status(remove(&own), Some(&secrets.write)).await, 404);
    assert_eq!(status(remove(&theirs), Some(&secrets.admin)).await, 204);
}

async fn commands_send_it(rig: &Rig, secrets: &Secrets) {
    wait_for_total(rig, &secrets.read, "by.token", 2).await;
    let (api, config) = (rig.description().api, rig.config("eu"));
    let audit = ["audit", "--config", config.to_str().unwrap()];
    for (secret, arguments, said) in [
        (
            &secrets.read,
            &["series", "by.token", "--api", &api][..],
            "by.token",
        ),
        (
            &secrets.write,
            &["series", "by.token", "--api", &api],
            "has not the scope read",
        ),
        (&secrets.read, &["status", "--api", &api], "eu"),
        (
            &secrets.read,
            &["names", "top", "--by", "prefix", "--api", &api],
            "names that begin with",
        ),
        // It asks the collectors for their books.
        (&secrets.admin, &audit, "acknowledged since start 2"),
        (&secrets.write, &audit, "does not show its books"),
    ] {
        let done = under(secret, arguments).await;
        let shown = [done.stdout, done.stderr].concat();
        let shown = String::from_utf8_lossy(&shown);
        assert!(shown.contains(said), "{arguments:?} {shown}");
    }
    let refused = eventtracker(&["status", "--api", &api]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("a token is needed") && said.contains("EVENTTRACKER_TOKEN"),
        "{said}"
    );
}
