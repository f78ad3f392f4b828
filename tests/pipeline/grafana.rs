//! What `deploy/grafana` asks for is answered: every query of its dashboards, as Grafana would send it.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use playground::Options;
use serde_json::Value;
use store::Password;

use crate::rig::{Rig, one_region, wait_until};

const DATA_SOURCES: &str = include_str!("../../deploy/grafana/provisioning/datasources/eventtracker.yaml");
const PROVIDERS: &str = include_str!("../../deploy/grafana/provisioning/dashboards/eventtracker.yaml");
const DASHBOARDS: [&str; 2] = [
    include_str!("../../deploy/grafana/dashboards/events.json"),
    include_str!("../../deploy/grafana/dashboards/pipeline-health.json"),
];

/// A dashboard is so many units wide.
const GRID_WIDTH: u64 = 24;

const HOUR_S: i64 = 3_600;

fn yaml(text: &str) -> Value {
    serde_norway::from_str(text).unwrap()
}

fn dashboards() -> Vec<Value> {
    let parsed = DASHBOARDS.iter().map(|text| serde_json::from_str(text).unwrap());
    parsed.collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Every object within that names a data source.
fn data_sources_of<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("datasource"));
            fields.values().for_each(|inner| data_sources_of(inner, found));
        }
        Value::Array(all) => all.iter().for_each(|inner| data_sources_of(inner, found)),
        _ => {}
    }
}

#[test]
fn files_fit_together() {
    let sources = yaml(DATA_SOURCES);
    let known: BTreeMap<&str, &str> = list(&sources["datasources"])
        .iter()
        .map(|source| (source["uid"].as_str().unwrap(), source["type"].as_str().unwrap()))
        .collect();
    assert_eq!(
        known,
        BTreeMap::from([("eventtracker", "graphite"), ("eventtracker-sql", "mysql")])
    );
    let provider = &yaml(PROVIDERS)["providers"][0];
    assert_eq!(provider["type"], "file", "{provider}");
    assert!(provider["options"]["path"].is_string(), "{provider}");

    let mut uids = BTreeSet::new();
    for dashboard in &dashboards() {
        assert!(uids.insert(dashboard["uid"].to_string()), "{}", dashboard["uid"]);
        let mut named = Vec::new();
        data_sources_of(dashboard, &mut named);
        for source in named {
            let (kind, uid) = (source["type"].as_str().unwrap(), source["uid"].as_str().unwrap());
            let is_known = known.get(uid) == Some(&kind) || uid == "-- Grafana --";
            assert!(is_known, "{}: {source} is not provisioned", dashboard["uid"]);
        }
        expect_layout(dashboard);
    }
}

/// All panels, those in rows that are closed included.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let outside = list(&dashboard["panels"]).iter();
    outside
        .flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"])))
        .collect()
}

