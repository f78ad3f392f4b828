//! Many names, minutes, senders, regions and workers: every count is at the centre once, in its place.

use mysql_async::prelude::Queryable;
use playground::Options;
use rand::RngExt;
use serde_json::{Value, json};

use crate::centre;
use crate::ledger::Ledger;
use crate::rig::{Rig, two_regions};

const REQUESTS: u64 = 60;
const EVENTS_PER_REQUEST: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_name_and_minute_is_equal() {
    let rig = Rig::start(Options {
        collectors: 2,
        workers: 2,
        ..two_regions()
    })
    .await;
    let mut ledger = Ledger::default();
    for number in 0..REQUESTS {
        let mut events = Vec::new();
        for _ in 0..EVENTS_PER_REQUEST {
            let name = format!("exact.{:x}", rand::rng().random_range(0..1_000));
            let minute = 1_763_787_600 + 60 * rand::rng().random_range(0..5_i64);
            let count = rand::rng().random_range(1..1_000_u64);
            ledger.acknowledged(&name, minute, count);
            events.push(json!({ "name": name, "timestamp": minute + 59, "count": count }));
        }
        let region = if number % 3 == 0 { "us" } else { "eu" };
        let collectors = rig.collectors(region);
        let url = format!(
            "{}/v1/events",
            collectors[usize::try_from(number / 3).unwrap() % collectors.len()]
        );
        let mut request = rig.http.post(url).json(&Value::Array(events));
        if number % 2 == 0 {
            request = request.header("Idempotency-Key", format!("request-{number}"));
        }
        let answer = crate::rig::answer(request).await;
        assert_eq!(
            (answer.status, &answer.json["accepted"]),
            (202, &json!(EVENTS_PER_REQUEST)),
            "{answer:?}"
        );
    }
    ledger.expect_at_centre(&rig).await;
    expect_engines(&rig).await;
    expect_schema_commands(&rig).await;
    rig.stop().await;
}

async fn expect_engines(rig: &Rig) {
    const TABLES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE, ROW_FORMAT, CREATE_OPTIONS \
         FROM information_schema.TABLES WHERE TABLE_SCHEMA LIKE 'bigdata\\_%'";
    let description = rig.description();
    let central: Vec<(String, String, String, String, String)> = centre::connect(&description.central)
        .await
        .query(TABLES)
        .await
        .unwrap();
    let count = |table: &str| central.iter().filter(|row| row.1 == table).count();
    assert_eq!(
        ["EventBlock", "EventMinute", "EventDay", "EventTags"].map(count),
        [32, 32, 32, 1]
    );
    for (schema, table, engine, row_format, options) in &central {
        // What stays is compressed; what is written all the time, and stays for a day or is small, is not: see schema/README.md.
        let is_plain = ["EventBlock", "EventMinute", "EventTags", "RegionMinute"].contains(&table.as_str());
        let expected = if is_plain { "Dynamic" } else { "Compressed" };
        assert_eq!(
            (engine.as_str(), row_format.as_str()),
            ("InnoDB", expected),
            "{schema}.{table}"
        );
        assert_eq!(
            options.to_lowercase().contains("key_block_size=8"),
            !is_plain,
            "{schema}.{table}: {options}"
        );
        assert!(
            table.starts_with("Event") && table != "EventTags" || schema == "bigdata_0",
            "{schema}.{table}"
        );
    }
    for region in description.regions.values() {
        let mut conn = region.mariadb.root().connect().await.unwrap();
        let engines: Vec<(String, String)> = conn
            .query("SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA LIKE 'bigdata\\_%'")
            .await
            .unwrap();
        assert_eq!(engines.iter().filter(|row| row.0 == "EventMinute").count(), 32);
        assert!(engines.iter().all(|row| row.1 == "BLACKHOLE"), "{engines:?}");
    }
}

/// `schema apply` may be repeated; `schema check` agrees, and sees a difference.
async fn expect_schema_commands(rig: &Rig) {
    for name in ["eu", "central"] {
        let config = rig.config(name);
        let config = config.to_str().unwrap();
        for action in ["apply", "check"] {
            let done = crate::rig::eventtracker(&["schema", action, "--config", config]).await;
            assert!(done.status.success(), "{action} {name}: {done:?}");
        }
    }
    let mut conn = centre::connect(&rig.description().central).await;
    conn.query_drop("ALTER TABLE bigdata_7.EventDay DROP KEY eventTotal")
        .await
        .unwrap();
    let config = rig.config("central");
    let checked = crate::rig::eventtracker(&["schema", "check", "--config", config.to_str().unwrap()]).await;
    assert!(!checked.status.success());
    assert!(
        String::from_utf8_lossy(&checked.stderr).contains("bigdata_7.EventDay differs"),
        "{checked:?}"
    );
}
