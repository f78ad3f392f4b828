//! Regions come with their past, and go when they are drained.

use std::path::PathBuf;

use playground::Options;
use serde_json::json;

use crate::complete::wait_until_current;
use crate::ledger::Ledger;
use crate::rig::{PROGRAM, Rig, eventtracker, lose_data, put, signal, wait_until};
use crate::tube::delete_buried;

const MINUTE: i64 = 1_763_787_600;

pub(crate) fn options(regions: &[&str], unattached: &[&str], servers_only: &[&str]) -> Options {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    Options {
        program: Some(PROGRAM.into()),
        port: playground::free_port(u16::try_from(regions.len()).unwrap()).unwrap(),
        regions: names(regions),
        unattached: names(unattached),
        servers_only: names(servers_only),
        ..Options::default()
    }
}

/// Exit code and text of `eventtracker region …` with the first centre's file.
pub(crate) async fn region(rig: &Rig, arguments: &[&str]) -> (i32, String) {
    region_at(rig, "central", arguments).await
}

pub(crate) async fn region_at(rig: &Rig, centre: &str, arguments: &[&str]) -> (i32, String) {
    let config = rig.config(centre);
    let file = ["--config", config.to_str().unwrap()];
    run(&[&["region"], arguments, &file].concat()).await
}

/// The same for those that change the central MariaDB's options.
pub(crate) async fn region_with_options(rig: &Rig, arguments: &[&str]) -> (i32, String) {
    let options = rig.data_dir().join("central/my.cnf");
    let file = ["--mariadb-options", options.to_str().unwrap()];
    region(rig, &[arguments, &file].concat()).await
}

async fn run(arguments: &[&str]) -> (i32, String) {
    let output = eventtracker(arguments).await;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("$ eventtracker {}\n{text}", arguments.join(" "));
    (output.status.code().unwrap(), text)
}

pub(crate) async fn audit(rig: &Rig) -> (i32, String) {
    audit_at(rig, "central").await
}

pub(crate) async fn audit_at(rig: &Rig, centre: &str) -> (i32, String) {
    let config = rig.config(centre);
    let from = "2025-11-01T00:00:00Z";
    run(&["audit", "--config", config.to_str().unwrap(), "--from", from]).await
}

pub(crate) fn expect(outcome: &(i32, String), code: i32, parts: &[&str]) {
    let is_expected = outcome.0 == code && parts.iter().all(|part| outcome.1.contains(part));
    assert!(is_expected, "expected {code} and {parts:?}: {outcome:?}");
}

pub(crate) fn mariadb_port(rig: &Rig, region: &str) -> String {
    rig.description().regions[region].mariadb.port.to_string()
}

pub(crate) async fn count(rig: &Rig, region: &str, ledger: &mut Ledger, name: &str, count: u64) {
    rig.post_until_accepted(
        region,
        &json!({"name": name, "timestamp": MINUTE, "count": count}),
    )
    .await;
    ledger.acknowledged(name, MINUTE, count);
}

/// The marks of a comparison stay counted.
pub(crate) fn keep_marks(rig: &Rig, ledger: &mut Ledger) {
    for region in rig.regions() {
        ledger.acknowledged(&format!("test.mark.{region}"), 1_700_000_040, 1);
    }
}

/// What `add` and `remove` change.
fn files(rig: &Rig) -> [PathBuf; 2] {
    [rig.config("central"), rig.data_dir().join("central/my.cnf")]
}

