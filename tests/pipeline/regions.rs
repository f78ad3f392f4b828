//! Regions come, go and move to another server while events flow, and no count is lost or doubled.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mysql_async::prelude::Queryable;
use playground::Options;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;
use crate::rig::{PROGRAM, Rig, answer, at_queue, eventtracker, signal, wait_until};
use crate::sender::{Progress, Sent, send_keyed};

const MINUTE: i64 = 1_763_787_600;

/// Acknowledged requests between two steps.
const REQUESTS_BETWEEN: u64 = 60;

/// A clock that follows the present is closer to it.
const LAG_S_MAX: f64 = 10.0;

fn options(regions: &[&str], unattached: &[&str], servers_only: &[&str]) -> Options {
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

/// Exit code and text of `eventtracker region …` with the centre's file.
async fn region(rig: &Rig, arguments: &[&str]) -> (i32, String) {
    let central = rig.config("central");
    let mut all = vec!["region"];
    all.extend(arguments);
    all.extend(["--config", central.to_str().unwrap()]);
    run(&all).await
}

/// The same for those that change the central MariaDB's options.
async fn region_with_options(rig: &Rig, arguments: &[&str]) -> (i32, String) {
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

async fn audit(rig: &Rig) -> (i32, String) {
    let central = rig.config("central");
    let from = "2025-11-01T00:00:00Z";
    run(&["audit", "--config", central.to_str().unwrap(), "--from", from]).await
}

fn expect(outcome: &(i32, String), code: i32, parts: &[&str]) {
    let is_expected = outcome.0 == code && parts.iter().all(|part| outcome.1.contains(part));
    assert!(is_expected, "expected {code} and {parts:?}: {outcome:?}");
}

fn mariadb_port(rig: &Rig, region: &str) -> String {
    rig.description().regions[region].mariadb.port.to_string()
}

async fn wait_until_current(rig: &Rig) {
    wait_until("complete_until to follow the present", async || {
        let status = rig.get("/v1/status").await.json;
        let now = model::Instant::from(std::time::SystemTime::now()).unix_s();
        match status["complete_until"].as_f64() {
            Some(until) if now - until < LAG_S_MAX => Ok(()),
            _ => Err(format!("{} {}", status["complete_until"], status["regions"])),
        }
    })
    .await;
}

/// Its workers read their new configuration.
async fn restart_workers(rig: &Rig, region: &str) {
    let before = rig.description().regions[region].pids.worker.all().to_vec();
    for &pid in &before {
        signal("TERM", pid).await;
    }
    wait_until("the workers to run again", async || {
        let now = rig.description().regions[region].pids.worker.all().to_vec();
        if now.iter().any(|pid| before.contains(pid)) {
            Err(format!("{before:?}, {now:?}"))
        } else {
            Ok(())
        }
    })
    .await;
}

async fn count(rig: &Rig, region: &str, ledger: &mut Ledger, name: &str, count: u64) {
    rig.post_until_accepted(
        region,
        &json!({"name": name, "timestamp": MINUTE, "count": count}),
    )
    .await;
    ledger.acknowledged(name, MINUTE, count);
}

/// The marks of a comparison stay counted.
fn keep_marks(rig: &Rig, ledger: &mut Ledger) {
    for region in rig.regions() {
        ledger.acknowledged(&format!("test.mark.{region}"), 1_700_000_040, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_is_added_with_its_past_and_for_good() {
    let rig = Rig::start(options(&["eu", "asia"], &["asia"], &[])).await;
    let mut ledger = Ledger::default();
    count(&rig, "eu", &mut ledger, "added", 3).await;
    count(&rig, "asia", &mut ledger, "added", 40).await;
    let port = mariadb_port(&rig, "asia");
    let eu_port = mariadb_port(&rig, "eu");
    let files = [rig.config("central"), rig.data_dir().join("central/my.cnf")];
    let read = || files.clone().map(|file| std::fs::read_to_string(file).unwrap());

    let untouched = read();
    let add = ["add", "asia", "--host", "127.0.0.1", "--port"];
    let twin = ["add", "twin", "--host", "127.0.0.1", "--port", &eu_port];
    expect(
        &region_with_options(&rig, &twin).await,
        1,
        &["both have server_id"],
    );
    let away = [&add[..], &["1"]].concat();
    expect(
        &region_with_options(&rig, &away).await,
        1,
        &["failed to connect", "127.0.0.1:1"],
    );
    let elsewhere = ["add", "eu", "--host", "127.0.0.1", "--port", &port];
    expect(
        &region_with_options(&rig, &elsewhere).await,
        1,
        &["is replicated from"],
    );
    let nowhere = [&add[..], &[&port, "--mariadb-options", "/nowhere/my.cnf"]].concat();
    expect(&region(&rig, &nowhere).await, 1, &["/nowhere/my.cnf"]);
    assert_eq!(read(), untouched);

    let add = [&add[..], &[&port]].concat();
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
        match rig.description().central.pid {
            same if same == pid => Err(format!("pid is still {pid}")),
            _ => Ok(()),
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
    at_queue(&rig, |client| {
        let ttr = std::time::Duration::from_secs(30);
        client
            .put(b"not json", 1024, std::time::Duration::ZERO, ttr)
            .unwrap();
    })
    .await;
    wait_until("the job to be buried", async || {
        match region_with_options(&rig, &["remove", "eu"]).await {
            (1, text) if text.contains("1 jobs are in its queue (1 of them buried)") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    expect(&region(&rig, &["list"]).await, 0, &["eu"]);
    at_queue(&rig, |client| {
        while let Ok(mut job) = client.peek_buried() {
            job.delete().unwrap();
        }
    })
    .await;
    wait_until("the region to be drained", async || {
        match region_with_options(&rig, &["remove", "eu"]).await {
            (0, text) if text.contains("verified: eu is no source") => Ok(()),
            other => Err(format!("{other:?}")),
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
    expect(
        &region_with_options(&rig, &["remove", "eu"]).await,
        1,
        &["eu is no source"],
    );
    rig.stop().await;
}

type Senders = Vec<(String, JoinHandle<(Ledger, Vec<Sent>)>)>;

fn start_senders(rig: &Rig, progress: &Arc<Progress>, stop: &CancellationToken) -> Senders {
    let start = |region: String| {
        let prefix = format!("k.{region}");
        let keyed = send_keyed(rig.collectors(&region), prefix, progress.clone(), stop.clone());
        (region, tokio::spawn(keyed))
    };
    rig.regions().into_iter().map(start).collect()
}

async fn progress_by(progress: &Progress, requests: u64) {
    let goal = progress.acknowledged.load(Ordering::Relaxed) + requests;
    wait_until("requests to be acknowledged", async || {
        match progress.acknowledged.load(Ordering::Relaxed) {
            now if now >= goal => Ok(()),
            now => Err(format!("{now} of {goal}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_switch_under_load_loses_and_doubles_nothing() {
    let rig = Rig::start(Options {
        workers: 2,
        ..options(&["eu", "us", "asia"], &["asia"], &["asia"])
    })
    .await;
    let (progress, stop) = (Arc::<Progress>::default(), CancellationToken::new());
    let senders = start_senders(&rig, &progress, &stop);
    progress_by(&progress, REQUESTS_BETWEEN).await;
    let to = format!("127.0.0.1:{}", mariadb_port(&rig, "asia"));
    let us = format!("127.0.0.1:{}", mariadb_port(&rig, "us"));
    let eu_file = rig.config("eu");
    let switch = [
        "switch",
        "eu",
        "--region-config",
        eu_file.to_str().unwrap(),
        "--to",
    ];
    let to_us = [&switch[..], &[&us]].concat();
    expect(&region(&rig, &to_us).await, 1, &["both have server_id"]);
    let to_nobody = [&switch[..], &["127.0.0.1:1"]].concat();
    expect(&region(&rig, &to_nobody).await, 1, &["failed to connect"]);
    progress_by(&progress, REQUESTS_BETWEEN).await;

    let to_asia = [&switch[..], &[&to]].concat();
    let parts = [
        "planned",
        "both servers have the same",
        "verified",
        "restart eu's workers",
    ];
    expect(&region(&rig, &to_asia).await, 0, &parts);
    let readyz = rig.http.get(format!("{}/readyz", rig.worker("eu")));
    let sentence = format!("region eu's database has moved to {to}: set [regional]");
    wait_until("the worker to say what is wrong", async || {
        let text = readyz
            .try_clone()
            .unwrap()
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        if text.contains(&sentence) {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    progress_by(&progress, REQUESTS_BETWEEN).await;
    restart_workers(&rig, "eu").await;
    progress_by(&progress, REQUESTS_BETWEEN).await;
    stop.cancel();

    let (mut ledger, mut repeatable) = (Ledger::default(), Vec::new());
    for (region, sender) in senders {
        let (sent, requests) = sender.await.unwrap();
        ledger.merge(sent);
        repeatable.extend(requests.into_iter().map(|request| (region.clone(), request)));
    }
    ledger.expect_at_centre(&rig).await;
    for (region, request) in &repeatable {
        let url = format!("{}/v1/events", rig.collectors(region)[0]);
        let again = rig.http.post(url).header("Idempotency-Key", &request.key);
        assert_eq!(answer(again.json(&request.events)).await.status, 202);
    }
    keep_marks(&rig, &mut ledger);
    ledger.expect_at_centre(&rig).await;
    expect(&audit(&rig).await, 0, &["eu"]);
    expect(&region(&rig, &["list"]).await, 0, &[&to]);
    wait_until_current(&rig).await;
    // Carried out already: it verifies once more. And where it came from is no server to go to.
    expect(&region(&rig, &to_asia).await, 0, &["already", "verified"]);
    let back = format!("127.0.0.1:{}", mariadb_port(&rig, "eu"));
    let back = [&switch[..], &[&back]].concat();
    expect(&region(&rig, &back).await, 1, &["has moved from it to"]);
    wait_until("the keeper to reach the new server", async || {
        let status = rig.get("/v1/status").await.json;
        match status["alarms"].as_array().unwrap() {
            alarms if alarms.is_empty() => Ok(()),
            alarms => Err(format!("{alarms:?}")),
        }
    })
    .await;
    rig.stop().await;
}

/// As it stands when the command was killed after it stopped the region's workers.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_was_interrupted_is_taken_back_or_completed() {
    let rig = Rig::start(options(&["eu", "asia"], &["asia"], &["asia"])).await;
    let mut ledger = Ledger::default();
    count(&rig, "eu", &mut ledger, "interrupted", 3).await;
    ledger.expect_at_centre(&rig).await;
    keep_marks(&rig, &mut ledger);
    let here = format!("127.0.0.1:{}", mariadb_port(&rig, "eu"));
    let to = format!("127.0.0.1:{}", mariadb_port(&rig, "asia"));
    let fence = format!("UPDATE eventtracker.RegionMoved SET movedTo = '{to}'");
    let mut eu = rig.description().regions["eu"]
        .mariadb
        .root()
        .connect()
        .await
        .unwrap();
    eu.query_drop("SET sql_log_bin = 0").await.unwrap();
    eu.query_drop(&fence).await.unwrap();
    count(&rig, "eu", &mut ledger, "interrupted", 40).await;
    let elsewhere = region(&rig, &["switch", "eu", "--to", "127.0.0.1:1"]).await;
    expect(&elsewhere, 1, &["is on its way"]);

    expect(
        &region(&rig, &["switch", "eu", "--to", &here]).await,
        0,
        &["taken back"],
    );
    ledger.expect_at_centre(&rig).await;
    keep_marks(&rig, &mut ledger);

    eu.query_drop(&fence).await.unwrap();
    count(&rig, "eu", &mut ledger, "interrupted", 500).await;
    let completed = region(&rig, &["switch", "eu", "--to", &to]).await;
    expect(
        &completed,
        0,
        &["since an earlier run", "verified", "set [regional] to host"],
    );
    let eu_file = rig.config("eu");
    let again = [
        "switch",
        "eu",
        "--to",
        &to,
        "--region-config",
        eu_file.to_str().unwrap(),
    ];
    expect(
        &region(&rig, &again).await,
        0,
        &["already", "now has the address"],
    );
    restart_workers(&rig, "eu").await;
    ledger.expect_at_centre(&rig).await;
    expect(&audit(&rig).await, 0, &["eu"]);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unplanned_switch_says_what_it_costs_and_goes_on_when_told() {
    let rig = Rig::start(options(&["eu", "us", "asia"], &["asia"], &["asia"])).await;
    let mut ledger = Ledger::default();
    count(&rig, "eu", &mut ledger, "unplanned", 3).await;
    count(&rig, "us", &mut ledger, "unplanned", 40).await;
    ledger.expect_at_centre(&rig).await;
    keep_marks(&rig, &mut ledger);
    std::fs::remove_dir_all(rig.data_dir().join("eu/mariadb/data")).unwrap();
    signal("KILL", rig.description().regions["eu"].mariadb.pid).await;

    let to = format!("127.0.0.1:{}", mariadb_port(&rig, "asia"));
    let eu_file = rig.config("eu");
    let switch = [
        "switch",
        "eu",
        "--to",
        &to,
        "--region-config",
        eu_file.to_str().unwrap(),
    ];
    let refused = region(&rig, &switch).await;
    let bounds = ["after 1-1-", "total of 4", "jobs by that last word", "up to 24 h"];
    expect(
        &refused,
        1,
        &[&["unplanned", "--accept-loss"], &bounds[..]].concat(),
    );
    let replicated: Value = rig.get("/v1/status").await.json;
    assert_eq!(replicated["regions"].as_array().unwrap().len(), 2, "{replicated}");

    count(&rig, "eu", &mut ledger, "unplanned.queued", 500).await;
    let accepted = region(&rig, &[&switch[..], &["--accept-loss"]].concat()).await;
    expect(&accepted, 0, &["begins with an empty ledger", "verified"]);
    restart_workers(&rig, "eu").await;
    count(&rig, "eu", &mut ledger, "unplanned.later", 7).await;
    ledger.expect_at_centre(&rig).await;
    expect(&audit(&rig).await, 0, &["eu"]);
    wait_until_current(&rig).await;
    rig.stop().await;
}
