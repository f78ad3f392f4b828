//! A connection to a region's outbox, checked so that a count which is committed on it reaches the centre.

use std::collections::HashMap;
use std::time::Duration;

use model::Shard;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::{Error, Server};

/// Longest wait for the answer to one check.
pub(crate) const CHECK_LIMIT: Duration = Duration::from_secs(5);

/// Seconds after which the server ends a transaction that was left alone, and frees its locks: a worker whose machine vanished would hold
/// up all others, or a region that is to move, for hours. A living worker's statements follow each other within milliseconds.
const IDLE_LIMIT_S: u32 = 10;

/// The settings that a region's server must have: with anything else, counts are lost without an error.
const SETTINGS: [(&str, &str); 7] = [
    ("log_bin", "ON"),
    ("sql_log_bin", "ON"),
    ("binlog_format", "STATEMENT"),
    ("tx_isolation", "REPEATABLE-READ"),
    ("gtid_strict_mode", "ON"),
    ("sync_binlog", "1"),
    ("innodb_flush_log_at_trx_commit", "1"),
];

/// Connects, and refuses a server on which a committed count would not reach the centre, or which `region` has left.
pub(crate) async fn connect(server: &Server, region: &str) -> Result<Conn, Error> {
    let setup = format!(
        "SET SESSION idle_write_transaction_timeout = {IDLE_LIMIT_S}, idle_readonly_transaction_timeout = {IDLE_LIMIT_S}"
    );
    let mut conn = server.connect_with(&[setup]).await?;
    let settings = checked(server, &mut conn).await?;
    let moved = server.limited("look for a move", CHECK_LIMIT, moved_to(&mut conn));
    let blocks_missing = Shard::all().count().saturating_sub(settings.block_tables);
    if blocks_missing > 0 {
        // A schema of an earlier version. Refused now: most flushes would do without these tables, and the first large one would fail.
        return Err(Error::Tables {
            server: server.to_string(),
            count: blocks_missing,
            table: "bigdata_0.EventBlock".to_owned(),
            engine: "BLACKHOLE".to_owned(),
        });
    }
    match moved.await? {
        None => Ok(conn),
        Some(to) => Err(Error::Moved {
            region: region.to_owned(),
            to,
        }),
    }
}

/// The question where the region's counts are written instead. Its shared lock is the transaction's until it ends: whoever sets the fence
/// waits for it, and other workers do not.
pub(crate) const MOVED_TO_LOCKED: &str =
    "SELECT movedTo FROM eventtracker.RegionMoved WHERE id = 1 LOCK IN SHARE MODE";

async fn moved_to(conn: &mut Conn) -> Result<Option<String>, mysql_async::Error> {
    let row: Option<Option<String>> = conn
        .query_first("SELECT movedTo FROM eventtracker.RegionMoved WHERE id = 1")
        .await?;
    Ok(row.flatten())
}

/// Refuses a server whose settings lose counts.
///
/// # Errors
/// `Setting` or `NotAnOutbox`; or the server refused or did not answer.
pub(crate) async fn checked(server: &Server, conn: &mut Conn) -> Result<Settings, Error> {
    let settings = server
        .limited("check the settings", CHECK_LIMIT, read(conn))
        .await?;
    check_settings(server, &settings)?;
    Ok(settings)
}

fn check_settings(server: &Server, settings: &Settings) -> Result<(), Error> {
    for (setting, must_be) in SETTINGS {
        let is = settings.variables.get(setting).cloned().unwrap_or_default();
        if is != must_be {
            return Err(Error::Setting {
                server: server.to_string(),
                setting,
                is,
                must_be,
            });
        }
    }
    if settings.outbox_tables_not_blackhole > 0 {
        return Err(Error::NotAnOutbox {
            server: server.to_string(),
        });
    }
    Ok(())
}

/// The settings of a server that counting depends on.
pub(crate) struct Settings {
    /// System variables of the session, by name.
    variables: HashMap<String, String>,
    outbox_tables_not_blackhole: u64,
    /// Number of `EventBlock` tables; each shard needs one.
    block_tables: usize,
}

async fn read(conn: &mut Conn) -> Result<Settings, mysql_async::Error> {
    const TABLES: &str = "SELECT CAST(COALESCE(SUM(ENGINE <> 'BLACKHOLE'), 0) AS UNSIGNED), \
         CAST(COALESCE(SUM(TABLE_NAME = 'EventBlock'), 0) AS UNSIGNED) \
         FROM information_schema.TABLES WHERE TABLE_SCHEMA LIKE 'bigdata\\_%'";
    let names = SETTINGS.map(|(name, _)| format!("'{name}'")).join(", ");
    let show = format!("SHOW SESSION VARIABLES WHERE Variable_name IN ({names})");
    let variables: Vec<(String, String)> = conn.query(show).await?;
    let (outbox_tables_not_blackhole, block_tables) = conn.query_first(TABLES).await?.unwrap_or_default();
    Ok(Settings {
        variables: variables.into_iter().collect(),
        outbox_tables_not_blackhole,
        block_tables,
    })
}
