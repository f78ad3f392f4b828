//! The power goes, under load: what was acknowledged was on a disk, and nothing is counted twice when it is back.

use playground::{Directory, Options};

use crate::machines::Machines;
use crate::rig::{Rig, two_regions};
use crate::under_load::{exact_under_load, progress_by, two_of_each};

/// Acknowledged requests between two cuts.
const REQUESTS_BETWEEN: u64 = 60;

const CUTS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn of_the_queue() {
    cut(&["eu/beanstalkd"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_regional_database() {
    cut(&["eu/mariadb"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_centre() {
    cut(&["central"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_region() {
    cut(&["eu/beanstalkd", "eu/mariadb"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_everything() {
    cut(&[
        "eu/beanstalkd",
        "eu/mariadb",
        "us/beanstalkd",
        "us/mariadb",
        "central",
    ])
    .await;
}

async fn cut(servers: &[&str]) {
    let (dir, options) = (Directory::new().unwrap(), two_of_each(two_regions()));
    let data = dir.path().join("data");
    let machines = Machines::mount(&data, &options.regions, servers);
    let rig = Rig::start_in(dir, Options { ..options }).await;
    machines.sync();
    exact_under_load(rig, async |rig, progress, _| {
        for _ in 0..CUTS {
            progress_by(progress, REQUESTS_BETWEEN).await;
            let forgotten = machines.cut(rig, servers).await;
            println!("{forgotten:?}");
            progress_by(progress, REQUESTS_BETWEEN).await;
        }
    })
    .await;
}
