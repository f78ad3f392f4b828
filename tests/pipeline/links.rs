//! The link between a region and the centre is cut, silent, or slow: the region does not wait, and all of it arrives.

use std::collections::BTreeMap;

use playground::{Link, Options, Relay};

use crate::rig::{Rig, two_regions, wait_until};
use crate::under_load::{exact_under_load, progress_by, two_of_each};

/// Acknowledged requests while the link is not as it should be.
const REQUESTS_MEANWHILE: u64 = 200;

/// A tenth of what the load makes of binlog.
const SLOW: Link = Link::Slow { bytes_per_s: 4_000 };

#[tokio::test(flavor = "multi_thread")]
async fn cut() {
    disturbed(Link::Cut).await;
}

/// As a network that drops packets: the connection stays until the centre misses its heartbeats.
#[tokio::test(flavor = "multi_thread")]
async fn silent() {
    disturbed(Link::Silent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow() {
    disturbed(SLOW).await;
}

async fn disturbed(link: Link) {
    let options = two_of_each(two_regions());
    // The second region's MariaDB, by the ports that the playground documents.
    let relay = Relay::start(([127, 0, 0, 1], options.port + 22).into())
        .await
        .unwrap();
    let rig = Rig::start(Options {
        links: BTreeMap::from([("us".to_owned(), relay.address().port())]),
        ..options
    })
    .await;
    exact_under_load(rig, async |rig, progress, _| {
        progress_by(progress, 1).await;
        relay.set(link);
        wait_until("the region to be named", async || {
            let status = rig.get("/v1/status").await.json;
            let regions = status["regions"].as_array().unwrap();
            let us = regions.iter().find(|region| region["region"] == "us").unwrap();
            us["held_back"].as_str().map(|_| ()).ok_or(us.to_string())
        })
        .await;
        progress_by(progress, REQUESTS_MEANWHILE).await;
        relay.set(Link::Open);
        progress_by(progress, 1).await;
    })
    .await;
}
