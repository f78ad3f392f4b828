//! A region's workers are stopped, its ledger is copied, its claims are restated, its binlog must reach back far enough.

use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use store::Error;
use store::upkeep::Offset;

use crate::servers::{LIMIT, Servers, batch, commit, first, try_commit};

/// Much longer than an answer takes.
const LONGER_THAN_AN_ANSWER: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_waits_for_what_is_in_progress_and_refuses_the_rest() {
    let mut servers = Servers::start().await;
    let mut worker = servers.worker("worker-1");
    commit(&mut worker, &[batch(1, "a", 3)], &[]).await;
    let root = servers.description().regions["eu"].mariadb.root();
    let mut in_progress = root.connect().await.unwrap();
    let lock =
        "START TRANSACTION; SELECT movedTo FROM eventtracker.RegionMoved WHERE id = 1 LOCK IN SHARE MODE";
    in_progress.query_drop(lock).await.unwrap();
    // Another transaction of a worker is not held up by it.
    commit(&mut worker, &[batch(2, "a", 4)], &[]).await;
    let mut eu = servers.region("eu");
    {
        let mut fence = std::pin::pin!(eu.set_moved_to(Some("10.1.0.11:3306")));
        let waiting = tokio::time::timeout(LONGER_THAN_AN_ANSWER, &mut fence).await;
        assert!(waiting.is_err(), "the fence did not wait");
        in_progress.query_drop("COMMIT").await.unwrap();
        fence.await.unwrap();
    }

    let refused = try_commit(&mut worker, &[batch(3, "a", 5)], &[])
        .await
        .unwrap_err();
    let sentence = "region eu's database has moved to 10.1.0.11:3306: set [regional]";
    assert!(refused.to_string().contains(sentence), "{refused}");
    assert!(matches!(worker.connect().await, Err(Error::Moved { .. })));
    assert_eq!(
        first(&root, "SELECT total FROM eventtracker.CountedTotal").await,
        Some(7)
    );
    // Whoever came first decides where it goes.
    let elsewhere = eu.set_moved_to(Some("10.1.0.12:3306")).await.unwrap();
    assert_eq!(elsewhere.as_deref(), Some("10.1.0.11:3306"));
    eu.set_moved_to(None).await.unwrap();
    commit(&mut worker, &[batch(3, "a", 5)], &[]).await;
    // What stands in the binlog is the workers' only.
    let log: Vec<Row> = in_progress
        .query("SHOW BINLOG EVENTS IN 'region-bin.000001'")
        .await
        .unwrap();
    let texts = log
        .iter()
        .filter_map(|row| row.get::<Option<String>, _>("Info").flatten());
    assert_eq!(texts.filter(|text| text.contains("RegionMoved (")).count(), 0);
    servers.playground.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_copied_until_both_have_the_same() {
    let mut servers = Servers::start_of(&["eu", "new"], &["new"]).await;
    let mut worker = servers.worker("worker-1");
    let batches: Vec<_> = (0..100).map(|id| batch(id, "a", 3)).collect();
    commit(&mut worker, &batches, &[]).await;
    let (mut from, mut to) = (servers.region("eu"), servers.region("new"));
    let first_copy = store::setup::finish_ledger(&mut from, &mut to, None, |_| {})
        .await
        .unwrap();
    assert_eq!((first_copy.batches, first_copy.flushes), (100, 1));

    // An attempt later on: some batches were pruned meanwhile, others were counted.
    let old = servers.description().regions["eu"].mariadb.root();
    let mut old = old.connect().await.unwrap();
    let age =
        "UPDATE eventtracker.CountedBatch SET countedAt = countedAt + INTERVAL 1 HOUR WHERE batchId >= x'32'";
    let prune = "DELETE FROM eventtracker.CountedBatch WHERE batchId < x'32'";
    let new = servers.description().regions["new"].mariadb.root();
    let mut at_new = new.connect().await.unwrap();
    for conn in [&mut old, &mut at_new] {
        conn.query_drop("SET sql_log_bin = 0").await.unwrap();
        conn.query_drop(age).await.unwrap();
    }
    old.query_drop(prune).await.unwrap();
    commit(&mut worker, &[batch(200, "a", 5)], &[]).await;
    old.query_drop(
        "UPDATE eventtracker.CountedBatch SET countedAt = countedAt + INTERVAL 1 HOUR WHERE total = 5",
    )
    .await
    .unwrap();
    let since = store::setup::copy_ledger(&mut from, &mut to, |_| {})
        .await
        .unwrap();
    let second_copy = store::setup::finish_ledger(&mut from, &mut to, Some(since), |_| {})
        .await
        .unwrap();
    assert_eq!((second_copy.batches, second_copy.flushes), (51, 2));
    assert_eq!((second_copy.totals.total, second_copy.totals.flushes), (305, 2));
    let mark = "SELECT lowest FROM eventtracker.TubeMark WHERE process = 'ab12'";
    assert_eq!(first(&new, mark).await, Some(7));
    assert_eq!(
        first(&new, "SELECT @@gtid_binlog_pos = ''").await,
        Some(1),
        "nothing of it for a centre"
    );

    at_new
        .query_drop("UPDATE eventtracker.CountedBatch SET total = 6 WHERE total = 5")
        .await
        .unwrap();
    let differs = store::setup::finish_ledger(&mut from, &mut to, None, |_| {}).await;
    assert!(matches!(differs, Err(Error::LedgerDiffers { .. })), "{differs:?}");
    servers.playground.stop().await;
}

/// The old server's clock was 90 s ahead, the new one's is 5 s ahead: a claim means the same instant as before.
#[tokio::test(flavor = "multi_thread")]
async fn claims_are_restated_by_the_new_clock() {
    let mut servers = Servers::start().await;
    let mut centre = servers.centre();
    centre.stop_replication("eu").await.unwrap();
    let root = servers.description().central.root();
    let mut conn = root.connect().await.unwrap();
    for setup in [
        "INSERT INTO bigdata_0.RegionClock VALUES ('eu', 'w', '2025-11-22 05:01:30', '2025-11-22 05:01:31')",
        "INSERT INTO bigdata_0.RegionClock VALUES ('us', 'w', '2025-11-22 05:01:30', '2025-11-22 05:01:31')",
        "INSERT INTO eventtracker.ClockOffset VALUES ('eu', 80000, 90000, NOW(3), NOW(3), NULL)",
        "INSERT INTO eventtracker.RegionBinlog VALUES ('eu', 'f', NOW(3))",
    ] {
        conn.query_drop(setup).await.unwrap();
    }
    let offset = Offset {
        ahead_ms: 5_000,
        peak_ms: 5_000,
        peak_at: model::Timestamp::from_unix_ms(1_763_787_600_000),
    };
    // What a keeper has compared with the old server comes too late.
    let of_keeper = centre.upkeep().offset("eu").await.unwrap();
    // The second time, nothing is left to restate.
    for _ in 0..2 {
        centre.restate("eu", offset).await.unwrap();
        assert_eq!(centre.upkeep().offset("eu").await.unwrap(), Some(offset));
        for (sql, expected) in [
            (
                "SELECT SECOND(completeUntil) FROM bigdata_0.RegionClock WHERE region = 'eu'",
                5,
            ),
            (
                "SELECT SECOND(seenAt) FROM bigdata_0.RegionClock WHERE region = 'eu'",
                6,
            ),
            (
                "SELECT SECOND(seenAt) FROM bigdata_0.RegionClock WHERE region = 'us'",
                31,
            ),
            ("SELECT COUNT(*) FROM eventtracker.RegionBinlog", 0),
        ] {
            assert_eq!(first(&root, sql).await, Some(expected), "{sql}");
        }
    }
    let outdated = Offset {
        ahead_ms: 0,
        peak_ms: 0,
        ..offset
    };
    centre
        .upkeep()
        .note_offset("eu", of_keeper, outdated, false)
        .await
        .unwrap();
    assert_eq!(centre.upkeep().offset("eu").await.unwrap(), Some(offset));
    centre
        .upkeep()
        .note_offset("eu", Some(offset), outdated, false)
        .await
        .unwrap();
    assert_eq!(centre.upkeep().offset("eu").await.unwrap(), Some(outdated));
    conn.query_drop("DELETE FROM eventtracker.ClockOffset")
        .await
        .unwrap();
    centre.restate("eu", offset).await.unwrap();
    let unknown = "SELECT COUNT(*) FROM bigdata_0.RegionClock WHERE region = 'eu'";
    assert_eq!(first(&root, unknown).await, Some(0));
    servers.playground.stop().await;
}

/// Milliseconds after 04:59:59 until when the region is complete.
const UNTIL: &str = "SELECT CAST(1000 * (complete_until_unix - UNIX_TIMESTAMP('2025-11-22 04:59:59')) AS SIGNED) \
                     FROM eventtracker.region_health";

/// Region eu has claimed until 05:00:00, and nothing else comes.
async fn with_a_claim() -> (Servers, mysql_async::Conn) {
    let servers = Servers::start().await;
    servers.centre().stop_replication("eu").await.unwrap();
    let mut conn = servers.description().central.root().connect().await.unwrap();
    for setup in [
        "INSERT INTO bigdata_0.RegionStatus (region, source, seenAt, jobsReady, jobsReserved, jobsDelayed, jobsBuried) \
         VALUES ('eu', 's', NOW(3), 0, 0, 0, 0)",
        "INSERT INTO bigdata_0.RegionClock VALUES ('eu', 'w', '2025-11-22 05:00:00', NOW(3))",
    ] {
        conn.query_drop(setup).await.unwrap();
    }
    (servers, conn)
}

fn peak(peak_ms: i64) -> Offset {
    Offset {
        ahead_ms: peak_ms,
        peak_ms,
        peak_at: model::Timestamp::from_unix_ms(1_763_787_600_000),
    }
}

/// Comparisons are as exact as the network is quick: one that took longer may say that the region's clock is further ahead.
#[tokio::test(flavor = "multi_thread")]
async fn a_peak_that_rises_takes_nothing_back() {
    let (mut servers, mut conn) = with_a_claim().await;
    let (mut centre, root) = (servers.centre(), servers.description().central.root());
    let mut noted = None;
    for (claim_ms, peak_ms, expected_ms) in [
        (0, 20, 980),
        (0, 50, 980),
        (29, 50, 980),
        (31, 50, 981),
        (31, 70, 981),
        (31, 10, 1_021),
    ] {
        let moved = format!(
            "UPDATE bigdata_0.RegionClock SET completeUntil = '2025-11-22 05:00:00' + INTERVAL {} MICROSECOND",
            1_000 * claim_ms
        );
        conn.query_drop(moved).await.unwrap();
        let offset = peak(peak_ms);
        centre
            .upkeep()
            .note_offset("eu", noted, offset, false)
            .await
            .unwrap();
        noted = centre.upkeep().offset("eu").await.unwrap();
        assert_eq!(noted, Some(offset));
        assert_eq!(
            first(&root, UNTIL).await,
            Some(expected_ms),
            "{claim_ms} {peak_ms}"
        );
    }
    // By a clock of the centre that was set back since.
    conn.query_drop("UPDATE eventtracker.ClockOffset SET saidUntil = '2037-01-01'")
        .await
        .unwrap();
    assert_eq!(first(&root, UNTIL).await, Some(1_021));
    servers.playground.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_set_takes_back_what_was_said() {
    let (mut servers, _) = with_a_claim().await;
    let (mut centre, root) = (servers.centre(), servers.description().central.root());
    let mut noted = None;
    for (peak_ms, was_set, expected_ms) in [
        (10, false, Some(990)),
        (200, false, Some(990)),
        (10, false, Some(990)),
        (200, true, Some(800)),
        (10, false, Some(990)),
        (store::upkeep::PEAK_NOT_KNOWN_MS, false, None),
        (200, false, Some(800)),
    ] {
        let offset = peak(peak_ms);
        centre
            .upkeep()
            .note_offset("eu", noted, offset, was_set)
            .await
            .unwrap();
        noted = Some(offset);
        let until: Option<i64> = root
            .connect()
            .await
            .unwrap()
            .query_first::<Option<i64>, _>(UNTIL)
            .await
            .unwrap()
            .flatten();
        assert_eq!(until, expected_ms, "{peak_ms} {was_set}");
    }
    servers.playground.stop().await;
}

/// As after a backup of the centre that is too old was restored.
#[tokio::test(flavor = "multi_thread")]
async fn a_binlog_that_does_not_reach_back_is_refused() {
    let mut servers = Servers::start().await;
    let centre = servers.description().central.root();
    let (eu, accounts) = (servers.source("eu"), servers.region_accounts());
    let mut worker = servers.worker("worker-1");
    commit(&mut worker, &[batch(1, "a", 1)], &[]).await;
    servers.wait_for_central_sum(model::EventId::of("a"), 1).await;
    servers.centre().stop_replication("eu").await.unwrap();
    commit(&mut worker, &[batch(2, "a", 2)], &[]).await;
    let root = servers.description().regions["eu"].mariadb.root();
    let mut region = root.connect().await.unwrap();
    region.query_drop("FLUSH BINARY LOGS").await.unwrap();
    // Whole as it is, it is taken up again.
    store::setup::start_source(&centre.clone().into(), &eu, &accounts)
        .await
        .unwrap();
    servers.wait_for_central_sum(model::EventId::of("a"), 3).await;

    servers.centre().stop_replication("eu").await.unwrap();
    commit(&mut worker, &[batch(3, "a", 4)], &[]).await;
    region.query_drop("FLUSH BINARY LOGS").await.unwrap();
    purge_to_newest(&mut region).await;
    let refused = store::setup::start_source(&centre.clone().into(), &eu, &accounts)
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("1 of them are gone; restore a younger backup"),
        "{refused}"
    );
    servers.playground.stop().await;
}

/// A connection is not pointed at another server by the way, and one that a region came to is not begun without its past.
#[tokio::test(flavor = "multi_thread")]
async fn another_server_and_a_past_elsewhere_are_refused() {
    let mut servers = Servers::start_of(&["eu", "us"], &["us"]).await;
    let centre = servers.description().central.root();
    let accounts = servers.region_accounts();
    let us_as_eu = store::Source {
        region: "eu".to_owned(),
        ..servers.source("us")
    };
    let refused = store::setup::start_source(&centre.clone().into(), &us_as_eu, &accounts)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("must move there with its ledger"),
        "{refused}"
    );

    servers
        .region("us")
        .set_moved_from(Some(("us", "10.2.0.10:3306")))
        .await
        .unwrap();
    let us = servers.source("us");
    let refused = store::setup::start_source(&centre.clone().into(), &us, &accounts)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("came to"), "{refused}");
    servers.region("us").set_moved_from(None).await.unwrap();
    store::setup::start_source(&centre.clone().into(), &us, &accounts)
        .await
        .unwrap();
    servers.playground.stop().await;
}

/// The thread that sent a file to the centre keeps it until it notices that the centre has gone.
async fn purge_to_newest(region: &mut Conn) {
    let begun = Instant::now();
    loop {
        let files: Vec<Row> = region.query("SHOW BINARY LOGS").await.unwrap();
        if files.len() == 1 {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{files:?} are still there");
        let newest: String = files.last().unwrap().get(0).unwrap();
        let purge = format!("PURGE BINARY LOGS TO '{newest}'");
        region.query_drop(purge).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