/// What cannot be added changes nothing.
async fn expect_refusals(rig: &Rig, port: &str) {
    let read = || files(rig).map(|file| std::fs::read_to_string(file).unwrap());
    let untouched = read();
    let eu_port = mariadb_port(rig, "eu");
    let address = ["--host", "127.0.0.1", "--port"];
    for (name, port, refusal) in [
        ("twin", &*eu_port, "both have server_id"),
        ("asia", "1", "failed to connect"),
        ("eu", port, "is replicated from"),
        ("No", port, "may only have lower-case letters"),
    ] {
        let add = [&["add", name], &address[..], &[port]].concat();
        expect(&region_with_options(rig, &add).await, 1, &[refusal]);
    }
    let nowhere = ["--mariadb-options", "/nowhere/my.cnf"];
    let add = [&["add", "asia"], &address[..], &[port], &nowhere].concat();
    expect(&region(rig, &add).await, 1, &["/nowhere/my.cnf"]);
    assert_eq!(read(), untouched);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_is_added_with_its_past_and_for_good() {
    let rig = Rig::start(options(&["eu", "asia"], &["asia"], &[])).await;
    let mut ledger = Ledger::default();
    count(&rig, "eu", &mut ledger, "added", 3).await;
    count(&rig, "asia", &mut ledger, "added", 40).await;
    let port = mariadb_port(&rig, "asia");
    expect_refusals(&rig, &port).await;
    let read = || files(&rig).map(|file| std::fs::read_to_string(file).unwrap());

    let add = ["add", "asia", "--host", "127.0.0.1", "--port", &port];
    expect(&region_with_options(&rig, &add).await, 0, &["verified: asia"]);
    ledger.expect_at_centre(&rig).await;
    keep_marks(&rig, &mut ledger);
    // Interrupted or not, it may be repeated.
    expect(
        &region_with_options(&rig, &add).await,
        0,
        &["had its [[source]]", "verified"],
    );
    let line = "asia.replicate_wild_do_table = bigdata\\_%.%\n";
    assert_eq!(read()[1].matches(line).count(), 1, "{}", read()[1]);
    expect(
        &region(&rig, &["list"]).await,
        0,
        &["asia", "file, centre", "2-2-"],
    );

    let pid = rig.description().central.pid;
    signal("KILL", pid).await;
    wait_until("the centre to run again", async || {
        match rig.description().central {
            same if same.pid == pid => Err(format!("pid is still {pid}")),
            other => other
                .root()
                .connect()
                .await
                .map(drop)
                .map_err(|error| error.to_string()),
        }
    })
    .await;
    count(&rig, "asia", &mut ledger, "added.later", 5).await;
    ledger.expect_at_centre(&rig).await;
    expect(&region(&rig, &["list"]).await, 0, &["asia"]);
    expect(&audit(&rig).await, 0, &["asia"]);
    wait_until_current(&rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_is_removed_when_it_is_drained_and_its_counts_stay() {
    let rig = Rig::start(options(&["eu", "us"], &[], &[])).await;
    let mut ledger = Ledger::default();
    count(&rig, "eu", &mut ledger, "removed", 3).await;
    count(&rig, "us", &mut ledger, "removed", 40).await;
    ledger.expect_at_centre(&rig).await;
    put(&rig, b"not json").await;
    wait_until("the job to be buried", async || {
        match region_with_options(&rig, &["remove", "eu"]).await {
            (1, text) if text.contains("jobs in its queue: 1, of them buried: 1") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    expect(&region(&rig, &["list"]).await, 0, &["eu"]);
    delete_buried(&rig, "eu", |_| true).await;
    // Nothing that was said of the queue so far knows of this.
    count(&rig, "eu", &mut ledger, "removed.last", 2).await;
    wait_until("the region to be drained", async || {
        match region_with_options(&rig, &["remove", "eu"]).await {
            (0, text) if text.contains("verified: eu is no source") => Ok(()),
            (1, text) if text.contains("nothing was changed") => Err(text),
            other => panic!("{other:?}"),
        }
    })
    .await;
    let list = region(&rig, &["list"]).await;
    assert!(list.0 == 0 && !list.1.contains("eu"), "{list:?}");
    let options = std::fs::read_to_string(rig.data_dir().join("central/my.cnf")).unwrap();
    assert!(!options.contains("\neu.replicate"), "{options}");
    let central = std::fs::read_to_string(rig.config("central")).unwrap();
    assert!(
        !central.contains("\"eu\"") && central.contains("\"us\""),
        "{central}"
    );

    let status = rig.get("/v1/status").await.json;
    let regions = status["regions"].as_array().unwrap();
    assert!(regions.iter().all(|region| region["region"] != "eu"), "{status}");
    wait_until_current(&rig).await;
    expect(&audit(&rig).await, 0, &["equal; no source any more"]);
    let again = region_with_options(&rig, &["remove", "eu"]).await;
    expect(&again, 1, &["eu is no source"]);

    let data = rig.data_dir().join("us/mariadb/data");
    lose_data(&data, || rig.description().regions["us"].mariadb.pid).await;
    let remove = ["remove", "us"];
    let refused = region_with_options(&rig, &remove).await;
    expect(&refused, 1, &["its totals are not known", "nothing was changed"]);
    let accepted = region_with_options(&rig, &[&remove[..], &["--accept-loss"]].concat()).await;
    expect(&accepted, 0, &["verified: us is no source"]);
    expect(&region(&rig, &["list"]).await, 0, &["no region"]);
    expect(&audit(&rig).await, 0, &["us"]);
    rig.stop().await;
}

/// What is in the centre's file belongs to it from the first moment on, and is not removed unseen.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_complete_without_a_region_that_cannot_be_attached() {
    let rig = Rig::start(options(&["eu", "asia"], &["asia"], &[])).await;
    wait_until_current(&rig).await;
    let central = rig.config("central");
    let mut config: toml::Table = std::fs::read_to_string(&central).unwrap().parse().unwrap();
    let mut asia = config["source"][0].as_table().unwrap().clone();
    asia.insert("region".to_owned(), "asia".into());
    asia.insert("port".to_owned(), 1.into());
    config["source"].as_array_mut().unwrap().push(asia.into());
    std::fs::write(&central, config.to_string()).unwrap();
    let applied = eventtracker(&["schema", "apply", "--config", central.to_str().unwrap()]).await;
    assert_eq!(applied.status.code(), Some(1), "{applied:?}");
    wait_until("the centre to be held back", async || {
        let status = rig.get("/v1/status").await.json;
        let is_held_back = status["complete_until"].is_null()
            && status["regions"][0]["held_back"] == "the centre does not replicate from it";
        is_held_back.then_some(()).ok_or(status.to_string())
    })
    .await;
    let shown = eventtracker(&["status", "--api", &rig.description().api]).await;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("nothing is complete without it"), "{text}");

    let remove = ["remove", "asia"];
    let refused = region_with_options(&rig, &remove).await;
    expect(&refused, 1, &["its totals are not known", "nothing was changed"]);
    let accepted = region_with_options(&rig, &[&remove[..], &["--accept-loss"]].concat()).await;
    expect(&accepted, 0, &["verified: asia is no source"]);
    wait_until_current(&rig).await;
    rig.stop().await;
}
