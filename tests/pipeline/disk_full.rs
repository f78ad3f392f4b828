//! A full disk under the queue, or under the region's database: events are refused or wait, none is lost.

use std::time::Duration;

use playground::Directory;
use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::rig::{Rig, two_regions, wait_until, wait_up_to};
use crate::sender::FIRST_MINUTE;
use crate::small_disk::SmallDisk;
use crate::under_load::{exact_under_load, progress_by, two_of_each};

/// Room for two log files of beanstalkd's, of 10 MiB each.
const QUEUE_MIB: u32 = 24;

/// Events of one request, each with a long name: a few dozen requests fill a log file.
const EVENTS_PER_REQUEST: usize = 4_000;

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
        let mut sent = 0;
        wait_until("events to be refused", async || {
            let refusal = send_many(rig, sent, ledger).await;
            sent += 1;
            let is_refused = refusal.as_ref().is_some_and(|answer| answer["outcome"].is_null());
            is_refused
                .then_some(())
                .ok_or(format!("{refusal:?} to request {sent}"))
        })
        .await;
        disk.free();
        wait_until("events to be taken again", async || {
            let refusal = send_many(rig, sent, ledger).await;
            sent += 1;
            refusal.map_or(Ok(()), |answer| Err(answer.to_string()))
        })
        .await;
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

/// The answer to a request that was refused.
async fn send_many(rig: &Rig, number: usize, ledger: &mut Ledger) -> Option<Value> {
    let name = |n: usize| format!("{}.{number}.{n}", "many".repeat(20));
    let event = |n| json!({ "name": name(n), "timestamp": FIRST_MINUTE });
    let events: Value = (0..EVENTS_PER_REQUEST).map(event).collect();
    let answer = rig.post("eu", &events).await;
    let names = (0..EVENTS_PER_REQUEST).map(name);
    match answer.status {
        202 => names.for_each(|name| ledger.acknowledged(&name, FIRST_MINUTE, 1)),
        _ if answer.json["outcome"] == "unknown" => {
            names.for_each(|name| ledger.doubtful(&name, FIRST_MINUTE, 1))
        }
        _ => {}
    }
    (answer.status != 202).then_some(answer.json)
}

/// A playground whose directory `place` is a small disk.
async fn with_small_disk(place: &str, mib: u32) -> (SmallDisk, Rig) {
    let (dir, options) = (Directory::new().unwrap(), two_regions());
    let data = dir.path().join("data");
    let disk = SmallDisk::mount(&data.join(place), mib).unwrap_or_else(|why| panic!("{why}"));
    // The playground takes a directory for its own, although there is something in it, by this list.
    let regions: String = options.regions.iter().map(|name| format!("{name}\n")).collect();
    std::fs::write(data.join("regions"), regions).unwrap();
    (disk, Rig::start_in(dir, two_of_each(options)).await)
}
