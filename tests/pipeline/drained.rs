//! A beanstalkd in a drain refuses jobs and serves those that it has: its region's queue empties, and it can be retired.

use std::time::SystemTime;

use model::Timestamp;
use serde_json::json;

use crate::complete::wait_until_complete;
use crate::ledger::Ledger;
use crate::rig::{Response, Rig, one_region, signal};
use crate::sender::{FIRST_MINUTE, post_backlog};
use crate::tube::wait_until_empty;

#[tokio::test(flavor = "multi_thread")]
async fn its_queue_empties() {
    let rig = Rig::start(one_region()).await;
    let mut ledger = Ledger::default();
    let region = rig.description().regions["eu"].clone();
    signal("STOP", region.mariadb.pid).await;
    post_backlog(&rig, "eu", &mut ledger).await;
    assert!(rig.tube("eu").await.jobs() > 0, "nothing waits");
    signal("USR1", region.pids.beanstalkd).await;
    signal("CONT", region.mariadb.pid).await;
    wait_until_empty(&rig, "eu").await;
    let refused = rig
        .post("eu", &json!({ "name": "refused", "timestamp": FIRST_MINUTE }))
        .await;
    assert!(
        matches!(
            refused,
            Response {
                status: 503,
                retry_after: true,
                ..
            }
        ),
        "{refused:?}"
    );
    // Empty, it says until when all is complete.
    let emptied = Timestamp::from(SystemTime::now());
    wait_until_complete(&rig, emptied).await;

    // As an operator would retire it: another one takes over at its address.
    signal("TERM", region.pids.beanstalkd).await;
    ledger.acknowledged("after", FIRST_MINUTE, 1);
    rig.post_until_accepted("eu", &json!({ "name": "after", "timestamp": FIRST_MINUTE }))
        .await;
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}
