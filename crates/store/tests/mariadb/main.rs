//! Against real MariaDB servers: a batch counts once, whoever brings it and however often, and reaches the centre.

#![expect(clippy::disallowed_methods, reason = "tests wait for states, up to a limit")]
#![expect(clippy::unwrap_used, reason = "a step that fails should fail its test")]

mod analysts;
mod filled;
mod kept_days;
mod packing;
mod procedures;
mod relocation;
mod retention;
mod schema;
mod servers;
mod sessions;
mod views;
mod worked_queries;

use std::time::{Duration, Instant};

use hashbrown::HashSet;
use model::{Batch, EventId, Minute, Shard};
use mysql_async::prelude::Queryable;
use store::Error;
use store::regional::Regional;

use servers::{LIMIT, MINUTE_S, Servers, apply, batch, commit, commit_knowing, first, try_commit};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_counts_once() {
    let mut servers = Servers::start().await;
    let mut worker = servers.worker("worker-1");
    let twice = [batch(1, "a", 3), batch(1, "a", 3), batch(2, "a", 4)];
    let committed = commit(&mut worker, &twice, &["a"]).await;
    assert_eq!(
        (
            committed.counted.len(),
            committed.batches_recognised,
            committed.count()
        ),
        (2, 1, 7)
    );
    let committed = commit(&mut worker, &[batch(2, "a", 4), batch(3, "a", 5)], &[]).await;
    assert_eq!(
        (
            committed.counted.len(),
            committed.batches_recognised,
            committed.count()
        ),
        (1, 1, 5)
    );
    servers.wait_for_central_sum(EventId::of("a"), 12).await;

    let central = servers.description().central.root();
    for (sql, expected) in [
        (
            "SELECT popularity FROM bigdata_0.EventTags WHERE tagName = 'a'",
            7,
        ),
        ("SELECT count FROM bigdata_0.RegionMinute WHERE region = 'eu'", 12),
        (
            "SELECT COUNT(*) FROM bigdata_0.RegionStatus WHERE source = 'worker-1'",
            1,
        ),
    ] {
        assert_eq!(first(&central, sql).await, Some(expected), "{sql}");
    }
    assert_eq!(
        first(&central, "SELECT total * 10 + flushes FROM bigdata_0.RegionTotal").await,
        Some(122)
    );
    assert_eq!(
        first(
            &central,
            "SELECT CAST(UNIX_TIMESTAMP(completeUntil) AS UNSIGNED) FROM bigdata_0.RegionClock"
        )
        .await,
        u64::try_from(MINUTE_S).ok()
    );
    let regional = servers.description().regions["eu"].mariadb.root();
    assert_eq!(
        first(&regional, "SELECT total FROM eventtracker.CountedTotal").await,
        Some(12)
    );
    assert_eq!(
        first(
            &regional,
            "SELECT CAST(SUM(total) AS UNSIGNED) FROM eventtracker.CountedBatch"
        )
        .await,
        Some(12)
    );
    servers.playground.stop().await;
}

/// A table of an earlier version becomes what the schema says, with its rows.
#[tokio::test(flavor = "multi_thread")]
async fn the_schema_brings_an_old_table_up_to_date() {
    let mut servers = Servers::start().await;
    let central = servers.description().central.root();
    let mut conn = central.connect().await.unwrap();
    let tables = [
        "bigdata_0.RegionMinute",
        "bigdata_0.EventTags",
        "bigdata_31.EventMinute",
    ];
    for table in tables {
        let old = format!("ALTER TABLE {table} ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8");
        conn.query_drop(old).await.unwrap();
    }
    let row = "INSERT INTO bigdata_0.RegionMinute VALUES ('old', '2025-01-01', 7)";
    conn.query_drop(row).await.unwrap();
    let differences = async || {
        store::setup::check(&central, store::setup::Site::Central)
            .await
            .unwrap()
    };
    let found = differences().await;
    for table in tables {
        let differs = |one: &store::setup::Difference| one.name == table && one.texts.is_some();
        assert!(found.iter().any(differs), "{table}: {found:?}");
    }
    for _ in 0..2 {
        apply(&central, store::setup::Site::Central).await.unwrap();
        assert_eq!(differences().await, []);
    }
    let sum = "SELECT count FROM bigdata_0.RegionMinute WHERE region = 'old'";
    assert_eq!(first(&central, sum).await, Some(7));
    servers.playground.stop().await;
}

