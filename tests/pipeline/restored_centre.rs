//! A centre that is restored from an old backup takes up where the backup was made, and is exact again.

use std::path::Path;
use std::process::Command;

use mysql_async::prelude::Queryable;
use serde_json::json;

use crate::ledger::Ledger;
use crate::rig::{Rig, two_regions};

const MINUTE: i64 = 1_763_787_600;

#[tokio::test(flavor = "multi_thread")]
async fn takes_up_where_the_backup_was_made() {
    let options = two_regions();
    let rig = Rig::start(options.clone()).await;
    let mut ledger = Ledger::default();
    count(&rig, &mut ledger, "before", 3).await;
    let dir = rig.stop().await;

    let (data, backup) = (dir.path().join("data/central/data"), dir.path().join("backup"));
    copy(&data, &backup);
    let rig = Rig::start_in(dir, options.clone()).await;
    count(&rig, &mut ledger, "after", 5).await;
    count(&rig, &mut ledger, "before", 7).await;
    for region in rig.description().regions.values() {
        // The centre must read on from a file that it had not seen.
        let mut conn = region.mariadb.root().connect().await.unwrap();
        conn.query_drop("FLUSH BINARY LOGS").await.unwrap();
    }
    count(&rig, &mut ledger, "last", 11).await;
    let dir = rig.stop().await;

    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    let rig = Rig::start_in(dir, options).await;
    ledger.expect_at_centre(&rig).await;
    rig.expect_replication_runs().await;
    rig.stop().await;
}

/// Counts in every region, and waits until all is at the centre.
async fn count(rig: &Rig, ledger: &mut Ledger, name: &str, count: u64) {
    for region in rig.regions() {
        let event = json!({ "name": name, "timestamp": MINUTE, "count": count });
        rig.post_until_accepted(&region, &event).await;
        ledger.acknowledged(name, MINUTE, count);
    }
    ledger.expect_at_centre(rig).await;
    for region in rig.regions() {
        // The marks of that comparison stay counted.
        ledger.acknowledged(&format!("test.mark.{region}"), 1_700_000_040, 1);
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success(), "cp {} {}", from.display(), to.display());
}
