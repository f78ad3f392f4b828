//! Names are found out of memory, by popularity and as a tree, however many there are, and soon after they are counted.

use model::EventId;
use mysql_async::prelude::Queryable;
use playground::Options;
use serde_json::{Value, json};

use crate::centre;
use crate::rig::{Rig, answer, one_region, settings, wait_until};

/// Far more than are searched in the database.
const NAMES: usize = 20_000;

/// More than the database is asked for by a beginning.
const CROWD: usize = 2_001;

/// What the database's index has of their names: the same.
const CROWDED: &str = "z.names.that.begin.alike.";

/// `many.a7.b123`, each as popular as its number.
fn name(n: usize) -> String {
    format!("many.a{}.b{n}", n % 10)
}

/// Writes names with their popularity, as replication would.
async fn write(rig: &Rig, names: Vec<(String, usize)>) {
    let mut conn = centre::connect(&rig.description().central).await;
    for chunk in names.chunks(1_000) {
        let row = |(name, n): &(String, usize)| format!("({}, '{name}', {n})", EventId::of(name));
        let rows: Vec<String> = chunk.iter().map(row).collect();
        let insert = format!("INSERT INTO bigdata_0.EventTags VALUES {}", rows.join(","));
        conn.query_drop(insert).await.unwrap();
    }
}

async fn fill(rig: &Rig) {
    let many = (1..=NAMES).map(|n| (name(n), n));
    let crowded = (0..CROWD).map(|n| (format!("{CROWDED}{n}"), 0));
    write(rig, many.chain(crowded).collect()).await;
}

async fn wait_until_in_memory(rig: &Rig, names: usize) {
    let (api, held) = (rig.description().api, format!("api_names {names}"));
    wait_until("all names in memory", async || {
        let metrics = rig.metrics(&api).await;
        metrics.contains(&held).then_some(()).ok_or(metrics)
    })
    .await;
}

