//! Tables, views and procedures, as `schema/` has them: put in place, and compared with what a server has.

use std::time::Duration;

use model::{PACKED_FORM, Shard};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use crate::{Error, Server};

mod apply;

pub use apply::{Patience, Waiting, apply};

/// Longest time for a comparison, whose statements take milliseconds: there are some two hundred.
const CHECK_LIMIT: Duration = Duration::from_secs(60);

/// The marks in a statement between which the text is repeated for each shard, with UNION ALL between. The second may be missing.
const EACH_SHARD: &str = "-- For each shard, with UNION ALL between:\n";
const AFTER_SHARDS: &str = "-- After the last shard:\n";

/// The database in which [`check`] creates what a table should look like; dropped again afterwards.
const SCRATCH: &str = "eventtracker_schema_check";

/// The kind of server, which decides the half of the schema that it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// A region's: the ledger and the outbox, `schema/regional`.
    Regional,
    /// A centre's: counts, names and the keeper's notes, `schema/central`.
    Central,
}

macro_rules! sql {
    ($path:literal) => {
        include_str!(concat!("../../../../schema/", $path, ".sql"))
    };
}

impl Site {
    /// The statements that create databases.
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

    /// The statements that create tables.
    fn tables(self) -> Vec<String> {
        let (per_shard, once): (&[&str], &[&str]) = match self {
            Self::Regional => (
                &[
                    sql!("regional/shard_event_minute"),
                    sql!("regional/shard_event_block"),
                ],
                &[
                    sql!("regional/event_tags"),
                    sql!("regional/region_minute"),
                    sql!("regional/region_clock"),
                    sql!("regional/region_status"),
                    sql!("regional/region_total"),
                    sql!("regional/key_reuse"),
                    sql!("regional/counted_batch"),
                    sql!("regional/counted_total"),
                    sql!("regional/counted_flush"),
                    sql!("regional/ledger_clock"),
                    sql!("regional/tube_mark"),
                    sql!("regional/region_moved"),
                ],
            ),
            Self::Central => (
                &[
                    sql!("central/shard_event_minute"),
                    sql!("central/shard_event_block"),
                    sql!("central/shard_event_day"),
                ],
                &[
                    sql!("central/event_tags"),
                    sql!("central/region_minute"),
                    sql!("central/region_clock"),
                    sql!("central/region_status"),
                    sql!("central/region_total"),
                    sql!("central/key_reuse"),
                    sql!("central/clock_offset"),
                    sql!("central/region_binlog"),
                    sql!("central/alarm"),
                    sql!("central/dropped_days"),
                    sql!("central/packed_until"),
                    sql!("central/packed_anew"),
                    sql!("central/own_shard"),
                    sql!("central/annotation"),
                ],
            ),
        };
        let sharded = per_shard.iter().flat_map(|text| for_each_shard(text));
        sharded.chain(once.iter().map(|&s| s.to_owned())).collect()
    }

    /// The statements that create what analysts read by: the role that owns it, the views, and the procedures in the order in which they
    /// call each other. At last the keeper's procedure, with the role that owns it.
    fn views(self) -> Vec<String> {
        let texts: &[&str] = match self {
            Self::Regional => &[],
            Self::Central => &[
                sql!("central/analysts_role"),
                sql!("central/refuse"),
                sql!("central/is_utc"),
                sql!("central/not_utc"),
                sql!("central/event_minutes"),
                sql!("central/event_days"),
                sql!("central/named_minutes"),
                sql!("central/named_days"),
                sql!("central/event_tags_view"),
                sql!("central/region_minutes"),
                sql!("central/alarms_view"),
                sql!("central/region_health"),
                sql!("central/is_unix"),
                sql!("central/utc_of"),
                sql!("central/find_names"),
                sql!("central/resolve"),
                sql!("central/value_of"),
                sql!("central/check_kept"),
                sql!("central/check_period"),
                sql!("central/cut"),
                sql!("central/counts_within"),
                sql!("central/series"),
                sql!("central/side_by_side"),
                sql!("central/total"),
                sql!("central/top_names"),
                sql!("central/reader_role"),
                sql!("central/read_on"),
            ],
        };
        texts.iter().map(|text| over_all_shards(text)).collect()
    }

    /// Every table's full name and engine.
    pub(crate) fn engines(self) -> Vec<(String, String)> {
        let engine = |text: &str| {
            text.rsplit_once("ENGINE=")
                .map_or("", |(_, rest)| rest)
                .to_owned()
        };
        let word = |text: String| text.split_whitespace().next().unwrap_or_default().to_owned();
        let tables = self.tables().into_iter();
        tables
            .filter_map(|text| Some((object(&text)?.name.to_owned(), word(engine(&text)))))
            .collect()
    }

