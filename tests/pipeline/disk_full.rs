//! A full disk under the queue, or under the region's database: events are refused or wait, none is lost.

use std::time::Duration;

use playground::Directory;
use serde_json::{Value, json};

use crate::rig::{Rig, two_regions, wait_until, wait_up_to};
use crate::sender::FIRST_MINUTE;
use crate::small_disk::{QUEUE_MIB, SmallDisk, pad_queue, prepare};
use crate::under_load::{exact_under_load, progress_by, two_of_each};

/// A new MariaDB's files, and room for the log of a test.
const DATABASE_MIB: u32 = 400;

/// MariaDB looks once a minute whether there is room for its binlog again.
const ROOM_IS_SEEN: Duration = Duration::from_secs(150);

/// Acknowledged requests before and after.
const REQUESTS: u64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn of_the_queue() {
    let (disk, rig) = with_small_disk("eu/beanstalkd", QUEUE_MIB).await;
    exact_under_load(rig, async |rig, progress, ledger| {
        progress_by(progress, REQUESTS).await;
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
    let (disk, rig) = with_small_disk("eu/mariadb", DATABASE_MIB).await;
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

/// A playground whose directory `place` is a small disk.
async fn with_small_disk(place: &str, mib: u32) -> (SmallDisk, Rig) {
    let (dir, options) = (Directory::new().unwrap(), two_regions());
    let data = dir.path().join("data");
    let disk = SmallDisk::mount(&data.join(place), mib).unwrap_or_else(|why| panic!("{why}"));
    prepare(&data, &options.regions);
    (disk, Rig::start_in(dir, two_of_each(options)).await)
}
