//! The tables, as `schema/` has them: put in place, and compared with what a server has.

use std::time::Duration;

use model::Shard;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::{Error, Server};

/// Longest wait for one statement of the schema.
const STATEMENT_LIMIT: Duration = Duration::from_secs(60);

/// Where `check` creates what a table should look like; dropped again afterwards.
const SCRATCH: &str = "eventtracker_schema_check";

/// Which half of the schema a server carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Regional,
    Central,
}

macro_rules! sql {
    ($path:literal) => {
        include_str!(concat!("../../../schema/", $path, ".sql"))
    };
}

impl Side {
    fn databases(self) -> Vec<String> {
        let (per_shard, once): (&str, &[&str]) = match self {
            Self::Regional => (
                sql!("regional/shard_database"),
                &[sql!("regional/ledger_database")],
            ),
            Self::Central => (
                sql!("central/shard_database"),
                &[sql!("central/housekeeping_database")],
            ),
        };
        for_each_shard(per_shard)
            .into_iter()
            .chain(once.iter().map(|&s| s.to_owned()))
            .collect()
    }

    fn tables(self) -> Vec<String> {
        let (per_shard, once): (&[&str], &[&str]) = match self {
            Self::Regional => (
                &[sql!("regional/shard_event_minute")],
                &[
                    sql!("regional/event_tags"),
                    sql!("regional/region_minute"),
                    sql!("regional/region_clock"),
                    sql!("regional/region_status"),
                    sql!("regional/region_total"),
                    sql!("regional/counted_batch"),
                    sql!("regional/counted_total"),
                    sql!("regional/counted_flush"),
                    sql!("regional/tube_mark"),
                    sql!("regional/region_moved"),
                ],
            ),
            Self::Central => (
                &[
                    sql!("central/shard_event_minute"),
                    sql!("central/shard_event_day"),
                ],
                &[
                    sql!("central/event_tags"),
                    sql!("central/region_minute"),
                    sql!("central/region_clock"),
                    sql!("central/region_status"),
                    sql!("central/region_total"),
                    sql!("central/clock_offset"),
                    sql!("central/region_binlog"),
                    sql!("central/alarm"),
                    sql!("central/dropped_days"),
                ],
            ),
        };
        let sharded = per_shard.iter().flat_map(|text| for_each_shard(text));
        sharded.chain(once.iter().map(|&s| s.to_owned())).collect()
    }

    /// Every table by its full name, with its engine.
    pub(crate) fn engines(self) -> Vec<(String, String)> {
        let engine = |text: &str| {
            text.rsplit_once("ENGINE=")
                .map_or("", |(_, rest)| rest)
                .to_owned()
        };
        let word = |text: String| text.split_whitespace().next().unwrap_or_default().to_owned();
        let tables = self.tables().into_iter();
        tables
            .filter_map(|text| Some((table_name(&text)?.to_owned(), word(engine(&text)))))
            .collect()
    }

    /// Brings tables of earlier versions up to date, and puts the rows in place that must be there.
    fn upgrades(self) -> Vec<String> {
        let (per_shard, once): (&[&str], &[&str]) = match self {
            Self::Regional => (
                &[],
                &[
                    sql!("regional/counted_batch_upgrade"),
                    sql!("regional/counted_total_upgrade"),
                    sql!("regional/region_status_upgrade"),
                    sql!("regional/region_moved_row"),
                ],
            ),
            Self::Central => (
                &[sql!("central/shard_event_day_upgrade")],
                &[
                    sql!("central/region_status_upgrade"),
                    sql!("central/region_minute_upgrade"),
                ],
            ),
        };
        let sharded = per_shard.iter().flat_map(|text| for_each_shard(text));
        sharded.chain(once.iter().map(|&s| s.to_owned())).collect()
    }
}

fn for_each_shard(text: &str) -> Vec<String> {
    Shard::all()
        .map(|shard| text.replace("{shard}", &shard.number().to_string()))
        .collect()
}