/// Panels have ids and places of their own.
fn expect_layout(dashboard: &Value) {
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels(dashboard) {
        let title = &panel["title"];
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{title} has another's id"
        );
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        let (x, y, width, height) = (place("x"), place("y"), place("w"), place("h"));
        assert!(x + width <= GRID_WIDTH, "{title} is beyond the edge");
        for column in x..x + width {
            for row in y..y + height {
                assert!(taken.insert((column, row)), "{title} overlaps another panel");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_dashboards_is_answered() {
    let rig = Rig::start(Options {
        demo: true,
        ..one_region()
    })
    .await;
    wait_for_a_day_of_traffic(&rig).await;
    let mut conn = analyst(&rig).await;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let until = i64::try_from(now.as_secs()).unwrap();
    let mut queries = 0;
    for dashboard in &dashboards() {
        for panel in panels(dashboard) {
            for target in list(&panel["targets"]) {
                queries += 1;
                match target["datasource"]["type"].as_str().unwrap() {
                    "graphite" => expect_points(&rig, dashboard, panel, target, until).await,
                    _ => {
                        // Whichever time zone somebody gives the data source.
                        let zone = conn
                            .query_first::<String, _>("SELECT @@time_zone")
                            .await
                            .unwrap()
                            .unwrap();
                        for time_zone in ["-09:30", &zone] {
                            conn.query_drop(format!("SET time_zone = '{time_zone}'"))
                                .await
                                .unwrap();
                            expect_rows(&mut conn, panel, target, until).await;
                        }
                    }
                }
            }
        }
    }
    assert!(queries > 20, "only {queries} queries were found");
    expect_unknown_is_said(&mut conn).await;
    rig.stop().await;
}

async fn wait_for_a_day_of_traffic(rig: &Rig) {
    wait_until("the demo's first hours", async || {
        let answer = rig.get("/v1/series?name=shop.item.sold&from=-24h&step=1h").await;
        let points = list(&answer.json["series"][0]["points"]).to_vec();
        let counted = points.iter().filter(|point| point[1].as_u64() > Some(0)).count();
        if counted >= 24 {
            Ok(())
        } else {
            Err(answer.json.to_string())
        }
    })
    .await;
}

async fn analyst(rig: &Rig) -> Conn {
    let user = "eventtracker_analyst";
    let password = Password::File(rig.data_dir().join("passwords").join(user));
    let server = rig.description().central.root().with_user(user, Some(password));
    let mut conn = server.connect().await.unwrap();
    let source = &yaml(DATA_SOURCES)["datasources"][1];
    let setup = format!(
        "USE {}; SET time_zone = '{}'",
        source["jsonData"]["database"].as_str().unwrap(),
        source["jsonData"]["timezone"].as_str().unwrap()
    );
    conn.query_drop(setup).await.unwrap();
    conn
}

/// With a dashboard's variables as they are at first.
fn with_variables(dashboard: &Value, text: &str) -> String {
    let variables = list(&dashboard["templating"]["list"]).iter();
    variables.fold(text.to_owned(), |text, variable| {
        let name = format!("${}", variable["name"].as_str().unwrap());
        text.replace(&name, variable["current"]["value"].as_str().unwrap())
    })
}

async fn expect_points(rig: &Rig, dashboard: &Value, panel: &Value, target: &Value, until: i64) {
    let title = &panel["title"];
    let asked = with_variables(dashboard, target["target"].as_str().unwrap());
    assert!(
        !asked.contains('$'),
        "{title}: {asked} has a variable that is not defined"
    );
    // As Grafana's server wraps each query, to tell whose series are whose.
    let wrapped = format!(r#"aliasSub({asked},"(^.*$)","\1 A")"#);
    let url = format!("{}/render", rig.description().api);
    let parameters = [
        ("target", wrapped),
        ("from", (until - 24 * HOUR_S).to_string()),
        ("until", until.to_string()),
        ("format", "json".to_owned()),
        ("maxDataPoints", "640".to_owned()),
    ];
    let form = reqwest::Url::parse_with_params(&url, &parameters).unwrap();
    let posted = rig.http.post(url).body(form.query().unwrap().to_owned());
    let answer = crate::rig::answer(posted.header("Content-Type", "application/x-www-form-urlencoded")).await;
    assert_eq!(answer.status, 200, "{title}: {asked}: {answer:?}");
    let series = list(&answer.json);
    assert!(!series.is_empty(), "{title}: {asked} gives no series");
    for series in series {
        let points = list(&series["datapoints"]);
        assert!(
            !points.is_empty() && points.len() <= 640,
            "{title}: {asked}: {}",
            points.len()
        );
        assert!(
            points.iter().any(|point| point[0].is_number()),
            "{title}: {series}"
        );
    }
}

async fn expect_rows(conn: &mut Conn, panel: &Value, target: &Value, until: i64) {
    let title = &panel["title"];
    let sql = expanded(target["rawSql"].as_str().unwrap(), until);
    assert!(!sql.contains('$'), "{title}: {sql}");
    let mut result = conn
        .query_iter(&sql)
        .await
        .unwrap_or_else(|error| panic!("{title}: {sql}: {error}"));
    let columns: Vec<String> = result
        .columns_ref()
        .iter()
        .map(|column| column.name_str().into_owned())
        .collect();
    let rows: Vec<Row> = result.collect().await.unwrap();
    result.drop_result().await.unwrap();
    let may_be_empty = sql.contains("eventtracker.alarms");
    assert!(may_be_empty || !rows.is_empty(), "{title}: no rows from {sql}");
    if target["format"] == "time_series" {
        assert_eq!(columns, ["time", "metric", "value"], "{title}");
    }
    for setting in list(&panel["fieldConfig"]["overrides"]) {
        let name = setting["matcher"]["options"].as_str().unwrap();
        assert!(
            columns.iter().any(|column| column == name),
            "{title}: no {name} in {columns:?}"
        );
    }
}

/// A region that has no clock yet is not left out of the oldest.
async fn expect_unknown_is_said(conn: &mut Conn) {
    let health = &dashboards()[1];
    let panel = panels(health)
        .into_iter()
        .find(|panel| panel["title"] == "Complete until")
        .unwrap();
    let sql = panel["targets"][0]["rawSql"].as_str().unwrap();
    let mut of = async |others: &str| {
        let regions = format!("(SELECT UTC_TIMESTAMP() AS complete_until {others}) AS h");
        let sql = sql.replace("eventtracker.region_health", &regions);
        conn.query_first::<Option<i64>, _>(sql).await.unwrap().unwrap()
    };
    assert!(of("").await.is_some());
    assert_eq!(of("UNION ALL SELECT NULL").await, None);
    let shown = &panel["fieldConfig"]["defaults"]["mappings"][0]["options"];
    assert_eq!(
        (&shown["match"], &shown["result"]["color"]),
        (&"null".into(), &"red".into())
    );
}

/// With Grafana's macros replaced as its MySQL data source does, for the six hours until `until`.
fn expanded(sql: &str, until: i64) -> String {
    let (from, to) = ((until - 6 * HOUR_S).to_string(), until.to_string());
    sql.replace(
        "$__unixEpochFilter(unixSeconds)",
        &format!("unixSeconds >= {from} AND unixSeconds <= {to}"),
    )
    .replace("$__unixEpochGroup(unixSeconds, '1m')", "unixSeconds DIV 60 * 60")
    .replace(
        "$__unixEpochGroup(unixSeconds, '5m')",
        "unixSeconds DIV 300 * 300",
    )
    .replace("$__unixEpochFrom()", &from)
    .replace("$__unixEpochTo()", &to)
}