    /// The statements that bring tables of earlier versions up to date, and insert the rows that must be there.
    fn upgrades(self) -> Vec<String> {
        let (per_shard, once): (&[&str], &[&str]) = match self {
            Self::Regional => (
                &[],
                &[
                    sql!("regional/counted_batch_upgrade"),
                    sql!("regional/counted_total_upgrade"),
                    sql!("regional/region_status_upgrade"),
                    sql!("regional/ledger_clock_row"),
                    sql!("regional/region_moved_row"),
                ],
            ),
            Self::Central => (
                &[
                    sql!("central/shard_event_minute_upgrade"),
                    sql!("central/shard_event_day_upgrade"),
                ],
                &[
                    sql!("central/region_status_upgrade"),
                    sql!("central/clock_offset_upgrade"),
                    sql!("central/annotation_upgrade"),
                    sql!("central/region_minute_upgrade"),
                    sql!("central/event_tags_upgrade"),
                    sql!("central/event_tags_rows_upgrade"),
                ],
            ),
        };
        let sharded = per_shard.iter().flat_map(|text| for_each_shard(text));
        sharded.chain(once.iter().map(|&s| s.to_owned())).collect()
    }
}

impl Site {
    /// The statements that say, after the views, that these read what is packed now.
    fn marks(self) -> Vec<String> {
        match self {
            Self::Regional => Vec::new(),
            Self::Central => for_each_shard(sql!("central/packed_anew_row")),
        }
    }
}

/// A statement once for each shard.
fn for_each_shard(text: &str) -> Vec<String> {
    Shard::all()
        .map(|shard| text.replace("{shard}", &shard.number().to_string()))
        .collect()
}

/// A view over the tables of every shard: a branch for each. A branch says which eventIds it can have, and the server leaves it out where a
/// query asks for others.
fn over_all_shards(text: &str) -> String {
    let Some((head, branch)) = text.split_once(EACH_SHARD) else {
        return text.to_owned();
    };
    let (branch, tail) = branch.split_once(AFTER_SHARDS).unwrap_or((branch, ""));
    let branches: Vec<_> = Shard::all()
        .map(|shard| {
            let ids = shard.event_ids();
            branch
                .trim_end()
                .replace("{shard}", &shard.number().to_string())
                .replace("{first}", &ids.start().to_string())
                .replace("{last}", &ids.end().to_string())
        })
        .collect();
    let branches = branches.join("\nUNION ALL\n");
    format!("{head}{branches}\n{tail}")
}

/// A table, view or procedure that is not as `schema/` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name with its database.
    pub name: String,
    /// The statements that create it as it is, and as it should be; `None` where it is missing.
    pub texts: Option<(String, String)>,
    /// Whether [`apply`] would put it right. It leaves a table that is there as it is.
    pub is_mendable: bool,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, texts, .. } = self;
        match texts {
            None => write!(f, "{name} is missing"),
            Some(_) => write!(f, "{name} differs from the schema"),
        }
    }
}

/// Compares every table, view and procedure with `schema/`; empty if all agree. Each is created anew in a scratch database, and the server's
/// own texts of the two are compared: so only differences in meaning count, not in writing.
///
/// # Errors
/// The server refused or did not answer: the comparison could not be made.
pub async fn check(admin: &Server, site: Site) -> Result<Vec<Difference>, Error> {
    let mut conn = admin.connect().await?;
    expect_known_form(admin, &mut conn, site).await?;
    let run = async {
        conn.query_drop("SET sql_log_bin = 0").await?;
        conn.query_drop(format!("DROP DATABASE IF EXISTS {SCRATCH}"))
            .await?;
        conn.query_drop(format!(
            "CREATE DATABASE {SCRATCH} CHARACTER SET ascii COLLATE ascii_bin"
        ))
        .await?;
        let mut differences = Vec::new();
        for statement in site.tables().into_iter().chain(site.views()) {
            differences.extend(difference(&mut conn, &statement).await?);
        }
        conn.query_drop(format!("DROP DATABASE {SCRATCH}")).await?;
        Ok(differences)
    };
    admin.limited("check the schema", CHECK_LIMIT, run).await
}

/// Refuses a centre whose packed days a later version has written.
async fn expect_known_form(admin: &Server, conn: &mut Conn, site: Site) -> Result<(), Error> {
    const SQL: &str = "SELECT MAX(form) FROM eventtracker.PackedAnew";
    if site == Site::Regional {
        return Ok(());
    }
    let read = async {
        if show_create(conn, "TABLE", "eventtracker.PackedAnew")
            .await?
            .is_none()
        {
            return Ok(None);
        }
        conn.query_first::<Option<u8>, _>(SQL).await
    };
    match admin
        .limited("look at the form of packed days", CHECK_LIMIT, read)
        .await?
    {
        Some(Some(form)) if form > PACKED_FORM => Err(Error::Form {
            server: admin.to_string(),
            form: Some(form),
        }),
        _ => Ok(()),
    }
}

