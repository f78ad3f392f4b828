//! The power goes, under load: what was acknowledged was on a disk, and nothing is counted twice when it is back.

use mysql_async::prelude::Queryable;
use playground::{CLOCK_IS_SEEN, Directory, Options};

use crate::centre::connect;
use crate::complete::wait_until_complete;
use crate::ledger::Ledger;
use crate::machines::Machines;
use crate::regions::{count, expect, keep_marks, mariadb_port, options, region, region_with_options};
use crate::rig::{Rig, eventtracker, one_region, settings, signal, two_regions, wait_until};
use crate::switched::{restart_workers, switch_to};
use crate::truth;
use crate::under_load::{exact_under_load, fault_under_load, progress_by, two_of_each};
use crate::wrong_clock::start_queue_again;

/// Acknowledged requests between two cuts.
const REQUESTS_BETWEEN: u64 = 40;

const ROUNDS: usize = 2;

/// Restarts of a centre, each followed by a cut.
const RESTARTS: usize = 4;

const AHEAD_S: i32 = 600;

/// The most that it takes to see what is broken.
const BROKEN_ROUNDS_MAX: usize = 5;

/// Acknowledged requests before a cut, in some flushes.
const REQUESTS_WHILE_BROKEN: u64 = 150;

const ACCOUNTS: &str = "SELECT CONCAT(QUOTE(User), '@', QUOTE(Host)) FROM mysql.user \
                        WHERE User LIKE 'eventtracker\\_%' AND is_role = 'N' ORDER BY 1";

const REGION: [&str; 2] = ["eu/beanstalkd", "eu/mariadb"];

#[tokio::test(flavor = "multi_thread")]
async fn of_one_machine_of_a_region_of_everything() {
    let everything = [&REGION[..], &["us/beanstalkd", "us/mariadb", "central"]].concat();
    let (rig, machines) = start(two_regions(), &everything).await;
    let cuts = [
        &everything[..1],
        &everything[1..2],
        &everything[4..],
        &REGION,
        &everything,
    ];
    exact_under_load(rig, async |rig, progress, _| {
        for servers in cuts.into_iter().cycle().take(ROUNDS * cuts.len()) {
            progress_by(progress, REQUESTS_BETWEEN).await;
            let forgotten = machines.cut(rig, servers).await;
            println!("{servers:?}: {forgotten:?}");
        }
        progress_by(progress, REQUESTS_BETWEEN).await;
    })
    .await;
}

