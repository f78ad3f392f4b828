//! A region moves to another server: planned under load, interrupted, and after its disk was lost.

use std::collections::BTreeMap;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use playground::Options;
use tokio_util::sync::CancellationToken;

use crate::centre;
use crate::complete::wait_until_current;
use crate::keeper_watches::alarms;
use crate::ledger::Ledger;
use crate::regions::{audit, audit_at, count, expect, keep_marks, mariadb_port, options, region, region_at};
use crate::rig::{Rig, lose_data, signal, wait_until};
use crate::under_load::{exact_under_load, progress_by, two_of_each};

/// Acknowledged requests between two steps.
const REQUESTS_BETWEEN: u64 = 60;

const AHEAD_S: i32 = 90;

/// A switch of little takes somewhat longer than the 2.5 s for which it waits for stillness.
const KILLED_AFTER_MS: [u64; 8] = [60, 120, 2_510, 2_530, 2_550, 2_575, 2_600, 2_640];

/// Its workers read their new configuration.
pub(crate) async fn restart_workers(rig: &Rig, region: &str) {
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

/// At least so many flushes, whose requests are repeated in the end, and whose ids only the old server's ledger has.
async fn wait_until_counted(rig: &Rig, at_least: u64) {
    wait_until("the region to have counted", async || {
        let mut centre = centre::connect(&rig.description().central).await;
        let sql = "SELECT flushes FROM bigdata_0.RegionTotal WHERE region = 'eu'";
        match centre.query_first::<u64, _>(sql).await.unwrap() {
            Some(flushes) if flushes >= at_least => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

async fn expect_refusal_of_workers(rig: &Rig, to: &str) {
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
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_switch_under_load_loses_and_doubles_nothing() {
    let encrypted = Options {
        tls: true,
        ..options(&["eu", "us", "asia"], &["asia"], &["asia"])
    };
    let rig = Rig::start(two_of_each(encrypted)).await;
    exact_under_load(rig, async |rig, progress, _| {
        wait_until_counted(rig, 2).await;
        let address = |region| format!("127.0.0.1:{}", mariadb_port(rig, region));
        let [eu, us, asia] = ["eu", "us", "asia"].map(address);
        let eu_file = rig.config("eu");
        let switch = async |to: &str| {
            let file = ["--region-config", eu_file.to_str().unwrap()];
            region(rig, &[&["switch", "eu", "--to", to], &file[..]].concat()).await
        };
        expect(&switch(&us).await, 1, &["both have server_id"]);
        expect(&switch("127.0.0.1:1").await, 1, &["failed to connect"]);
        progress_by(progress, REQUESTS_BETWEEN).await;

        let parts = [
            "planned",
            "both servers have the same",
            "verified",
            "restart eu's workers",
        ];
        expect(&switch(&asia).await, 0, &parts);
        expect_refusal_of_workers(rig, &asia).await;
        progress_by(progress, REQUESTS_BETWEEN).await;
        restart_workers(rig, "eu").await;
        progress_by(progress, REQUESTS_BETWEEN).await;

        wait_until_current(rig).await;
        expect(&audit(rig).await, 0, &["eu"]);
        expect(&region(rig, &["list"]).await, 0, &[&asia]);
        // Carried out already: it verifies once more. And where it came from is no server to go to.
        expect(&switch(&asia).await, 0, &["already", "verified"]);
        expect(&switch(&eu).await, 1, &["has moved from it to"]);
        expect_no_alarm(rig).await;
    })
    .await;
}

/// The region's clocks are ahead, the new server's is not: until when all is complete never lies in the future.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_to_a_server_with_another_clock_promises_nothing_too_early() {
    let rig = Rig::start(Options {
        clocks_ahead_s: BTreeMap::from([("eu".to_owned(), AHEAD_S)]),
        ..options(&["eu", "asia"], &["asia"], &["asia"])
    })
    .await;
    wait_until_current(&rig).await;
    let looked = CancellationToken::new();
    let (url, until) = (format!("{}/v1/status", rig.description().api), looked.clone());
    let http = rig.http.clone();
    let looks = tokio::spawn(async move {
        while !until.is_cancelled() {
            let status: serde_json::Value = http.get(&url).send().await.unwrap().json().await.unwrap();
            let now = model::Timestamp::from(std::time::SystemTime::now()).unix_s();
            let complete_until = status["complete_until"].as_f64();
            assert!(complete_until.is_none_or(|until| until <= now), "{now}: {status}");
        }
    });
    expect(&switch_to_asia(&rig, &[]).await, 0, &["verified"]);
    restart_workers(&rig, "eu").await;
    expect_no_alarm(&rig).await;
    wait_until_current(&rig).await;
    looked.cancel();
    looks.await.unwrap();
    rig.stop().await;
}

pub(crate) async fn expect_no_alarm(rig: &Rig) {
    wait_until("the keeper to be content", async || match alarms(rig).await {
        none if none.is_empty() => Ok(()),
        alarms => Err(format!("{alarms:?}")),
    })
    .await;
}

/// To the server that the playground runs for it, with the region's file.
async fn switch_to_asia(rig: &Rig, further: &[&str]) -> (i32, String) {
    switch_to(rig, "asia", further).await
}

pub(crate) async fn switch_to(rig: &Rig, place: &str, further: &[&str]) -> (i32, String) {
    let to = format!("127.0.0.1:{}", mariadb_port(rig, place));
    let file = rig.config("eu");
    let switch = [
        "switch",
        "eu",
        "--to",
        &to,
        "--region-config",
        file.to_str().unwrap(),
    ];
    region(rig, &[&switch[..], further].concat()).await
}

/// Whatever step it was at, the next run goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_is_killed_again_and_again_is_completed() {
    let rig = Rig::start(two_of_each(options(&["eu", "asia"], &["asia"], &["asia"]))).await;
    exact_under_load(rig, async |rig, progress, _| {
        wait_until_counted(rig, 2).await;
        for after_ms in KILLED_AFTER_MS {
            let run = switch_to_asia(rig, &[]);
            let outcome = tokio::time::timeout(Duration::from_millis(after_ms), run).await;
            let code = outcome.map(|(code, _)| code);
            println!("after {after_ms} ms: {code:?}");
        }
        expect(&switch_to_asia(rig, &[]).await, 0, &["verified"]);
        restart_workers(rig, "eu").await;
        progress_by(progress, REQUESTS_BETWEEN).await;
        expect(&audit(rig).await, 0, &["eu"]);
    })
    .await;
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
    // Another run had come as far as that.
    let mut centre = centre::connect(&rig.description().central).await;
    centre.query_drop("STOP SLAVE 'eu'").await.unwrap();

    expect(
        &region(&rig, &["switch", "eu", "--to", &here]).await,
        0,
        &["taken back"],
    );
    ledger.expect_at_centre(&rig).await;
    keep_marks(&rig, &mut ledger);

    // A worker that was told of the new server already counts nothing there.
    let asia = rig.description().regions["asia"].mariadb.root();
    let mut asia = asia.connect().await.unwrap();
    let moved_to = "SELECT movedTo FROM eventtracker.RegionMoved";
    let moved_to: Option<String> = asia.query_first(moved_to).await.unwrap();
    assert_eq!(moved_to.as_ref(), Some(&here));
    // A ledger that was left there long ago is none.
    asia.query_drop("SET sql_log_bin = 0").await.unwrap();
    let stale = "UPDATE eventtracker.RegionMoved SET movedTo = NULL, region = 'eu'";
    asia.query_drop(stale).await.unwrap();
    expect(&switch_to_asia(&rig, &[]).await, 1, &["flushes ago"]);
    let taken_back = format!("UPDATE eventtracker.RegionMoved SET movedTo = '{here}', region = NULL");
    asia.query_drop(taken_back).await.unwrap();

    eu.query_drop(&fence).await.unwrap();
    centre.query_drop("STOP SLAVE 'eu'").await.unwrap();
    count(&rig, "eu", &mut ledger, "interrupted", 500).await;
    let completed = region(&rig, &["switch", "eu", "--to", &to]).await;
    expect(
        &completed,
        0,
        &["since an earlier run", "verified", "set [regional] to host"],
    );
    let again = switch_to_asia(&rig, &[]).await;
    expect(&again, 0, &["already", "now has the address"]);
    restart_workers(&rig, "eu").await;
    ledger.expect_at_centre(&rig).await;
    expect(&audit(&rig).await, 0, &["eu"]);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_switches_at_once_one_is_refused() {
    let rig = Rig::start(two_of_each(options(&["eu", "asia"], &["asia"], &["asia"]))).await;
    exact_under_load(rig, async |rig, progress, _| {
        wait_until_counted(rig, 2).await;
        let (one, other) = tokio::join!(switch_to_asia(rig, &[]), switch_to_asia(rig, &[]));
        let (done, refused) = if one.0 == 0 { (one, other) } else { (other, one) };
        expect(&done, 0, &["verified"]);
        expect(&refused, 1, &["another 'eventtracker region switch' is at it"]);
        restart_workers(rig, "eu").await;
        progress_by(progress, REQUESTS_BETWEEN).await;
        expect(&audit(rig).await, 0, &["eu"]);
    })
    .await;
}

/// The event that was sent last is counted, and the centre has received it, without applying it.
async fn wait_until_received(rig: &Rig) {
    wait_until("the centre to receive everything", async || {
        let tube = rig.tube("eu").await;
        let mut conn = rig.description().regions["eu"]
            .mariadb
            .root()
            .connect()
            .await
            .unwrap();
        let counted = "SELECT total FROM eventtracker.CountedTotal";
        let counted: Option<u64> = conn.query_first(counted).await.unwrap();
        let written = "SELECT CAST(SUBSTRING_INDEX(@@gtid_binlog_pos, '-', -1) AS UNSIGNED)";
        let written: u64 = conn.query_first(written).await.unwrap().unwrap();
        let mut centre = store::upkeep::Centre::new(rig.description().central.root());
        let sources = centre.sources().await.unwrap();
        let eu = sources.iter().find(|state| state.source.region == "eu").unwrap();
        // An idle worker writes on all the time.
        match (counted, eu.received.get(&1)) {
            (Some(13), Some(&received)) if tube.jobs() == 0 && received + 1 >= written => Ok(()),
            other => Err(format!("{other:?} of {written}, {tube:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unplanned_switch_says_what_it_costs_and_goes_on_when_told() {
    let rig = Rig::start(options(&["eu", "us", "asia"], &["asia"], &["asia"])).await;
    let mut ledger = Ledger::default();
    count(&rig, "eu", &mut ledger, "unplanned", 3).await;
    count(&rig, "us", &mut ledger, "unplanned", 40).await;
    ledger.expect_at_centre(&rig).await;
    keep_marks(&rig, &mut ledger);
    let mut centre = centre::connect(&rig.description().central).await;
    centre.query_drop("STOP SLAVE 'eu' SQL_THREAD").await.unwrap();
    count(&rig, "eu", &mut ledger, "unplanned.received", 9).await;
    wait_until_received(&rig).await;
    let data = rig.data_dir().join("eu/mariadb/data");
    lose_data(&data, || rig.description().regions["eu"].mariadb.pid).await;

    let refused = switch_to_asia(&rig, &[]).await;
    let bounds = [
        "transactions were received and are not applied",
        "after 1-1-",
        "total of 4",
        "jobs by that last word",
        "up to 24 h",
    ];
    expect(
        &refused,
        1,
        &[&["unplanned", "--accept-loss"], &bounds[..]].concat(),
    );
    let replicated = rig.get("/v1/status").await.json;
    assert_eq!(replicated["regions"].as_array().unwrap().len(), 2, "{replicated}");

    // What the centre has received is not lost.
    centre.query_drop("START SLAVE 'eu' SQL_THREAD").await.unwrap();
    count(&rig, "eu", &mut ledger, "unplanned.queued", 500).await;
    let accepted = switch_to_asia(&rig, &["--accept-loss"]).await;
    expect(&accepted, 0, &["begins with an empty ledger", "verified"]);
    restart_workers(&rig, "eu").await;
    count(&rig, "eu", &mut ledger, "unplanned.later", 7).await;
    ledger.expect_at_centre(&rig).await;
    expect(&audit(&rig).await, 0, &["eu"]);
    wait_until_current(&rig).await;
    rig.stop().await;
}

/// The second centre follows when the region's workers count on the new server already.
#[tokio::test(flavor = "multi_thread")]
async fn two_centres_are_switched_one_after_the_other() {
    let rig = Rig::start(Options {
        standby: true,
        ..options(&["eu", "asia"], &["asia"], &["asia"])
    })
    .await;
    let mut ledger = Ledger::default();
    count(&rig, "eu", &mut ledger, "two.centres", 3).await;
    // Else both requests may be of one flush, after the switch.
    wait_until_counted(&rig, 1).await;
    let to = format!("127.0.0.1:{}", mariadb_port(&rig, "asia"));
    let switch = ["switch", "eu", "--to", &to];
    expect(
        &switch_to_asia(&rig, &[]).await,
        0,
        &["verified", "at centre standby"],
    );
    restart_workers(&rig, "eu").await;
    count(&rig, "eu", &mut ledger, "two.centres", 40).await;
    wait_until_counted(&rig, 2).await;

    let followed = region_at(&rig, "standby", &switch).await;
    expect(&followed, 0, &["has the ledger already", "verified"]);
    ledger.expect_at_centre(&rig).await;
    for name in ["central", "standby"] {
        expect(&audit_at(&rig, name).await, 0, &["eu"]);
        expect(&region_at(&rig, name, &["list"]).await, 0, &[&to]);
    }
    rig.stop().await;
}
