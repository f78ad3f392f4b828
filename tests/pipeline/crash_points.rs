//! Each step is the last one of its process once: what was done is not done again, what was not is done by the next.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use playground::Options;

use crate::failpoints::{Failpoints, How};
use crate::ledger::Ledger;
use crate::regions::{audit, count, expect, keep_marks, mariadb_port, options, region_with_options};
use crate::rig::{Rig, eventtracker, one_region, settings, signal, wait_until};
use crate::sender::post_backlog;
use crate::under_load::{exact_under_load, progress_by, two_of_each};

/// Between two crashes.
const REQUESTS_BETWEEN: u64 = 10;

pub(crate) const OF_THE_QUEUE: [&str; 2] = ["collector.encoded", "collector.put"];

pub(crate) const OF_A_FLUSH: [&str; 6] = [
    "worker.reserved",
    "worker.begun",
    "worker.entered",
    "worker.counted",
    "worker.committed",
    "worker.deleted",
];

pub(crate) const OF_PACKING: [&str; 3] = ["keeper.taken", "keeper.packed", "keeper.pack_committed"];

const OF_MERGING: [&str; 2] = ["keeper.merging", "keeper.merged"];

const OF_PURGING: [&str; 2] = ["keeper.purging", "keeper.purged"];

#[tokio::test(flavor = "multi_thread")]
async fn of_the_pipeline() {
    let failpoints = Failpoints::new();
    let rig = Rig::start(two_of_each(Options {
        role_environment: failpoints.environment(),
        central_overrides: settings("[keeper]\npack_interval_s = 1\nbinlog_keep_hours = 0"),
        ..one_region()
    }))
    .await;
    exact_under_load(rig, async |rig, progress, ledger| {
        for name in [&OF_THE_QUEUE[..], &OF_A_FLUSH, &OF_PACKING].concat() {
            progress_by(progress, REQUESTS_BETWEEN).await;
            failpoints.arm(name, How::Kill);
            failpoints.wait_until_taken(name).await;
        }
        // More than is written row by row.
        OF_MERGING.iter().for_each(|name| failpoints.arm(name, How::Kill));
        post_backlog(rig, "eu", ledger).await;
        for name in OF_MERGING {
            failpoints.wait_until_taken(name).await;
        }
        for name in OF_PURGING {
            failpoints.arm(name, How::Kill);
            wait_until("a new binlog", async || new_binlog(rig).await).await;
            failpoints.wait_until_taken(name).await;
        }
        progress_by(progress, REQUESTS_BETWEEN).await;
    })
    .await;
}

async fn new_binlog(rig: &Rig) -> Result<(), String> {
    let root = rig.description().regions["eu"].mariadb.root();
    let mut conn = root.connect().await.map_err(|error| error.to_string())?;
    let flush = conn.query_drop("FLUSH BINARY LOGS").await;
    flush.map_err(|error| error.to_string())
}

/// Longer than a job's time to run, and than a database waits for a transaction that does nothing.
const STOPPED_FOR: Duration = Duration::from_secs(33);

/// Workers that stop at each step, at the same time; others go on with their jobs.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_for_longer_than_the_time_to_run() {
    let failpoints = Failpoints::new();
    let rig = Rig::start(Options {
        workers: 4,
        collectors: 2,
        role_environment: failpoints.environment(),
        ..crate::rig::two_regions()
    })
    .await;
    exact_under_load(rig, async |rig, progress, _| {
        progress_by(progress, REQUESTS_BETWEEN).await;
        failpoints.arm("worker.pruned", How::Kill);
        let stopped = [&OF_A_FLUSH[..], &OF_PACKING[1..2]].concat();
        stopped.iter().for_each(|name| failpoints.arm(name, How::Stop));
        for name in &stopped {
            failpoints.wait_until_taken(name).await;
        }
        tokio::time::sleep(STOPPED_FOR).await;
        let description = rig.description();
        let workers = description
            .regions
            .values()
            .flat_map(|region| region.pids.worker.all());
        for &pid in workers.chain(&description.pids.keeper) {
            signal("CONT", pid).await;
        }
        progress_by(progress, REQUESTS_BETWEEN).await;
        // Once in a minute.
        failpoints.wait_until_taken("worker.pruned").await;
    })
    .await;
    assert!(failpoints.reached().contains("worker.redelivery"));
}

const OF_ADD: [&str; 6] = [
    "region.draft_written",
    "region.renamed",
    "add.options_written",
    "add.connected",
    "add.config_written",
    "add.started",
];

const OF_REMOVE: [&str; 5] = [
    "region.draft_written",
    "region.renamed",
    "remove.disconnected",
    "remove.files_written",
    "remove.forgotten",
];

/// The tables that know something of a region, besides its counts and their sums.
const NOTED: &str = "SELECT 'offset' FROM eventtracker.ClockOffset WHERE region = 'asia' \
    UNION SELECT 'clock' FROM bigdata_0.RegionClock WHERE region = 'asia' \
    UNION SELECT 'status' FROM bigdata_0.RegionStatus WHERE region = 'asia' \
    UNION SELECT 'binlogs' FROM eventtracker.RegionBinlog WHERE region = 'asia' \
    UNION SELECT 'alarm' FROM eventtracker.Alarm WHERE region = 'asia'";

