//! The link between a region and the centre is cut, silent, or slow: the region does not wait, and all of it arrives.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use playground::{Link, Options, Relay};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::centre;
use crate::keeper_watches::binlogs;
use crate::ledger::Ledger;
use crate::rig::{Rig, one_region, signal, two_regions, wait_until};
use crate::sender::FIRST_MINUTE;
use crate::tube::wait_until_empty;
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

/// What a full disk or a power cut leaves of an event at a binlog's end: a centre that has to read beyond it stops, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_binlog_that_ends_in_the_middle_of_an_event_is_read_on() {
    let rig = Rig::start(one_region()).await;
    let mut ledger = Ledger::default();
    let mut conn = centre::connect(&rig.description().central).await;
    conn.query_drop("STOP SLAVE 'eu'").await.unwrap();
    for name in ["before", "behind"] {
        rig.post_until_accepted("eu", &json!({ "name": name, "timestamp": FIRST_MINUTE }))
            .await;
        ledger.acknowledged(name, FIRST_MINUTE, 1);
        wait_until_empty(&rig, "eu").await;
        if name == "before" {
            tear(&rig).await;
        }
    }
    conn.query_drop("START SLAVE 'eu'").await.unwrap();
    ledger.expect_at_centre(&rig).await;
    rig.expect_replication_runs().await;
    let log = std::fs::read_to_string(rig.data_dir().join("logs/central-mariadb.log")).unwrap();
    assert!(log.contains("binlog truncated in the middle of event"), "{log}");
    rig.stop().await;
}

/// Ends the region's database, and its binlog with a part of an event.
async fn tear(rig: &Rig) {
    let newest = binlogs(rig).await.pop().unwrap();
    let pid = rig.description().regions["eu"].mariadb.pid;
    let path = rig.data_dir().join("eu/mariadb/data").join(newest);
    let mut file = tokio::fs::OpenOptions::new()
        .append(true)
        .open(path)
        .await
        .unwrap();
    signal("STOP", pid).await;
    // The head of an event: when, which (a query), by whom, and how long it all is.
    let head = [
        &[0; 4][..],
        &[2],
        &1u32.to_le_bytes(),
        &8_000u32.to_le_bytes(),
        &[0; 6],
    ];
    file.write_all(&head.concat()).await.unwrap();
    file.sync_all().await.unwrap();
    signal("KILL", pid).await;
    wait_until("the database to run again", async || {
        let now = rig.description().regions["eu"].mariadb.pid;
        (now != pid).then_some(()).ok_or(format!("pid is still {pid}"))
    })
    .await;
}
