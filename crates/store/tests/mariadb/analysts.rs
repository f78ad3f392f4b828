//! What an analyst's session may do, and what keeps it from getting in the way of others.

use model::EventId;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use store::setup::{Role, Site};
use store::{Password, Server};

use crate::filled::{rows, texts};
use crate::servers::{Servers, apply, batch, commit};

const UNLIMITED: &str = "18446744073709551615";

async fn code(conn: &mut Conn, sql: &str) -> u16 {
    match conn.query_drop(sql).await {
        Err(mysql_async::Error::Server(error)) => error.code,
        other => panic!("{sql}: {other:?}"),
    }
}

/// Statement time, rows, memory, and whether it only reads.
async fn limits(server: &Server) -> Vec<String> {
    let mut conn = server.connect().await.unwrap();
    let sql = "SELECT @@max_statement_time, @@sql_select_limit, @@max_session_mem_used, @@tx_read_only";
    texts(&mut conn, sql)
        .await
        .remove(0)
        .into_iter()
        .flatten()
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_for_analysts_and_for_nobody_else() {
    let mut servers = Servers::start().await;
    let root = servers.centre_root();
    assert_eq!(
        limits(&servers.analyst()).await,
        ["300.000000", "1000000", "268435456", "1"]
    );
    for role in ["api", "keeper"] {
        let account = servers.account(role);
        let server = root.with_user(&account.user, Some(account.password));
        assert_eq!(
            limits(&server).await,
            ["0.000000", UNLIMITED, "9223372036854775807", "0"],
            "{role}"
        );
    }
    assert_eq!(limits(&root).await[1], UNLIMITED);

    let mut analyst = servers.analyst().connect().await.unwrap();
    let million_and_one = "SELECT 1 FROM JSON_TABLE(CONCAT('[0', REPEAT(',0', 1000000), ']'), '$[*]' COLUMNS (n FOR ORDINALITY)) AS t";
    assert_eq!(rows::<u8>(&mut analyst, million_and_one).await.len(), 1_000_000);
    // What exceeds a session's memory is refused.
    analyst
        .query_drop("SET max_session_mem_used = 8192")
        .await
        .unwrap();
    assert_eq!(code(&mut analyst, million_and_one).await, 1290);

    let mut sessions = Vec::new();
    for _ in 0..19 {
        sessions.push(servers.analyst().connect().await.unwrap());
    }
    let refused = servers.analyst().connect().await.unwrap_err();
    assert!(
        refused.with_causes().contains("max_user_connections"),
        "{}",
        refused.with_causes()
    );
    servers.playground.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn analysts_read_counts_and_nothing_else() {
    const DENIED_TO_DATABASE: u16 = 1044;
    const DENIED_TO_TABLE: u16 = 1142;
    const DENIED: u16 = 1227;
    const READ_ONLY: u16 = 1792;
    let mut servers = Servers::start().await;
    let mut analyst = servers.analyst().connect().await.unwrap();
    for sql in [
        "SELECT * FROM bigdata_31.EventMinute",
        "SELECT * FROM bigdata_0.EventDay",
        "SELECT * FROM eventtracker.event_minutes WHERE eventId = 1",
        "SELECT * FROM eventtracker.event_days WHERE eventId = 1",
        "SELECT * FROM eventtracker.event_tags",
        "SELECT * FROM eventtracker.region_minutes",
        "SELECT * FROM eventtracker.Annotation",
        "SELECT * FROM eventtracker.alarms",
        "SELECT * FROM eventtracker.region_health",
        "EXPLAIN SELECT * FROM eventtracker.event_minutes WHERE eventId = 1",
        "SHOW CREATE VIEW eventtracker.event_days",
        "CALL eventtracker.top_names('2025-01-01', '2025-01-02', 3)",
    ] {
        analyst.query_drop(sql).await.unwrap();
    }
    assert_eq!(
        code(&mut analyst, "SELECT * FROM bigdata_0.EventDay FOR UPDATE").await,
        READ_ONLY
    );
    // What a session can lift guards against mistakes; without it stand the rights.
    analyst.query_drop("SET tx_read_only = OFF").await.unwrap();
    for (sql, refused) in [
        (
            "INSERT INTO bigdata_0.EventTags VALUES (1, 'a', 1)",
            DENIED_TO_TABLE,
        ),
        (
            "INSERT INTO eventtracker.event_tags VALUES (1, 'a', 1)",
            DENIED_TO_TABLE,
        ),
        (
            "UPDATE eventtracker.region_minutes SET count = 0",
            DENIED_TO_TABLE,
        ),
        ("DELETE FROM bigdata_0.EventDay", DENIED_TO_TABLE),
        (
            "CREATE TEMPORARY TABLE bigdata_0.Mine (a INT)",
            DENIED_TO_DATABASE,
        ),
        (
            "CREATE TEMPORARY TABLE eventtracker.Mine (a INT)",
            DENIED_TO_DATABASE,
        ),
        ("LOCK TABLES bigdata_0.EventMinute READ", DENIED_TO_DATABASE),
        ("FLUSH TABLES bigdata_0.EventMinute WITH READ LOCK", DENIED),
        ("SELECT * FROM eventtracker.RegionBinlog", DENIED_TO_TABLE),
        ("DROP VIEW eventtracker.event_days", DENIED_TO_TABLE),
        ("STOP ALL SLAVES", DENIED),
        ("SET GLOBAL sql_select_limit = DEFAULT", DENIED),
    ] {
        assert_eq!(code(&mut analyst, sql).await, refused, "{sql}");
    }
    servers.playground.stop().await;
}

/// The only lock that an analyst can take and forget: replication waits for it, and goes on when the server has ended
/// the transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_lock_does_not_hold_up_replication_for_long() {
    let mut servers = Servers::start().await;
    let mut worker = servers.worker("worker-1");
    let id = EventId::of("a");
    commit(&mut worker, &[batch(1, "a", 3)], &["a"]).await;
    servers.wait_for_central_sum(id, 3).await;
    let mut root = servers.centre_root().connect().await.unwrap();
    root.query_drop("SET GLOBAL idle_transaction_timeout = 3")
        .await
        .unwrap();
    let mut analyst = servers.analyst().connect().await.unwrap();
    analyst.query_drop("START TRANSACTION").await.unwrap();
    let lock = format!("SELECT * FROM eventtracker.event_minutes WHERE eventId = {id} LOCK IN SHARE MODE");
    analyst.query_drop(lock).await.unwrap();
    let shard = model::Shard::of(id);
    let lock = format!("SELECT * FROM {shard}.EventMinute WHERE eventId = {id} LOCK IN SHARE MODE");
    analyst.query_drop(lock).await.unwrap();
    commit(&mut worker, &[batch(2, "a", 4)], &[]).await;
    servers.wait_for_central_sum(id, 7).await;
    assert!(
        analyst.query_drop("SELECT 1").await.is_err(),
        "the server has ended the analyst's session"
    );
    servers.playground.stop().await;
}

/// The views and the analysts' account outlive the administrator who made them.
#[tokio::test(flavor = "multi_thread")]
async fn views_outlive_the_administrator() {
    let mut servers = Servers::start().await;
    let mut root = servers.centre_root().connect().await.unwrap();
    for sql in [
        "CREATE USER successor@localhost IDENTIFIED BY 'a-password'",
        "GRANT ALL ON *.* TO successor@localhost WITH GRANT OPTION",
        "DROP USER root@localhost",
    ] {
        root.query_drop(sql).await.unwrap();
    }
    root.disconnect().await.unwrap();
    let file = servers.dir.path().join("passwords/successor");
    std::fs::write(&file, "a-password\n").unwrap();
    let successor = servers
        .centre_root()
        .with_user("successor", Some(Password::File(file)));

    let mut analyst = servers.analyst().connect().await.unwrap();
    for sql in [
        "SELECT * FROM eventtracker.event_minutes WHERE eventId = 1",
        "CALL eventtracker.top_names('2025-01-01', '2025-01-02', 3)",
    ] {
        analyst.query_drop(sql).await.unwrap();
    }
    apply(&successor, Site::Central).await.unwrap();
    Role::Analyst
        .ensure(&servers.account("analyst"), &successor)
        .await
        .unwrap();
    assert_eq!(store::setup::check(&successor, Site::Central).await.unwrap(), []);
    assert_eq!(limits(&servers.analyst()).await[1], "1000000");

    // Nobody is left to give the role to another account; the refusal says what helps.
    let mut other = servers.account("analyst");
    "another_analyst".clone_into(&mut other.user);
    let refusal = Role::Analyst
        .ensure(&other, &successor)
        .await
        .unwrap_err()
        .to_string();
    assert!(refusal.contains("drop the role and repeat"), "{refusal}");
    let mut conn = successor.connect().await.unwrap();
    conn.query_drop("DROP ROLE eventtracker_analysts").await.unwrap();
    apply(&successor, Site::Central).await.unwrap();
    for account in [&other, &servers.account("analyst")] {
        Role::Analyst.ensure(account, &successor).await.unwrap();
        let server = successor.with_user(&account.user, Some(account.password.clone()));
        assert_eq!(limits(&server).await[1], "1000000");
        let mut conn = server.connect().await.unwrap();
        conn.query_drop("SELECT * FROM eventtracker.event_days")
            .await
            .unwrap();
    }
    servers.playground.stop().await;
}