/// Whatever was interrupted is completed by the same command.
#[tokio::test(flavor = "multi_thread")]
async fn of_regions_that_come_and_go() {
    let failpoints = Failpoints::new();
    let rig = Rig::start(options(&["eu", "asia"], &["asia"], &[])).await;
    let mut ledger = Ledger::default();
    let port = mariadb_port(&rig, "asia");
    let (config, options) = (rig.config("central"), rig.data_dir().join("central/my.cnf"));
    let files = [
        "--config",
        config.to_str().unwrap(),
        "--mariadb-options",
        options.to_str().unwrap(),
    ];
    let add = ["add", "asia", "--host", "127.0.0.1", "--port", &port];
    let remove = ["remove", "asia"];
    let mut to_add = OF_ADD.iter();
    let mut to_remove = OF_REMOVE.iter();
    count(&rig, "asia", &mut ledger, "crashed", 7).await;
    for _ in 0..OF_ADD.len() {
        for (command, name, said) in [
            (&add[..], to_add.next(), "verified: asia is a source"),
            (&remove[..], to_remove.next(), "verified: asia is no source"),
        ] {
            if let Some(name) = name {
                failpoints
                    .crash_at(name, &[&["region"], command, &files].concat())
                    .await;
                clear_away_drafts(&[&config, &options]);
            }
            wait_until(
                "the command to be completed",
                async || match region_with_options(&rig, command).await {
                    (0, text) if text.contains(said) => Ok(()),
                    // Nothing was left to be done.
                    (1, text) if text.contains("asia is no source of this centre") => Ok(()),
                    other => Err(format!("{other:?}")),
                },
            )
            .await;
        }
        let mut conn = crate::centre::connect(&rig.description().central).await;
        let left: Vec<String> = conn.query(NOTED).await.unwrap();
        assert_eq!(left, Vec::<String>::new(), "all but its counts is forgotten");
    }
    expect(&region_with_options(&rig, &add).await, 0, &["verified: asia"]);
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}

/// As the refusal of the next run says.
fn clear_away_drafts(files: &[&Path]) {
    for file in files {
        let mut draft = file.as_os_str().to_owned();
        draft.push(".eventtracker-new");
        match std::fs::remove_file(draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }
}

const OF_SWITCH: [&str; 6] = [
    "switch.ledger_begun",
    "switch.fenced",
    "switch.applied",
    "switch.ledger_copied",
    "switch.ledger_marked",
    "switch.taken_over",
];

#[tokio::test(flavor = "multi_thread")]
async fn of_a_region_that_moves() {
    let failpoints = Failpoints::new();
    let rig = Rig::start(two_of_each(options(&["eu", "asia"], &["asia"], &["asia"]))).await;
    exact_under_load(rig, async |rig, progress, _| {
        progress_by(progress, REQUESTS_BETWEEN).await;
        let to = format!("127.0.0.1:{}", mariadb_port(rig, "asia"));
        let (central, eu) = (rig.config("central"), rig.config("eu"));
        let switch = [
            "region",
            "switch",
            "eu",
            "--to",
            &to,
            "--config",
            central.to_str().unwrap(),
            "--region-config",
            eu.to_str().unwrap(),
        ];
        for name in OF_SWITCH {
            failpoints.crash_at(name, &switch).await;
        }
        let output = eventtracker(&switch).await;
        assert!(output.status.success(), "{output:?}");
        crate::switched::restart_workers(rig, "eu").await;
        progress_by(progress, REQUESTS_BETWEEN).await;
        expect(&audit(rig).await, 0, &["eu"]);
    })
    .await;
}

const OF_IMPORT: [&str; 3] = ["import.draft_written", "import.renamed", "import.acknowledged"];

#[tokio::test(flavor = "multi_thread")]
async fn of_an_import() {
    let failpoints = Failpoints::new();
    let rig = Rig::start(one_region()).await;
    let mut ledger = Ledger::default();
    let dir = tempfile::tempdir().unwrap();
    for name in OF_IMPORT {
        let file = dir.path().join(name);
        let names = (0..3_000).map(|number| format!("{name}.{number}"));
        let rows = names.inspect(|name| ledger.acknowledged(name, 1_735_689_600, 2));
        let text: String = rows.map(|name| format!("{name},1735689600,2\n")).collect();
        std::fs::write(&file, format!("name,minute,count\n{text}")).unwrap();
        let collector = &rig.collectors("eu")[0];
        let import = [
            "import",
            "--format",
            "csv",
            "--collector",
            collector,
            file.to_str().unwrap(),
        ];
        failpoints.crash_at(name, &import).await;
        let output = eventtracker(&import).await;
        assert!(output.status.success(), "{output:?}");
    }
    ledger.expect_at_centre(&rig).await;
    keep_marks(&rig, &mut ledger);
    rig.stop().await;
}
