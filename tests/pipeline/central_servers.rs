//! A centre on two servers: each has half of the shards, answers are put together, and one that is away fails what needs it alone.

use std::collections::BTreeSet;
use std::path::PathBuf;

use model::{EventId, Shard};
use mysql_async::prelude::Queryable;
use playground::Options;
use serde_json::{Value, json};

use crate::centre;
use crate::complete::{complete_until, wait_until_current};
use crate::keeper_watches::alarms;
use crate::ledger::Ledger;
use crate::regions::{audit, count, expect, keep_marks, mariadb_port, options, region};
use crate::rig::{Rig, eventtracker, one_region, signal, two_regions, wait_until};
use crate::switched::restart_workers;
use crate::under_load::{exact_under_load, progress_by, two_of_each};

const SERVERS: [&str; 2] = ["c1", "c2"];

/// A name of each server: of shards 7 and 22.
const NAMES: [&str; 2] = ["half.first.2", "half.second.1"];

const MINUTE: i64 = 1_763_787_600;

/// Acknowledged requests between two steps.
const REQUESTS_BETWEEN: u64 = 60;

fn on_two_servers(options: Options) -> Options {
    Options {
        central_servers: 2,
        ..options
    }
}

async fn kill(rig: &Rig, server: &str, how: &str) {
    signal(how, rig.description().central_servers[server].database.pid).await;
}

/// Waits until the playground has started a server again that was killed.
async fn replaced(rig: &Rig, server: &str) {
    let pid = || rig.description().central_servers[server].database.pid;
    let before = pid();
    kill(rig, server, "KILL").await;
    wait_until("the server to be started again", async || match pid() {
        now if now != before => Ok(()),
        _ => Err("it is not yet".to_owned()),
    })
    .await;
}

fn option_file(rig: &Rig, server: &str) -> PathBuf {
    rig.data_dir().join(server).join("my.cnf")
}

/// A region command at one of the servers.
async fn region_at_server(rig: &Rig, server: &str, arguments: &[&str]) -> (i32, String) {
    region(rig, &[arguments, &["--server", server]].concat()).await
}