/// What a command has said of a region is still so.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_centre_whose_regions_have_just_come_moved_and_gone() {
    let (rig, machines) = start(
        options(&["eu", "asia", "spare"], &["asia", "spare"], &["spare"]),
        &["central"],
    )
    .await;
    let mut ledger = Ledger::default();
    let cut = async || println!("{:?}", machines.cut(&rig, &["central"]).await);

    let port = mariadb_port(&rig, "asia");
    let add = ["add", "asia", "--host", "127.0.0.1", "--port", &port];
    expect(&region_with_options(&rig, &add).await, 0, &["verified: asia"]);
    cut().await;
    count(&rig, "asia", &mut ledger, "added", 5).await;
    ledger.expect_at_centre(&rig).await;
    keep_marks(&rig, &mut ledger);

    expect(&switch_to(&rig, "spare", &[]).await, 0, &["verified"]);
    cut().await;
    restart_workers(&rig, "eu").await;
    count(&rig, "eu", &mut ledger, "moved", 7).await;
    ledger.expect_at_centre(&rig).await;

    wait_until("the region to be drained", async || {
        match region_with_options(&rig, &["remove", "asia"]).await {
            (0, text) if text.contains("verified: asia is no source") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    cut().await;
    wait_until("the centre to say what its sources are", async || {
        match region(&rig, &["list"]).await {
            (0, text) if text.contains("eu") && !text.contains("asia") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    rig.stop().await;
}

/// What a server writes as it starts must be of one moment, too: it was ended as a process before, and its power goes now.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_centre_that_has_just_been_started() {
    let (rig, machines) = start(one_region(), &["central"]).await;
    for _ in 0..RESTARTS {
        wait_until_complete(&rig, truth::now()).await;
        let pid = rig.description().central.pid;
        signal("KILL", pid).await;
        wait_until("the centre to run again", async || {
            let now = rig.description().central.pid;
            (now != pid).then_some(()).ok_or(format!("pid is still {pid}"))
        })
        .await;
        wait_until_complete(&rig, truth::now()).await;
        println!("{:?}", machines.cut(&rig, &["central"]).await);
    }
    wait_until_complete(&rig, truth::now()).await;
    rig.stop().await;
}

/// Tables and accounts that a command has made are there.
#[tokio::test(flavor = "multi_thread")]
async fn of_servers_that_have_just_been_set_up() {
    let (rig, machines) = start(one_region(), &["eu/mariadb", "central"]).await;
    let description = rig.description();
    for (config, server, database) in [
        ("eu", "eu/mariadb", &description.regions["eu"].mariadb),
        ("central", "central", &description.central),
    ] {
        let mut conn = connect(database).await;
        let accounts: Vec<String> = conn.query(ACCOUNTS).await.unwrap();
        // As it was before, without a word to the centre.
        conn.query_drop("SET sql_log_bin = 0; DROP DATABASE bigdata_7")
            .await
            .unwrap();
        for account in &accounts {
            conn.query_drop(format!("DROP USER {account}")).await.unwrap();
        }
        machines.sync();
        let config = rig.config(config);
        let schema = |action| ["schema", action, "--config", config.to_str().unwrap()];
        let applied = eventtracker(&schema("apply")).await;
        assert!(applied.status.success(), "{applied:?}");
        println!("{:?}", machines.cut(&rig, &[server]).await);
        wait_until("the server to be as it should be", async || {
            let checked = eventtracker(&schema("check")).await;
            checked
                .status
                .success()
                .then_some(())
                .ok_or(format!("{checked:?}"))
        })
        .await;
        let after: Vec<String> = connect(database).await.query(ACCOUNTS).await.unwrap();
        assert_eq!(after, accounts);
    }
    let mut ledger = Ledger::default();
    count(&rig, "eu", &mut ledger, "set_up", 3).await;
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}

/// What is acknowledged is written to the disk up to 50 ms later.
#[tokio::test(flavor = "multi_thread")]
async fn shows_a_queue_that_does_not_sync_each_job() {
    let options = Options {
        server_options: [("eu/beanstalkd".to_owned(), vec!["-f50".to_owned()])].into(),
        ..one_region()
    };
    shows(options, "DO 1", &[LACKING, LOST]).await;
}

/// It syncs by its wall clock, and so nothing until that is where it was: collectors refuse events until it is started again.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_queue_whose_clock_was_set_back() {
    let options = Options {
        clocks_ahead_s: [("eu".to_owned(), 0)].into(),
        ..one_region()
    };
    let (rig, machines) = start(options, &REGION).await;
    exact_under_load(rig, async |rig, progress, _| {
        for ahead_s in [AHEAD_S, 0] {
            rig.set_clock("eu/beanstalkd", ahead_s);
            tokio::time::sleep(CLOCK_IS_SEEN).await;
        }
        start_queue_again(rig, "eu").await;
        // What came in the second before is on no disk until it is counted.
        wait_until_complete(rig, truth::now()).await;
        progress_by(progress, REQUESTS_WHILE_BROKEN).await;
        println!("{:?}", machines.cut(rig, &REGION).await);
        progress_by(progress, REQUESTS_BETWEEN).await;
    })
    .await;
}

/// The centre has transactions that the region has forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn shows_a_binlog_that_is_not_synced() {
    let seen_as = [LACKING, LOST, MORE_THAN_SENT, DOUBLED, "replication stopped"];
    shows(one_region(), "SET GLOBAL sync_binlog = 0", &seen_as).await;
}

/// The ledger has forgotten what it recognises repetitions by.
#[tokio::test(flavor = "multi_thread")]
async fn shows_a_ledger_that_is_not_synced() {
    let set = "SET GLOBAL innodb_flush_log_at_trx_commit = 2";
    shows(one_region(), set, &[MORE_THAN_SENT, DOUBLED]).await;
}

/// What an answer, or what the centre has in the end, is wrong by.
const LACKING: &str = "were acknowledged before";
const LOST: &str = "counts missing";
const MORE_THAN_SENT: &str = "were ever sent";
const DOUBLED: &str = "counts too many";

/// A region that is broken so is found out, and as one of `seen_as`. Workers refuse a database that is configured so when they connect, but do not see what is set
/// while they work; a restart takes it back.
async fn shows(options: Options, at_database: &str, seen_as: &[&str]) {
    let options = Options {
        region_overrides: settings("[worker]\nflush_age_ms = 50"),
        ..options
    };
    let (rig, machines) = start(options, &REGION).await;
    let outcome = fault_under_load(&rig, async |rig, progress, _| {
        for _ in 0..BROKEN_ROUNDS_MAX {
            progress_by(progress, REQUESTS_BETWEEN).await;
            wait_until("the database to be broken", async || {
                break_database(rig, at_database).await
            })
            .await;
            progress_by(progress, REQUESTS_WHILE_BROKEN).await;
            println!("{:?}", machines.cut(rig, &REGION).await);
            if progress.truth.violation().is_some() {
                break;
            }
            wait_until("the centre to reach the region", async || follows(rig).await).await;
        }
    })
    .await;
    let why = outcome.expect_err("it was not seen");
    println!("seen: {why}");
    assert!(seen_as.iter().any(|part| why.contains(part)), "{why}");
    rig.stop().await;
}

/// Whether the centre replicates from the region, or has given up.
async fn follows(rig: &Rig) -> Result<(), String> {
    let replication = &rig.get("/v1/status").await.json["regions"][0]["replication"];
    let state = &replication["io"];
    (state == "Yes" || state == "No")
        .then_some(())
        .ok_or(replication.to_string())
}

async fn break_database(rig: &Rig, how: &str) -> Result<(), String> {
    let root = rig.description().regions["eu"].mariadb.root();
    let mut conn = root.connect().await.map_err(|error| error.to_string())?;
    conn.query_drop(how).await.map_err(|error| error.to_string())
}

async fn start(options: Options, servers: &[&str]) -> (Rig, Machines) {
    let dir = Directory::new().unwrap();
    let machines = Machines::mount(&dir.path().join("data"), &options.regions, servers);
    let rig = Rig::start_in(dir, two_of_each(options)).await;
    machines.sync();
    (rig, machines)
}
