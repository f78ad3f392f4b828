//! A process that hangs for as long as others feel it, and goes on as if nothing had been: what it knew is out of date then.

use playground::Description;

use crate::rig::{Rig, signal, two_regions, wait_until};
use crate::sender::Progress;
use crate::under_load::{exact_under_load, progress_by, two_of_each};

/// Acknowledged requests after the process goes on.
const REQUESTS_AFTER: u64 = 100;

/// Jobs that wait in a queue whose workers are stopped.
const JOBS_WAITING: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn collector() {
    stopped(
        |description| vec![description.regions["eu"].pids.collector.all()[0]],
        async |_, progress| {
            let refused = progress.refused();
            wait_until("a client to give up on it", async || {
                let now = progress.refused();
                (now > refused).then_some(()).ok_or(format!("{now} refused"))
            })
            .await;
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_workers_of_a_region() {
    stopped(
        |description| description.regions["eu"].pids.worker.all().to_vec(),
        async |rig, _| {
            wait_until("jobs to wait", async || match rig.tube("eu").await {
                tube if tube.ready >= JOBS_WAITING => Ok(()),
                tube => Err(format!("{tube:?}")),
            })
            .await;
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beanstalkd() {
    stopped(
        |description| vec![description.regions["eu"].pids.beanstalkd],
        async |rig, _| grows(rig, &rig.collectors("eu")[0], "queue_calls_abandoned_total").await,
    )
    .await;
}

/// For longer than a transaction may take: whether it was committed is unknown, and the database commits it when it wakes.
#[tokio::test(flavor = "multi_thread")]
async fn regional_mariadb() {
    stopped(
        |description| vec![description.regions["eu"].mariadb.pid],
        async |rig, _| grows(rig, &rig.worker("eu"), "worker_flush_failures_total").await,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn central_mariadb() {
    stopped(
        |description| vec![description.central.pid],
        async |rig, _| {
            wait_until("the api to miss it", async || {
                let answer = rig.get("/v1/names").await;
                (answer.status == 503).then_some(()).ok_or(format!("{answer:?}"))
            })
            .await;
        },
    )
    .await;
}

async fn stopped(victims: impl Fn(&Description) -> Vec<u32>, is_felt: impl AsyncFn(&Rig, &Progress)) {
    let rig = Rig::start(two_of_each(two_regions())).await;
    exact_under_load(rig, async |rig, progress, _| {
        progress_by(progress, REQUESTS_AFTER).await;
        let pids = victims(&rig.description());
        for &pid in &pids {
            signal("STOP", pid).await;
        }
        is_felt(rig, progress).await;
        for &pid in &pids {
            signal("CONT", pid).await;
        }
        progress_by(progress, REQUESTS_AFTER).await;
    })
    .await;
}

/// Waits until a counter of a role is higher than it was.
async fn grows(rig: &Rig, role: &str, counter: &str) {
    let before = rig.counter(role, counter).await;
    wait_until(&format!("{counter} to grow"), async || {
        match rig.counter(role, counter).await {
            now if now > before => Ok(()),
            now => Err(format!("{now}")),
        }
    })
    .await;
}