/// Puts every database and table in place; what is there already stays as it is.
///
/// `admin` needs the right to create databases and tables and, in a region, to switch off its binlog:
/// a region's schema must not travel to the centre.
///
/// # Errors
/// The first statement that failed; repeating the call goes on from there.
pub async fn apply(admin: &Server, side: Side) -> Result<(), Error> {
    let mut conn = admin.connect().await?;
    for statement in std::iter::once("SET sql_log_bin = 0".to_owned())
        .chain(side.databases())
        .chain(side.tables())
        .chain(side.upgrades())
    {
        admin
            .limited("apply the schema", STATEMENT_LIMIT, conn.query_drop(statement))
            .await?;
    }
    Ok(())
}

/// Compares every table with `schema/` and returns a sentence for each that is missing or differs; empty if all agree.
///
/// # Errors
/// Only where the comparison itself could not be made.
pub async fn check(admin: &Server, side: Side) -> Result<Vec<String>, Error> {
    let mut conn = admin.connect().await?;
    let run = async {
        conn.query_drop("SET sql_log_bin = 0").await?;
        conn.query_drop(format!("DROP DATABASE IF EXISTS {SCRATCH}"))
            .await?;
        conn.query_drop(format!(
            "CREATE DATABASE {SCRATCH} CHARACTER SET ascii COLLATE ascii_bin"
        ))
        .await?;
        let mut differences = Vec::new();
        for statement in side.tables() {
            differences.extend(difference(&mut conn, &statement).await?);
        }
        conn.query_drop(format!("DROP DATABASE {SCRATCH}")).await?;
        Ok(differences)
    };
    admin.limited("check the schema", STATEMENT_LIMIT, run).await
}

async fn difference(conn: &mut Conn, create: &str) -> Result<Option<String>, mysql_async::Error> {
    let Some(full_name) = table_name(create) else {
        return Ok(None);
    };
    let Some((_, table)) = full_name.split_once('.') else {
        return Ok(None);
    };
    let Some(actual) = show_create(conn, full_name).await? else {
        return Ok(Some(format!(
            "{full_name} is missing; run 'eventtracker schema apply'"
        )));
    };
    let scratch_name = format!("{SCRATCH}.{table}");
    conn.query_drop(format!("DROP TABLE IF EXISTS {scratch_name}"))
        .await?;
    conn.query_drop(create.replacen(full_name, &scratch_name, 1))
        .await?;
    let expected = show_create(conn, &scratch_name).await?.unwrap_or_default();
    let same = comparable(&actual) == comparable(&expected);
    Ok((!same).then(|| {
        format!("{full_name} differs from the schema.\nit is:\n{actual}\nit should be:\n{expected}")
    }))
}

/// A table's default character set follows its database's, while each text column names its own. Partitions come with retention.
fn comparable(create: &str) -> String {
    let (table, _) = create.split_once("\n PARTITION BY").unwrap_or((create, ""));
    table.replace(" DEFAULT CHARSET=ascii COLLATE=ascii_bin", "")
}

fn table_name(create: &str) -> Option<&str> {
    create
        .split_once("CREATE TABLE IF NOT EXISTS ")?
        .1
        .split_whitespace()
        .next()
}

async fn show_create(conn: &mut Conn, table: &str) -> Result<Option<String>, mysql_async::Error> {
    const NO_SUCH_TABLE: u16 = 1146;
    const NO_SUCH_DATABASE: u16 = 1049;
    match conn
        .query_first::<(String, String), _>(format!("SHOW CREATE TABLE {table}"))
        .await
    {
        Ok(row) => Ok(row.map(|(_, text)| text)),
        Err(mysql_async::Error::Server(e)) if [NO_SUCH_TABLE, NO_SUCH_DATABASE].contains(&e.code) => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_statement_names_its_table() {
        for side in [Side::Regional, Side::Central] {
            for statement in side.tables() {
                assert!(
                    table_name(&statement).is_some_and(|name| name.contains('.')),
                    "{statement}"
                );
                assert!(!statement.contains('{'), "{statement}");
            }
        }
        let engines = Side::Regional.engines();
        assert!(engines.contains(&("bigdata_31.EventMinute".to_owned(), "BLACKHOLE".to_owned())));
        assert!(engines.contains(&("eventtracker.CountedBatch".to_owned(), "InnoDB".to_owned())));
        assert_eq!(engines.len(), Side::Regional.tables().len());
        assert_eq!(Side::Central.tables().len(), 73);
        assert_eq!(Side::Central.databases().len(), 33);
    }
}