/// What `/v1/names` answers.
async fn found(rig: &Rig, query: &str) -> Vec<String> {
    let answer = rig.get(&format!("/v1/names?{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let names = answer.json["names"].as_array().unwrap().clone();
    for name in &names {
        let text = name["name"].as_str().unwrap();
        assert_eq!(name["event_id"], EventId::of(text).to_string());
    }
    names
        .iter()
        .map(|name| name["name"].as_str().unwrap().to_owned())
        .collect()
}

async fn tree(rig: &Rig, query: &str) -> Value {
    let posted = rig.http.post(format!(
        "{}/metrics/find?from=-1h&until=now",
        rig.description().api
    ));
    let posted = posted.header("content-type", "application/x-www-form-urlencoded");
    let by_form = answer(posted.body(format!("query={query}"))).await;
    let by_get = rig.get(&format!("/metrics/find?query={query}")).await;
    assert_eq!((by_form.status, &by_form.json), (200, &by_get.json), "{query}");
    by_get.json
}

fn entry(id: &str, is_leaf: bool, names: usize, popularity: usize) -> Value {
    let text = id.rsplit('.').next().unwrap();
    let (leaf, branch) = (u8::from(is_leaf), u8::from(!is_leaf));
    json!({
        "text": text, "id": id, "leaf": leaf, "expandable": branch, "allowChildren": branch,
        "names": names, "popularity": popularity
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn are_found_in_memory_and_soon() {
    let rig = Rig::start(one_region()).await;
    let begin = json!([{"name": "web.load", "count": 5}, {"name": "web.load.samples", "count": 7}, {"name": "web.a/b:c@d"}]);
    rig.post_until_accepted("eu", &begin).await;
    fill(&rig).await;
    wait_until_in_memory(&rig, NAMES + CROWD + 3).await;

    let best: Vec<String> = (NAMES - 2..=NAMES).rev().map(name).collect();
    assert_eq!(found(&rig, "limit=3").await, best);
    assert_eq!(found(&rig, "query=any&limit=3").await, best);
    assert_eq!(found(&rig, "query=many.*&limit=3").await, best);
    assert_eq!(
        found(&rig, "query=*.b1999[89]").await,
        [name(19_999), name(19_998)]
    );
    assert_eq!(found(&rig, "query=load").await, ["web.load.samples", "web.load"]);
    assert_eq!(found(&rig, "query=nothing.at.all").await, [""; 0]);
    assert_eq!(found(&rig, "query=*&limit=1000").await.len(), 1_000);

    found_before_it_is_in_memory(&rig).await;
    // By any part once it is in memory.
    rig.post_until_accepted("eu", &json!({"name": "web.just.now"}))
        .await;
    for query in [
        "query=web.just.now",
        "query=web.just.*",
        "query=web.*w",
        "query=ust.no",
    ] {
        wait_until("a name that is new", async || {
            let found = found(&rig, query).await;
            (found == ["web.just.now"])
                .then_some(())
                .ok_or(format!("{query}: {found:?}"))
        })
        .await;
    }

    in_the_tree(&rig).await;
    as_tags(&rig).await;
    refusals(&rig).await;
    rig.stop().await;
}

/// The names that were there are found as ever, by any part of theirs; new ones by their beginnings. And it is said.
#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_memory_that_they_may_take() {
    /// Too few to fill a mebibyte, but more than are searched in the database; and what fills it for certain.
    const FEW: usize = 6_000;
    const TOO_MANY: usize = 60_000;
    let rig = Rig::start(Options {
        central_overrides: settings("[api]\nnames_index_mib = 1"),
        ..one_region()
    })
    .await;
    write(&rig, (1..=FEW).map(|n| (name(n), n)).collect()).await;
    wait_until_in_memory(&rig, FEW).await;
    let one_bug = (0..TOO_MANY).map(|n| (format!("bug.with.an.id.in.its.name.{n}"), 0));
    write(&rig, one_bug.collect()).await;
    wait_until("the alarm", async || {
        let status = rig.get("/v1/status").await.json;
        let mut alarms = status["alarms"].as_array().unwrap().iter();
        let stands = alarms.any(|alarm| {
            let sentence = alarm["sentence"].as_str().unwrap();
            alarm["kind"] == "names_index" && sentence.contains("more than the 1 MiB of memory")
        });
        stands.then_some(()).ok_or(status["alarms"].to_string())
    })
    .await;
    assert_eq!(found(&rig, "query=b5999").await, [name(5_999)]);
    assert_eq!(found(&rig, "query=many.*&limit=1").await, [name(FEW)]);
    wait_until(
        "the tree to have a name that is not in memory",
        async || match tree(&rig, "bug.with.an.id.in.its.name.5999*").await {
            nodes if nodes.as_array().unwrap().len() == 11 => Ok(()),
            other => Err(other.to_string()),
        },
    )
    .await;
    let of_bug = "bug.with.an.id.in.its.name.59999";
    assert_eq!(found(&rig, &format!("query={of_bug}")).await, [of_bug]);
    rig.post_until_accepted("eu", &json!({ "name": "web.of.today" }))
        .await;
    wait_until("a new name", async || match found(&rig, "query=web.of.*").await {
        names if names == ["web.of.today"] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    rig.stop().await;
}

/// What is counted now is found by its beginning while the index does not have it yet. A load may always come in between: one of
/// several names has to show it.
async fn found_before_it_is_in_memory(rig: &Rig) {
    const TRIES: usize = 20;
    for n in 1..=TRIES {
        let name = format!("new.name{n}");
        rig.post_until_accepted("eu", &json!({ "name": name })).await;
        let crowded = format!("{CROWDED}new{n}");
        rig.post_until_accepted("eu", &json!({ "name": crowded })).await;
        for (name, query) in [
            (&name, format!("query={name}")),
            (&name, format!("query=new.*{n}")),
            (&crowded, format!("query={crowded}")),
        ] {
            wait_until("a name that is new", async || {
                let found = found(rig, &query).await;
                found
                    .contains(name)
                    .then_some(())
                    .ok_or(format!("{query}: {found:?}"))
            })
            .await;
        }
        let in_memory = rig.counter(&rig.description().api, "api_names").await;
        if in_memory < u64::try_from(NAMES + CROWD + 3 + 2 * n).unwrap() {
            return;
        }
    }
    panic!("none of {TRIES} names was found before it was in memory");
}

async fn in_the_tree(rig: &Rig) {
    let load = [entry("web.load", false, 1, 7), entry("web.load", true, 1, 5)];
    assert_eq!(tree(rig, "web.load*").await, json!(load), "a leaf and a branch");
    let below_web = tree(rig, "web.*").await;
    let texts: Vec<_> = below_web
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["text"])
        .collect();
    assert_eq!(texts, ["just", "load", "a/b:c@d", "load"]);
    let top = tree(rig, "*").await;
    assert_eq!(top[0], entry("many", false, NAMES, NAMES * (NAMES + 1) / 2));
    assert_eq!(top.as_array().unwrap().len(), 4);
    assert_eq!(
        tree(rig, "many.a[78].b19997").await,
        json!([entry("many.a[78].b19997", true, 1, 19_997)])
    );
    assert_eq!(
        tree(rig, "many.a7.b1999*").await,
        json!([entry("many.a7.b19997", true, 1, 19_997)])
    );
    assert_eq!(tree(rig, "many.*.load").await, json!([]));
    assert_eq!(
        tree(rig, "many").await,
        json!([entry("many", false, NAMES, NAMES * (NAMES + 1) / 2)])
    );

    let completer = rig.get("/metrics/find?query=web.lo&format=completer").await.json;
    let expected = json!({"metrics": [
        {"path": "web.load", "name": "load", "is_leaf": "1"},
        {"path": "web.load.", "name": "load", "is_leaf": "0"},
    ]});
    assert_eq!(completer, expected);

    let expand =
        async |query: &str| rig.get(&format!("/metrics/expand?{query}")).await.json["results"].clone();
    assert_eq!(
        expand("query=web.load.*&query=web.l*").await,
        json!(["web.load", "web.load.samples"])
    );
    assert_eq!(
        expand("query=many.*&groupByExpr=1&query=nothing").await["many.*"]
            .as_array()
            .unwrap()
            .len(),
        10
    );
    assert_eq!(
        expand("query=web.*&leavesOnly=1").await,
        json!(["web.a/b:c@d", "web.load"])
    );
}

async fn as_tags(rig: &Rig) {
    let get = async |path: &str| rig.get(path).await.json;
    assert_eq!(get("/tags").await, json!([{"tag": "name"}]));
    assert_eq!(
        get("/tags/autoComplete/tags?tagPrefix=na&limit=100").await,
        json!(["name"])
    );
    assert_eq!(get("/tags/autoComplete/tags?tagPrefix=x").await, json!([]));
    assert_eq!(get("/tags/autoComplete/tags?expr=name%3Da").await, json!([]));
    let values = get("/tags/autoComplete/values?tag=name&valuePrefix=web.l").await;
    assert_eq!(values, json!(["web.load", "web.load.samples"]));
    let values = get("/tags/autoComplete/values?tag=name&limit=2").await;
    assert_eq!(values, json!(["many.a0.b10", "many.a0.b100"]));
    assert_eq!(get("/tags/autoComplete/values?tag=host").await, json!([]));
}

async fn refusals(rig: &Rig) {
    for (path, sentence) in [
        ("/metrics/find", "query is missing"),
        ("/metrics/find?query=many.*.*", "more than 10000 nodes"),
        ("/metrics/find?query=a'b", "pattern has a character"),
        ("/metrics/find?query=a&format=pickle", "format is neither"),
        ("/metrics/expand", "query is missing"),
        ("/tags/autoComplete/values", "tag is missing"),
        ("/tags/autoComplete/values?tag=name&limit=0", "limit is not"),
    ] {
        let refused = rig.get(path).await;
        let error = refused.json["error"].as_str().unwrap_or_default();
        assert!(
            refused.status == 400 && error.contains(sentence),
            "{path}: {refused:?}"
        );
    }
    let queries = (0..101)
        .map(|n| format!("query={n}"))
        .collect::<Vec<_>>()
        .join("&");
    assert_eq!(rig.get(&format!("/metrics/expand?{queries}")).await.status, 400);
}
