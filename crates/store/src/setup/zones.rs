//! MariaDB's time zones: without them `CONVERT_TZ()` is NULL for every row, and no session can be set to `Europe/Berlin`.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use tokio::process::Command;

use crate::{Error, Server};

/// The program that writes the zones of a directory as SQL; a part of Debian's `mariadb-client`.
const PROGRAM: &str = "mariadb-tzinfo-to-sql";

/// The directory of the IANA database as Debian installs it.
const DIRECTORY: &str = "/usr/share/zoneinfo";

/// Zones that are there twice: the same once more, and with leap seconds, which MariaDB's clock does not have.
const TWINS: [&str; 2] = ["('posix/", "('right/"];

/// The beginning of each zone's SQL.
const ZONE: &str = "INSERT INTO time_zone (Use_leap_seconds)";

/// Longest wait for the program, and for the server.
const LOAD_LIMIT: Duration = Duration::from_secs(60);

/// Whether the server has no time zones by name.
///
/// # Errors
/// The server refused or did not answer.
pub async fn lacks_zones(server: &Server) -> Result<bool, Error> {
    const SQL: &str = "SELECT CONVERT_TZ('2026-07-01 00:00:00', 'UTC', 'Europe/Berlin') IS NULL";
    let mut conn = server.connect().await?;
    let lacks: Option<bool> = server
        .limited("look for time zones", LOAD_LIMIT, conn.query_first(SQL))
        .await?;
    Ok(lacks.unwrap_or(true))
}

/// Gives the server the zones of this machine, if it has none. Returns whether it did.
///
/// # Errors
/// `Zones` where this machine does not have them; the server refused or did not answer.
pub async fn load_zones(admin: &Server) -> Result<bool, Error> {
    if !lacks_zones(admin).await? {
        return Ok(false);
    }
    let output = Command::new(PROGRAM).arg(DIRECTORY).kill_on_drop(true).output();
    let output = tokio::time::timeout(LOAD_LIMIT, output)
        .await
        .map_err(std::io::Error::other)
        .flatten()
        .map_err(|source| Error::Zones { source })?;
    let sql = without_twins(&String::from_utf8_lossy(&output.stdout));
    if !output.status.success() || !sql.contains(ZONE) {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Zones {
            source: std::io::Error::other(said),
        });
    }
    let mut conn = admin.connect().await?;
    let load = async {
        conn.query_drop("USE mysql").await?;
        conn.query_drop(sql).await
    };
    admin.limited("load time zones", LOAD_LIMIT, load).await?;
    Ok(true)
}

/// The SQL without the twins: a third of it, and so of the time that it takes.
fn without_twins(sql: &str) -> String {
    let mut kept = String::with_capacity(sql.len() / 2);
    let mut pieces = sql.split(ZONE);
    kept.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        if TWINS.iter().any(|twin| piece.contains(twin)) {
            // What comes behind the last zone.
            kept.push_str(piece.find("UNLOCK TABLES").map_or("", |at| {
                let line = piece[..at].rfind('\n').map_or(0, |feed| feed + 1);
                &piece[line..]
            }));
        } else {
            kept.push_str(ZONE);
            kept.push_str(piece);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_zone_stays_once() {
        let zone = |name: &str| {
            format!("{ZONE} VALUES ('N');\nINSERT INTO time_zone_name VALUES ('{name}', @id);\n")
        };
        let text = format!(
            "TRUNCATE;\n{}{}{}/*M!100602 execute immediate 'UNLOCK TABLES'*/;\nSET x;\n",
            zone("Europe/Berlin"),
            zone("posix/Europe/Berlin"),
            zone("right/Europe/Berlin")
        );
        let expected = format!(
            "TRUNCATE;\n{}/*M!100602 execute immediate 'UNLOCK TABLES'*/;\nSET x;\n",
            zone("Europe/Berlin")
        );
        assert_eq!(without_twins(&text), expected);
    }
}
