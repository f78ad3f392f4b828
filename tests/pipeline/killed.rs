//! `kill -9` of each process, one at a time, under load: after recovery, what is counted is what was acknowledged.

use playground::Description;

use crate::rig::{Rig, signal, two_regions, wait_until};
use crate::under_load::{exact_under_load, progress_by, two_of_each};

/// Acknowledged requests between two disturbances.
const REQUESTS_BETWEEN: u64 = 100;

/// Kills of the same process in one test: a first kill may miss the moment that matters.
const KILLS: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn worker() {
    disturbed("KILL", |description| {
        description.regions["eu"].pids.worker.all()[0]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn collector() {
    disturbed("KILL", |description| {
        description.regions["eu"].pids.collector.all()[0]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beanstalkd() {
    disturbed("KILL", |description| description.regions["eu"].pids.beanstalkd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn regional_mariadb() {
    disturbed("KILL", |description| description.regions["eu"].mariadb.pid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn central_mariadb() {
    disturbed("KILL", |description| description.central.pid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn collector_told_to_stop() {
    disturbed("TERM", |description| {
        description.regions["eu"].pids.collector.all()[0]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_told_to_stop() {
    disturbed("TERM", |description| {
        description.regions["eu"].pids.worker.all()[0]
    })
    .await;
}

async fn disturbed(signal_name: &str, victim: impl Fn(&Description) -> u32) {
    let rig = Rig::start(two_of_each(two_regions())).await;
    exact_under_load(rig, async |rig, progress, _| {
        for _ in 0..KILLS {
            progress_by(progress, REQUESTS_BETWEEN).await;
            let pid = victim(&rig.description());
            signal(signal_name, pid).await;
            wait_until(
                "the playground to restart what was killed",
                async || match victim(&rig.description()) {
                    same if same == pid => Err(format!("pid is still {pid}")),
                    _ => Ok(()),
                },
            )
            .await;
            progress_by(progress, REQUESTS_BETWEEN).await;
        }
    })
    .await;
}