/// What is forgotten would count again: only what is old enough goes, and the flushes with it.
#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_pruned_by_age_and_by_one_worker_at_a_time() {
    const COUNT: &str = "SELECT COUNT(*) FROM eventtracker.CountedBatch";
    let mut servers = Servers::start().await;
    let mut worker = servers.worker("worker-1");
    let batches: Vec<_> = (0..=255).map(|id| batch(id, "old", 1)).collect();
    commit(&mut worker, &batches, &[]).await;
    let root = servers.description().regions["eu"].mariadb.root();
    let mut conn = root.connect().await.unwrap();
    let age =
        "UPDATE eventtracker.CountedBatch SET countedAt = countedAt - INTERVAL 1 HOUR WHERE batchId < x'80'";
    conn.query_drop(age).await.unwrap();
    let clock = worker.clock().await.unwrap();
    assert_eq!(clock.mark, Some(servers::mark()));
    let half_an_hour = Duration::from_secs(1_800);

    let locked: Option<u8> = conn
        .query_first("SELECT GET_LOCK('eventtracker.prune', 0)")
        .await
        .unwrap();
    assert_eq!(locked, Some(1));
    assert_eq!(worker.prune(half_an_hour).await.unwrap(), 0);
    conn.query_drop("DO RELEASE_LOCK('eventtracker.prune')")
        .await
        .unwrap();
    assert_eq!(worker.prune(half_an_hour).await.unwrap(), 128);
    assert_eq!(first(&root, COUNT).await, Some(128));
    let again = commit(&mut worker, &batches, &[]).await;
    assert_eq!((again.counted.len(), again.batches_recognised), (128, 128));
    let later = "UPDATE eventtracker.LedgerClock SET reached = reached + INTERVAL 1 HOUR";
    conn.query_drop(later).await.unwrap();
    assert_eq!(worker.prune(half_an_hour).await.unwrap(), 256);
    assert_eq!(
        first(&root, "SELECT COUNT(*) FROM eventtracker.CountedFlush").await,
        Some(0)
    );
    servers.playground.stop().await;
}

/// Another worker may have had the jobs since, and the ledger may have forgotten them.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_for_too_long_is_not_counted() {
    let mut servers = Servers::start().await;
    let mut worker = servers.worker("worker-1");
    let (batches, names) = ([batch(1, "held", 3)], ["held"]);
    let known = HashSet::new();
    let passed = Some(Instant::now());
    let refusal = commit_knowing(&mut worker, &batches, &names, &known, passed).await;
    assert!(matches!(refusal, Err(Error::TooLate)), "{refusal:?}");
    let to_come = Some(Instant::now() + LIMIT);
    let committed = commit_knowing(&mut worker, &batches, &names, &known, to_come).await;
    assert_eq!(
        committed.unwrap().counted.len(),
        1,
        "nothing of it was counted before"
    );
    servers.wait_for_central_sum(EventId::of("held"), 3).await;
    servers.playground.stop().await;
}