async fn status_command(rig: &Rig) -> (i32, String) {
    let output = eventtracker(&["status", "--api", &rig.description().api]).await;
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

fn series_of(name: &str) -> String {
    format!(
        "/v1/series?name={name}&from={MINUTE}&until={}&step=1m",
        MINUTE + 60
    )
}

/// The shards of which a server has any count.
async fn shards_with_counts(rig: &Rig, server: &str) -> BTreeSet<u8> {
    let database = &rig.description().central_servers[server].database;
    let counts = centre::counts(&mut centre::connect(database).await)
        .await
        .unwrap();
    counts
        .keys()
        .map(|(id, _)| Shard::of(EventId(*id)).number())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_exact_on_two_servers_under_load() {
    let rig = Rig::start(two_of_each(on_two_servers(two_regions()))).await;
    exact_under_load(rig, async |rig, progress, _| {
        progress_by(progress, REQUESTS_BETWEEN).await;
        // One dies, then the other, then both hang for a moment.
        for server in SERVERS {
            replaced(rig, server).await;
            progress_by(progress, REQUESTS_BETWEEN).await;
        }
        for how in ["STOP", "CONT"] {
            for server in SERVERS {
                kill(rig, server, how).await;
            }
            progress_by(progress, REQUESTS_BETWEEN).await;
        }
        wait_until_current(rig).await;
        expect(&audit(rig).await, 0, &["eu", "all equal"]);
        for (server, own) in SERVERS.into_iter().zip([0..=15, 16..=31]) {
            let found = shards_with_counts(rig, server).await;
            assert!(
                !found.is_empty() && found.iter().all(|shard| own.contains(shard)),
                "{server}: {found:?}"
            );
        }
        let config = rig.config("central");
        let check = eventtracker(&["schema", "check", "--config", config.to_str().unwrap()]).await;
        let faults = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(
            faults.lines().all(|line| line.contains("no time zones")),
            "{faults}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_fails_what_needs_it_by_name() {
    let rig = Rig::start(on_two_servers(one_region())).await;
    let mut ledger = Ledger::default();
    for (name, n) in NAMES.into_iter().zip([3, 40]) {
        count(&rig, "eu", &mut ledger, name, n).await;
    }
    ledger.expect_at_centre(&rig).await;
    keep_marks(&rig, &mut ledger);
    let both = rig.get(&series_of("half.*.*")).await;
    assert_eq!(both.json["series"].as_array().unwrap().len(), 2, "{both:?}");
    let rendered = "/render?target=sumSeries(half.*.*)&format=json&from=1763787540&until=1763787600";
    let summed = rig.get(rendered).await;
    assert_eq!(summed.json[0]["datapoints"][0], json!([43, MINUTE]), "{summed:?}");

    kill(&rig, "c2", "STOP").await;
    wait_until("the status to say who is away", async || {
        let status = rig.get("/v1/status").await.json;
        match (&status["servers"][1]["trouble"], &status["complete_until"]) {
            (Value::String(why), Value::Null) if why.contains("c2 (MariaDB at") => Ok(()),
            _ => Err(status.to_string()),
        }
    })
    .await;
    for (path, status) in [
        (series_of(NAMES[0]), 200),
        (series_of(NAMES[1]), 503),
        (series_of("half.*.*"), 503),
        (rendered.to_owned(), 503),
        ("/v1/names?query=half.*".to_owned(), 200),
        ("/v1/annotations?from=-1h".to_owned(), 200),
        ("/v1/audit".to_owned(), 503),
        ("/readyz".to_owned(), 200),
    ] {
        let answer = rig.get(&path).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        if status == 503 {
            assert_eq!(answer.json["error"], "central server c2 did not answer", "{path}");
        }
    }
    let shown = status_command(&rig).await;
    expect(
        &shown,
        1,
        &[
            "c1      0-15    yes",
            "c2      16-31   no",
            "central server c2 does not answer",
        ],
    );
    kill(&rig, "c2", "CONT").await;
    wait_until_current(&rig).await;
    assert_eq!(
        rig.get(&series_of("half.*.*")).await.json["series"],
        both.json["series"]
    );

    // Names come from whichever answers.
    kill(&rig, "c1", "STOP").await;
    wait_until("names by the other server", async || {
        let names = rig.get("/v1/names?query=half.*").await;
        let is_there = names.status == 200 && rig.get(&series_of(NAMES[1])).await.status == 200;
        is_there.then_some(()).ok_or(format!("{names:?}"))
    })
    .await;
    kill(&rig, "c1", "CONT").await;
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_centre_answers_where_one_of_the_servers_cannot() {
    let rig = Rig::start(Options {
        standby: true,
        ..on_two_servers(one_region())
    })
    .await;
    let mut ledger = Ledger::default();
    for name in NAMES {
        count(&rig, "eu", &mut ledger, name, 5).await;
    }
    ledger.expect_at_centre(&rig).await;
    keep_marks(&rig, &mut ledger);
    let centre = async || rig.get("/v1/status").await.json["centre"].clone();
    assert_eq!(centre().await, "central");
    kill(&rig, "c2", "STOP").await;
    let answer = rig.get(&series_of(NAMES[1])).await;
    assert_eq!(
        (answer.status, &answer.json["series"][0]["total"]),
        (200, &json!(5)),
        "{answer:?}"
    );
    wait_until("the second centre to be in charge", async || {
        match centre().await {
            name if name == "standby" => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    // No server's binlog may be purged that one of three lacks.
    wait_until("all keepers to say that nothing is purged", async || {
        let said = alarms(&rig).await;
        let says = said.iter().any(|alarm| {
            alarm["sentence"]
                .as_str()
                .unwrap()
                .contains("server c2 of centre central does not answer")
        });
        says.then_some(()).ok_or(format!("{said:?}"))
    })
    .await;
    kill(&rig, "c2", "CONT").await;
    wait_until("the first centre to be in charge", async || {
        match centre().await {
            name if name == "central" => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}

/// Adds a region at each server, and checks that it is said where else it has to be.
async fn add_at_each(rig: &Rig, add: &[&str]) {
    for (server, other) in [("c1", "c2"), ("c2", "c1")] {
        let options = option_file(rig, server);
        let file = ["--mariadb-options", options.to_str().unwrap()];
        let added = region_at_server(rig, server, &[add, &file[..]].concat()).await;
        expect(&added, 0, &["verified: asia", &format!("with --server {other}")]);
    }
}

async fn remove_at(rig: &Rig, server: &str, region: &str) {
    let options = option_file(rig, server);
    let remove = ["remove", region, "--mariadb-options", options.to_str().unwrap()];
    wait_until("the region to be drained", async || {
        match region_at_server(rig, server, &remove).await {
            (0, text) if text.contains("is no source") => Ok(()),
            (1, text) if text.contains("nothing was changed") => Err(text),
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_is_added_moved_and_removed_at_each_server() {
    let rig = Rig::start(on_two_servers(options(
        &["eu", "asia", "us"],
        &["asia", "us"],
        &["us"],
    )))
    .await;
    let mut ledger = Ledger::default();
    for name in NAMES {
        count(&rig, "eu", &mut ledger, name, 3).await;
        count(&rig, "asia", &mut ledger, name, 40).await;
    }
    let port = mariadb_port(&rig, "asia");
    let add = ["add", "asia", "--host", "127.0.0.1", "--port", &port];
    expect(
        &region(&rig, &add).await,
        1,
        &["run the command for each of c1, c2", "--server NAME"],
    );
    expect(
        &region_at_server(&rig, "c3", &["list"]).await,
        1,
        &["no central server is called 'c3': there are c1, c2"],
    );
    add_at_each(&rig, &add).await;
    ledger.expect_at_centre(&rig).await;
    keep_marks(&rig, &mut ledger);
    let text = std::fs::read_to_string(option_file(&rig, "c2")).unwrap();
    assert_eq!(
        text.matches("asia.replicate_wild_do_table").count(),
        16 + 3,
        "{text}"
    );
    // It holds after a restart, too, of which each server has its own file.
    replaced(&rig, "c2").await;
    wait_until_current(&rig).await;
    expect(
        &region(&rig, &["list"]).await,
        0,
        &["c1: shards 0-15", "c2: shards 16-31", "2-2-"],
    );

    let to = format!("127.0.0.1:{}", mariadb_port(&rig, "us"));
    for server in SERVERS {
        let switched = region_at_server(
            &rig,
            server,
            &[
                "switch",
                "asia",
                "--to",
                &to,
                "--region-config",
                rig.config("asia").to_str().unwrap(),
            ],
        )
        .await;
        expect(&switched, 0, &["planned", "verified"]);
    }
    restart_workers(&rig, "asia").await;
    for name in NAMES {
        count(&rig, "asia", &mut ledger, name, 500).await;
    }
    ledger.expect_at_centre(&rig).await;
    keep_marks(&rig, &mut ledger);
    expect(&audit(&rig).await, 0, &["asia", "all equal"]);

    for server in SERVERS {
        remove_at(&rig, server, "asia").await;
    }
    wait_until_current(&rig).await;
    expect(&audit(&rig).await, 0, &["no source any more", "all equal"]);
    rig.stop().await;
}

/// What a filter leaves out is gone: nothing is complete then, and nobody is told otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_applies_less_than_its_shards_is_never_complete() {
    let rig = Rig::start(on_two_servers(one_region())).await;
    wait_until_current(&rig).await;
    let database = rig.description().central_servers["c2"].database.clone();
    let mut conn = centre::connect(&database).await;
    for statement in [
        "STOP SLAVE 'eu'",
        "SET default_master_connection = 'eu'",
        r"SET GLOBAL replicate_wild_do_table = 'bigdata\\_0.Region%,bigdata\\_16.%'",
        "START SLAVE 'eu'",
    ] {
        conn.query_drop(statement).await.unwrap();
    }
    let before = complete_until(&rig.get("/v1/status").await.json);
    wait_until("nothing to be complete", async || {
        let status = rig.get("/v1/status").await.json;
        match (&status["complete_until"], &status["servers"][0]["complete_until"]) {
            (Value::Null, Value::Number(_)) => Ok(()),
            _ => Err(format!("{before:?}: {status}")),
        }
    })
    .await;
    wait_until("an alarm", async || {
        let said = alarms(&rig).await;
        let says = |alarm: &Value| {
            alarm["kind"] == "filter"
                && alarm["sentence"]
                    .as_str()
                    .unwrap()
                    .starts_with("c2: the server applies less")
        };
        said.iter().any(says).then_some(()).ok_or(format!("{said:?}"))
    })
    .await;
    let config = rig.config("central");
    let config = config.to_str().unwrap();
    for command in ["apply", "check"] {
        let outcome = eventtracker(&["schema", command, "--config", config]).await;
        let text = String::from_utf8_lossy(&outcome.stderr).into_owned();
        assert!(
            !outcome.status.success() && text.contains(r"'bigdata\_0.Region%,bigdata\_16.%'"),
            "{text}"
        );
    }
    let listed = region(&rig, &["list"]).await;
    expect(&listed, 1, &["applies only", "so counts are missing there"]);
    rig.stop().await;
}