/// Compares what one statement creates with what the server has.
async fn difference(conn: &mut Conn, create: &str) -> Result<Option<Difference>, mysql_async::Error> {
    let Some(Object {
        kind,
        name: full_name,
        at,
    }) = object(create)
    else {
        return Ok(None);
    };
    let Some((database, name)) = full_name.split_once('.') else {
        return Ok(None);
    };
    let Some(actual) = show_create(conn, kind, full_name).await? else {
        return Ok(Some(Difference {
            name: full_name.to_owned(),
            texts: None,
            is_mendable: true,
        }));
    };
    let scratch_name = format!("{SCRATCH}.{name}");
    conn.query_drop(format!("DROP {kind} IF EXISTS {scratch_name}"))
        .await?;
    let (head, tail) = (&create[..at], &create[at + full_name.len()..]);
    conn.query_drop(format!("{head}{scratch_name}{tail}")).await?;
    let expected = show_create(conn, kind, &scratch_name)
        .await?
        .unwrap_or_default()
        .replace(SCRATCH, database);
    let is_same = comparable(&actual) == comparable(&expected);
    Ok((!is_same).then(|| Difference {
        name: full_name.to_owned(),
        texts: Some((actual, expected)),
        is_mendable: kind != "TABLE",
    }))
}

/// The part of a `SHOW CREATE` that must agree: without a table's default character set, which follows its database's while each text column
/// names its own, and without partitions, which come with retention.
fn comparable(create: &str) -> String {
    let (table, _) = create.split_once("\n PARTITION BY").unwrap_or((create, ""));
    table.replace(" DEFAULT CHARSET=ascii COLLATE=ascii_bin", "")
}

/// The object that a statement creates.
struct Object<'a> {
    /// `TABLE`, `VIEW`, `PROCEDURE` or `FUNCTION`.
    kind: &'static str,
    /// Its name with its database.
    name: &'a str,
    /// The byte of the statement at which the name begins.
    at: usize,
}

fn object(create: &str) -> Option<Object<'_>> {
    const BEGINNINGS: [(&str, &str); 4] = [
        ("TABLE", "CREATE TABLE IF NOT EXISTS "),
        ("VIEW", "\nVIEW "),
        ("PROCEDURE", "\nPROCEDURE "),
        ("FUNCTION", "\nFUNCTION "),
    ];
    BEGINNINGS.iter().find_map(|(kind, beginning)| {
        let at = create.find(beginning)? + beginning.len();
        let name = create[at..].split_whitespace().next()?;
        Some(Object { kind, name, at })
    })
}

/// The server's own text of an object; `None` where there is none.
async fn show_create(conn: &mut Conn, kind: &str, name: &str) -> Result<Option<String>, mysql_async::Error> {
    const NO_SUCH_TABLE: u16 = 1146;
    const NO_SUCH_DATABASE: u16 = 1049;
    const NO_SUCH_ROUTINE: u16 = 1305;
    const WRONG_KIND: u16 = 1347;
    const MISSING: [u16; 4] = [NO_SUCH_TABLE, NO_SUCH_DATABASE, NO_SUCH_ROUTINE, WRONG_KIND];
    match conn
        .query_first::<Row, _>(format!("SHOW CREATE {kind} {name}"))
        .await
    {
        // Tables and views have their text in the second column, routines in the third, behind their sql_mode.
        Ok(row) => Ok(row.and_then(|row| row.get(if is_routine(kind) { 2 } else { 1 }))),
        Err(mysql_async::Error::Server(e)) if MISSING.contains(&e.code) => Ok(None),
        Err(e) => Err(e),
    }
}

fn is_routine(kind: &str) -> bool {
    matches!(kind, "PROCEDURE" | "FUNCTION")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_statement_names_its_table() {
        for site in [Site::Regional, Site::Central] {
            for statement in site.tables() {
                assert!(
                    object(&statement)
                        .is_some_and(|object| object.kind == "TABLE" && object.name.contains('.')),
                    "{statement}"
                );
                assert!(!statement.contains('{'), "{statement}");
            }
        }
        let engines = Site::Regional.engines();
        assert!(engines.contains(&("bigdata_31.EventMinute".to_owned(), "BLACKHOLE".to_owned())));
        assert!(engines.contains(&("eventtracker.CountedBatch".to_owned(), "InnoDB".to_owned())));
        assert_eq!(engines.len(), Site::Regional.tables().len());
        assert_eq!(Site::Central.tables().len(), 110);
        assert_eq!(Site::Central.databases().len(), 33);
    }

    #[test]
    fn views_reach_every_shard_once() {
        let views = Site::Central.views();
        let named: Vec<_> = views.iter().filter_map(|text| object(text)).collect();
        assert_eq!(named.iter().filter(|object| object.kind == "VIEW").count(), 8);
        assert_eq!(named.len(), views.len() - 2, "only the roles are no objects");
        let minutes = views
            .iter()
            .find(|text| text.contains("VIEW eventtracker.event_minutes "))
            .unwrap();
        assert_eq!(minutes.matches("UNION ALL\nSELECT").count(), 95);
        assert!(minutes.contains(
            "FROM bigdata_31.EventMinute\nWHERE eventId BETWEEN 17870283321406128128 AND 18446744073709551615"
        ));
        for text in &views {
            assert!(!text.contains("{shard}") && !text.contains("{first}"), "{text}");
        }
    }
}