/// A row is stamped before the clock is advanced, by 20 s at most, and whole seconds are compared.
#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_keeps_a_batch_for_as_long_as_its_clock_may_lag() {
    let mut servers = Servers::start().await;
    let mut worker = servers.worker("worker-1");
    commit(&mut worker, &[batch(1, "kept", 1)], &["kept"]).await;
    let mut conn = servers.description().regions["eu"]
        .mariadb
        .root()
        .connect()
        .await
        .unwrap();
    let age = Duration::from_secs(600);
    for (older_s, pruned) in [(age.as_secs() + 21, 0), (2, 1)] {
        let later =
            format!("UPDATE eventtracker.LedgerClock SET reached = reached + INTERVAL {older_s} SECOND");
        conn.query_drop(later).await.unwrap();
        assert_eq!(worker.prune(age).await.unwrap(), pruned, "{older_s}");
    }
    servers.playground.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_with_the_same_batches_count_them_once() {
    let mut servers = Servers::start().await;
    let batches: Vec<_> = (0..=255).map(|id| batch(id, "shared", 1)).collect();
    let mut reversed = batches.clone();
    reversed.reverse();
    let (mut one, mut two) = (servers.worker("worker-1"), servers.worker("worker-2"));
    let (first, second) = tokio::join!(commit(&mut one, &batches, &[]), commit(&mut two, &reversed, &[]));
    assert_eq!(first.counted.len() + second.counted.len(), 256);
    assert_eq!(first.batches_recognised + second.batches_recognised, 256);
    servers.wait_for_central_sum(EventId::of("shared"), 256).await;
    servers.playground.stop().await;
}

/// The transaction of a worker whose machine vanished holds an id: the commit waits, loses and is repeated,
/// until the server has ended the idle transaction.
#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_transaction_holds_nobody_up_for_long() {
    let mut servers = Servers::start().await;
    let mut vanished = servers.description().regions["eu"]
        .mariadb
        .root()
        .connect()
        .await
        .unwrap();
    vanished.query_drop("START TRANSACTION").await.unwrap();
    let id = "01".repeat(16);
    let insert = format!(
        "INSERT INTO eventtracker.CountedBatch (batchId, acceptedAt, countedAt, total) VALUES (x'{id}', NOW(), NOW(), 0)"
    );
    vanished.query_drop(insert).await.unwrap();
    let mut worker = servers.worker("worker-1");
    let committed = commit(&mut worker, &[batch(1, "blocked", 2)], &[]).await;
    assert_eq!((committed.counted.len(), committed.count()), (1, 2));
    assert!(
        vanished.query_drop("COMMIT").await.is_err(),
        "the server has ended the idle session"
    );
    servers.wait_for_central_sum(EventId::of("blocked"), 2).await;
    servers.playground.stop().await;
}

/// MariaDB shows the statement with all its bytes, and those of a block are no text.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_the_centre_cannot_take_is_told_of_and_taken_later() {
    let mut servers = Servers::start().await;
    let id = EventId::of("many");
    let minute = |n: i64| Minute::from_unix_s(MINUTE_S + 60 * n).unwrap();
    let counts = (0..5_000).map(|n| (id, minute(n), 1_000_000 + n.unsigned_abs() * 7_919));
    let many = Batch {
        counts: counts.collect(),
        ..batch(1, "many", 1)
    };
    let sum = many.counts.iter().map(|count| count.2).sum();
    let block = format!("{}.EventBlock", Shard::of(id));
    let mut root = servers.description().central.root().connect().await.unwrap();
    root.query_drop(format!("RENAME TABLE {block} TO {block}Away"))
        .await
        .unwrap();
    commit(&mut servers.worker("worker-1"), &[many], &["many"]).await;
    let mut centre = servers.centre();
    let begun = Instant::now();
    let error = loop {
        let sources = centre.upkeep().sources().await.unwrap();
        if !sources[0].last_error.is_empty() {
            break sources[0].last_error.clone();
        }
        assert!(begun.elapsed() < LIMIT, "the centre has taken it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(error.contains(&block) && error.ends_with('…'), "{error}");
    root.query_drop(format!("RENAME TABLE {block}Away TO {block}"))
        .await
        .unwrap();
    centre.start_replication("eu").await.unwrap();
    servers.wait_for_central_sum(id, sum).await;
    servers.playground.stop().await;
}

/// On a server without a binlog a commit would succeed, and the counts would be gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_would_lose_counts_is_refused() {
    let mut servers = Servers::start().await;
    let mut worker = Regional::new(servers.description().central.root(), "eu", "worker-1").unwrap();
    let refusal = worker.connect().await.unwrap_err().to_string();
    assert!(
        refusal.contains("log_bin = OFF") && refusal.contains("mariadb-region.cnf"),
        "{refusal}"
    );

    let regional = servers.description().regions["eu"].mariadb.root();
    let mut root = regional.connect().await.unwrap();
    root.query_drop("SET GLOBAL sync_binlog = 0").await.unwrap();
    let refusal = servers
        .worker("worker-1")
        .connect()
        .await
        .unwrap_err()
        .to_string();
    assert!(refusal.contains("sync_binlog = 0"), "{refusal}");
    root.query_drop("SET GLOBAL sync_binlog = 1").await.unwrap();
    servers.worker("worker-1").connect().await.unwrap();
    servers.playground.stop().await;
}

