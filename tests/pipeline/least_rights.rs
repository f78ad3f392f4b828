//! Each account can do its work and nothing else.

use mysql_async::prelude::Queryable;
use playground::Database;
use serde_json::json;
use store::{Password, Server};

use crate::rig::{Rig, one_region};

async fn refused(server: &Server, sql: &str) {
    let mut conn = server.connect().await.unwrap();
    // Analysts' sessions begin as readers, which they can change: it is rights that count.
    conn.query_drop("SET tx_read_only = OFF").await.unwrap();
    let error = conn.query_drop(sql).await.unwrap_err();
    // 1044, 1142, 1227, 1370: access denied to a database, to a table, for lack of a global right, to a routine.
    let denied =
        matches!(&error, mysql_async::Error::Server(e) if [1044, 1142, 1227, 1370].contains(&e.code));
    assert!(denied, "{server:?}: {sql}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_each_account() {
    let rig = Rig::start(one_region()).await;
    assert_eq!(rig.post("eu", &json!({ "name": "a.name" })).await.status, 202);
    let description = rig.description();
    let as_user = |database: &Database, role: &str| {
        let user = format!("eventtracker_{role}");
        let password = Password::File(rig.data_dir().join("passwords").join(&user));
        database.root().with_user(&user, Some(password))
    };
    let regional = &description.regions["eu"].mariadb;

    let worker = as_user(regional, "worker");
    refused(&worker, "DELETE FROM eventtracker.CountedTotal").await;
    refused(&worker, "PURGE BINARY LOGS BEFORE NOW()").await;
    refused(&worker, "UPDATE eventtracker.CountedBatch SET total = 0").await;
    refused(&worker, "DROP TABLE bigdata_0.EventTags").await;
    refused(&worker, "SET sql_log_bin = 0").await;
    refused(&worker, "SELECT * FROM mysql.user").await;
    refused(&worker, "UPDATE eventtracker.RegionMoved SET movedTo = NULL").await;
    let replication = as_user(regional, "replication");
    refused(&replication, "SELECT * FROM eventtracker.CountedBatch").await;
    refused(&replication, "INSERT INTO bigdata_0.EventTags VALUES (1, 'a', 1)").await;

    let keeper = as_user(regional, "keeper");
    refused(&keeper, "DELETE FROM eventtracker.CountedBatch").await;
    refused(&keeper, "UPDATE eventtracker.CountedBatch SET total = 0").await;
    refused(&keeper, "DELETE FROM eventtracker.RegionMoved").await;
    refused(&keeper, "INSERT INTO bigdata_0.EventTags VALUES (1, 'a', 1)").await;
    let keeper = as_user(&description.central, "keeper");
    refused(&keeper, "UPDATE bigdata_0.EventBlock SET counts = '[]'").await;
    refused(
        &keeper,
        "INSERT INTO bigdata_0.EventBlock VALUES (NOW(), '', '[]')",
    )
    .await;
    refused(&keeper, "DELETE FROM bigdata_0.EventDay").await;
    refused(&keeper, "DELETE FROM bigdata_0.RegionMinute").await;
    refused(&keeper, "STOP ALL SLAVES").await;
    refused(&keeper, "START SLAVE 'eu'").await;

    for role in ["api", "analyst"] {
        let reader = as_user(&description.central, role);
        let mut conn = reader.connect().await.unwrap();
        conn.query_drop("SELECT * FROM bigdata_31.EventMinute")
            .await
            .unwrap();
        refused(&reader, "INSERT INTO bigdata_0.EventTags VALUES (1, 'a', 1)").await;
        refused(&reader, "DELETE FROM bigdata_0.EventMinute").await;
        refused(&reader, "CREATE TABLE bigdata_0.Mine (a INT)").await;
        refused(&reader, "STOP ALL SLAVES").await;
        refused(&reader, "CALL bigdata_0.read_on('eu')").await;
    }

    let api = as_user(&description.central, "api");
    refused(&api, "UPDATE eventtracker.Annotation SET what = ''").await;
    refused(&api, "DELETE FROM eventtracker.Alarm").await;
    let analyst = as_user(&description.central, "analyst");
    refused(&analyst, "DELETE FROM eventtracker.Annotation").await;

    // Nobody is root over TCP, and nobody is nobody.
    for (user, database) in [
        ("root", regional),
        ("root", &description.central),
        ("", &description.central),
    ] {
        let tcp = Server {
            socket: None,
            ..database.root().with_user(user, None)
        };
        assert!(tcp.connect().await.is_err(), "'{user}' came in over TCP");
    }
    rig.stop().await;
}
