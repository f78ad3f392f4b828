//! A full disk under the queue, or under the region's database: events are refused or wait, none is lost.

use std::time::Duration;

use playground::{Directory, Options};
use serde_json::{Value, json};

use crate::rig::{Rig, signal, two_regions, wait_until, wait_up_to};
use crate::sender::{FIRST_MINUTE, post_backlog};
use crate::small_disk::{QUEUE_MIB, SmallDisk, pad_queue, prepare};
use crate::under_load::{exact_under_load, progress_by, two_of_each};

/// A new MariaDB's files, and room for the log of a test.
const DATABASE_MIB: u32 = 400;

/// MariaDB looks once a minute whether there is room for its binlog again.
const ROOM_IS_SEEN: Duration = Duration::from_secs(150);

/// Acknowledged requests before and after.
const REQUESTS: u64 = 100;

/// While the disk stays full, workers empty the queue, which no fence can be put into.
#[tokio::test(flavor = "multi_thread")]
async fn of_the_queue() {
    of_the_queue_with(2).await;
}

/// Nobody else makes room while it looks.
#[tokio::test(flavor = "multi_thread")]
async fn of_the_queue_of_one_worker() {
    of_the_queue_with(1).await;
}

async fn of_the_queue_with(workers: usize) {
    let (disk, rig) = with_small_disk("eu/beanstalkd", QUEUE_MIB, workers).await;
    exact_under_load(rig, async |rig, progress, ledger| {
        progress_by(progress, REQUESTS).await;
        let workers = rig.description().regions["eu"].pids.worker.all().to_vec();
        for &worker in &workers {
            signal("STOP", worker).await;
        }
        post_backlog(rig, "eu", ledger).await;
        disk.fill();
        ledger.merge(pad_queue(rig, "eu").await);
        let mut sent = 0;
        wait_until("events to be refused", async || {
            sent += 1;
            let name = format!("refused.{sent}");
            let answer = rig
                .post("eu", &json!({ "name": name, "timestamp": FIRST_MINUTE }))
                .await;
            match (answer.status, &answer.json["outcome"]) {
                // Workers that delete jobs make room, too.
                (202, _) => ledger.acknowledged(&name, FIRST_MINUTE, 1),
                (503, Value::Null) => return Ok(()),
                _ => ledger.doubtful(&name, FIRST_MINUTE, 1),
            }
            Err(format!("{answer:?}"))
        })
        .await;
        let waiting = rig.tube("eu").await.jobs();
        for &worker in &workers {
            signal("CONT", worker).await;
        }
        let deleted = deleted_jobs(rig).await;
        wait_until(
            "what waits to be counted and deleted",
            async || match deleted_jobs(rig).await {
                now if now >= deleted + waiting => Ok(()),
                now => Err(format!("{now} jobs deleted, {deleted} before, {waiting} waited")),
            },
        )
        .await;
        disk.free();
        let event = json!({ "name": "taken", "timestamp": FIRST_MINUTE });
        rig.post_until_accepted("eu", &event).await;
        ledger.acknowledged("taken", FIRST_MINUTE, 1);
        progress_by(progress, REQUESTS).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_regional_database() {
    let (disk, rig) = with_small_disk("eu/mariadb", DATABASE_MIB, 2).await;
    exact_under_load(rig, async |rig, progress, _| {
        progress_by(progress, REQUESTS).await;
        let worker = rig.worker("eu");
        disk.fill();
        wait_until("transactions to fail", async || {
            match rig.counter(&worker, "worker_flush_failures_total").await {
                0 => Err("none has failed".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
        disk.free();
        let counted = rig.counter(&worker, "worker_counts_total").await;
        wait_up_to(ROOM_IS_SEEN, "counts to be committed", async || {
            match rig.counter(&worker, "worker_counts_total").await {
                now if now > counted => Ok(()),
                now => Err(format!("{now} as before")),
            }
        })
        .await;
    })
    .await;
}

/// Jobs that the region's workers have deleted so far.
async fn deleted_jobs(rig: &Rig) -> u64 {
    let mut deleted = 0;
    for worker in rig.workers("eu") {
        deleted += rig.counter(&worker, "worker_jobs_deleted_total").await;
    }
    deleted
}

/// A playground whose directory `place` is a small disk.
async fn with_small_disk(place: &str, mib: u32, workers: usize) -> (SmallDisk, Rig) {
    let (dir, options) = (Directory::new().unwrap(), two_regions());
    let data = dir.path().join("data");
    let disk = SmallDisk::mount(&data.join(place), mib).unwrap_or_else(|why| panic!("{why}"));
    prepare(&data, &options.regions);
    let options = Options {
        workers,
        ..two_of_each(options)
    };
    (disk, Rig::start_in(dir, options).await)
}