/// A second name for the same server stands for two regions with one identity.
#[tokio::test(flavor = "multi_thread")]
async fn two_sources_with_one_identity_are_refused() {
    let mut servers = Servers::start().await;
    let twin = store::Source {
        region: "twin".to_owned(),
        ..servers.source("eu")
    };
    let refusal = store::setup::start_source(
        &servers.description().central.root().into(),
        &twin,
        &servers.region_accounts(),
    )
    .await
    .unwrap_err();
    assert!(refusal.to_string().contains("both have server_id"), "{refusal}");
    servers.playground.stop().await;
}

/// `INSERT IGNORE` passes over it as over a known one, and its job would be deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_the_ledger_does_not_take_is_not_taken_for_a_known_one() {
    let mut servers = Servers::start().await;
    let root = servers.description().regions["eu"].mariadb.root();
    let mut conn = root.connect().await.unwrap();
    conn.query_drop("SET sql_log_bin = 0").await.unwrap();
    let alter = "ALTER TABLE eventtracker.CountedBatch";
    conn.query_drop(format!("{alter} ADD CONSTRAINT others CHECK (total <> 13)"))
        .await
        .unwrap();
    let mut worker = servers.worker("worker-1");
    commit(&mut worker, &[batch(1, "a", 3)], &["a"]).await;
    let batches = [batch(1, "a", 3), batch(2, "a", 13), batch(3, "a", 4)];
    let refusal = try_commit(&mut worker, &batches, &[]).await.unwrap_err();
    assert!(refusal.to_string().contains("counts would vanish"), "{refusal}");
    conn.query_drop(format!("{alter} DROP CONSTRAINT others"))
        .await
        .unwrap();
    let committed = commit(&mut worker, &batches, &[]).await;
    assert_eq!(
        (committed.counted.len(), committed.batches_recognised),
        (2, 1),
        "nothing of it was counted before"
    );
    servers.wait_for_central_sum(EventId::of("a"), 20).await;
    servers.playground.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_without_a_name_is_refused() {
    let mut servers = Servers::start().await;
    let mut worker = servers.worker("worker-1");
    let batches = [batch(1, "a", 3), batch(2, "b", 4)];
    let nothing = hashbrown::HashSet::new();
    let refusal = commit_knowing(&mut worker, &batches, &["a"], &nothing, None)
        .await
        .unwrap_err();
    assert!(refusal.to_string().contains("has no name"), "{refusal}");
    let committed = commit(&mut worker, &batches, &["a", "b"]).await;
    assert_eq!((committed.counted.len(), committed.count()), (2, 7));
    servers.playground.stop().await;
}

/// More rows than one statement takes, in every shard.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_flush_is_one_transaction() {
    let mut servers = Servers::start().await;
    let minute = Minute::from_unix_s(MINUTE_S).unwrap();
    let counts = (0..100_000_u64)
        .map(|n| (EventId(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)), minute, 1))
        .collect();
    let large = Batch {
        counts,
        ..batch(9, "", 1)
    };
    let committed = commit(&mut servers.worker("worker-1"), &[large], &[]).await;
    assert_eq!((committed.rows, committed.count()), (100_000, 100_000));
    servers
        .wait_for_central_sum(EventId(0x9e37_79b9_7f4a_7c15), 1)
        .await;
    let central = servers.description().central.root();
    assert_eq!(
        first(&central, "SELECT count FROM bigdata_0.RegionMinute").await,
        Some(100_000)
    );
    servers.playground.stop().await;
}
