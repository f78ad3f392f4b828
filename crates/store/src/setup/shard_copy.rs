//! The copy of shards from one server of a centre to another: as of one moment of the giver, added to what the receiver applies meanwhile.
//!
//! The receiver applies the shards from exactly the giver's position on, and has nothing else of them. Counts add up, so it does not matter
//! which of them come first.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Day, Shard, Shards, for_each_in_block};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::centre::Centre;
use super::shards::numbers;
use crate::gtid::{self, Gtid};
use crate::link::Link;
use crate::{Error, Server};

/// Rows of minutes that are copied at once: a transaction of some 20 ms, for which replication waits.
const MINUTES_PER_PIECE: usize = 4_000;

/// Rows of packed days that are copied at once, of up to 3 kB.
const DAYS_PER_PIECE: usize = 500;

/// Blocks that are copied at once, of up to 256 KiB.
const BLOCKS_PER_PIECE: usize = 16;

/// Longest wait for one piece, and for the sums of a shard.
const PIECE_LIMIT: Duration = Duration::from_secs(60);

/// Longest wait for all sums: over 100 million minutes that are not packed, some minutes.
const SUMS_LIMIT: Duration = Duration::from_secs(1_800);

/// Tries of a piece of which replication, which wants the same rows, was the stronger.
const TRIES_MAX: u32 = 100;

/// A server's shards as of one moment; it lasts as long as its connection.
pub struct ShardSnapshot {
    link: Link,
    /// The last transaction of each domain that it has, such as `1-1-100`.
    position: BTreeMap<u32, Gtid>,
}

/// Rows copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopiedRows {
    /// Minutes and blocks that are not packed.
    pub unpacked: u64,
    /// Packed days.
    pub days: u64,
}

/// The key of a row, in the order of the keys.
type Key = (String, String);

/// How a table's rows are read and written.
struct Table {
    name: &'static str,
    /// The columns of the key, as they are compared, and as SQL that makes text of them which can stand in a statement.
    key: [(&'static str, &'static str); 2],
    /// The rest of a row, likewise.
    value: [&'static str; 2],
    columns: &'static str,
    on_duplicate: &'static str,
    rows_per_piece: usize,
}

/// A minute may have been counted by replication meanwhile, so they add up.
const MINUTES: Table = Table {
    name: "EventMinute",
    key: [("eventId", "eventId"), ("createDate", "QUOTE(createDate)")],
    value: ["count", "NULL"],
    columns: "eventId, createDate, count",
    on_duplicate: "ON DUPLICATE KEY UPDATE count = count + LEAST(VALUES(count), 18446744073709551615 - count)",
    rows_per_piece: MINUTES_PER_PIECE,
};

const BLOCKS: Table = Table {
    name: "EventBlock",
    key: [("day", "QUOTE(day)"), ("id", "CONCAT('0x', HEX(id))")],
    value: ["QUOTE(counts)", "NULL"],
    columns: "day, id, counts",
    on_duplicate: "",
    rows_per_piece: BLOCKS_PER_PIECE,
};

const DAYS: Table = Table {
    name: "EventDay",
    key: [("day", "QUOTE(day)"), ("eventId", "eventId")],
    value: ["total", "QUOTE(counts)"],
    columns: "day, eventId, total, counts",
    on_duplicate: "",
    rows_per_piece: DAYS_PER_PIECE,
};

impl Table {
    /// The question for the next rows of a shard, after a key.
    fn question(&self, shard: Shard, after: Option<&Key>) -> String {
        let [(first, first_text), (second, second_text)] = self.key;
        let [value, further] = self.value;
        let after = match after {
            Some((a, b)) => format!("WHERE {first} > {a} OR ({first} = {a} AND {second} > {b})"),
            None => String::new(),
        };
        format!(
            "SELECT CAST({first_text} AS CHAR), CAST({second_text} AS CHAR), CAST({value} AS CHAR), CAST({further} AS CHAR) \
             FROM {shard}.{} {after} ORDER BY {first}, {second} LIMIT {}",
            self.name, self.rows_per_piece
        )
    }

    /// The statement that adds rows.
    fn insert(&self, shard: Shard, rows: &[(String, String, String, Option<String>)]) -> String {
        let mut sql = format!("INSERT INTO {shard}.{} ({}) VALUES ", self.name, self.columns);
        for (at, (first, second, value, further)) in rows.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            sql += &format!("{comma}({first},{second},{value}");
            for more in further.iter() {
                sql += ",";
                sql += more;
            }
            sql += ")";
        }
        sql.push(' ');
        sql + self.on_duplicate
    }
}

impl ShardSnapshot {
    /// Begins a snapshot at a server.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn begin(server: &Server) -> Result<Self, Error> {
        let mut link = Link::new(server.clone());
        let position = link
            .brief("begin a snapshot", async |conn| begin(conn).await)
            .await?;
        Ok(Self { link, position })
    }

    pub(super) fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// The last transaction of each domain that it has.
    #[must_use]
    pub fn position(&self) -> &BTreeMap<u32, Gtid> {
        &self.position
    }

    /// Adds its counts of these shards to those of another server, and notes there what retention has dropped. `progress` hears of the rows so
    /// far.
    ///
    /// # Errors
    /// A server refused or did not answer: part of them may be added, and the receiver has to be emptied before another try.
    pub async fn copy_to(
        &mut self,
        receiver: &mut Centre,
        shards: Shards,
        mut progress: impl FnMut(CopiedRows),
    ) -> Result<CopiedRows, Error> {
        let mut copied = CopiedRows::default();
        self.copy_notes(receiver, shards).await?;
        for shard in shards.iter() {
            for table in [&DAYS, &MINUTES, &BLOCKS] {
                let mut after = None;
                loop {
                    let question = table.question(shard, after.as_ref());
                    let rows: Vec<(String, String, String, Option<String>)> = self
                        .link
                        .call("read a shard's rows", PIECE_LIMIT, async |conn| {
                            conn.query(question).await
                        })
                        .await?;
                    let Some((first, second, ..)) = rows.last() else {
                        break;
                    };
                    after = Some((first.clone(), second.clone()));
                    add(receiver, table.insert(shard, &rows)).await?;
                    failpoint::crash("shard.piece");
                    let count = rows.len() as u64;
                    if table.name == DAYS.name {
                        copied.days += count;
                    } else {
                        copied.unpacked += count;
                    }
                    progress(copied);
                }
            }
        }
        Ok(copied)
    }

    /// The sums of a shard's days.
    async fn sums(&mut self, shard: Shard) -> Result<DaySums, Error> {
        self.link
            .call("sum up a shard", SUMS_LIMIT, async |conn| {
                day_sums(conn, shard).await
            })
            .await
    }

    /// What retention has dropped of the shards is not there either at the receiver, whose packed days may be of an earlier form.
    async fn copy_notes(&mut self, receiver: &mut Centre, shards: Shards) -> Result<(), Error> {
        let numbers = numbers(shards);
        let read = format!(
            "SELECT shard, CAST(beforeDay AS CHAR), CAST(firstDay AS CHAR), rowCount, CAST(total AS CHAR), CAST(droppedAt AS CHAR) \
             FROM eventtracker.DroppedDays WHERE shard IN ({numbers})"
        );
        type Row = (u8, String, Option<String>, u64, String, String);
        let rows: Vec<Row> = self
            .link
            .brief("read what was dropped", async |conn| conn.query(read).await)
            .await?;
        receiver
            .link()
            .brief("note what was dropped", async |conn: &mut Conn| {
                conn.exec_batch(
                    "REPLACE INTO eventtracker.DroppedDays (shard, beforeDay, firstDay, rowCount, total, droppedAt) \
                     VALUES (?, ?, ?, ?, ?, ?)",
                    rows,
                )
                .await?;
                conn.query_drop(format!(
                    "UPDATE eventtracker.PackedAnew SET day = '1000-01-01', eventId = 0 WHERE shard IN ({numbers})"
                ))
                .await
            })
            .await
    }
}

/// Runs a statement that adds a piece, again where replication was the stronger: it is rolled back as a whole then.
async fn add(receiver: &mut Centre, insert: String) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        let add = async |conn: &mut Conn| conn.query_drop(insert.as_str()).await;
        match receiver.link().call("add a shard's rows", PIECE_LIMIT, add).await {
            Err(error) if error.is_contended() && tries < TRIES_MAX => tries += 1,
            outcome => return outcome,
        }
    }
}

/// Begins a snapshot, instead of one that was begun before, and reads its position: MariaDB notes it in the transaction of the counts.
async fn begin(conn: &mut Conn) -> Result<BTreeMap<u32, Gtid>, mysql_async::Error> {
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await?;
    gtid::read(conn, "").await
}

/// The sum of all counts of each day, in some shards.
type DaySums = BTreeMap<Day, u128>;

/// Compares what two servers have of some shards, in snapshots of the same position: for each shard the sum of all counts of each day. Returns
/// the sum of all.
///
/// # Errors
/// `ShardDiffers` for the first day that differs; `NotAtOnePosition` where the positions differ; a server refused or did not answer.
pub async fn compare_shards(
    one: &mut ShardSnapshot,
    other: &mut ShardSnapshot,
    shards: Shards,
) -> Result<u128, Error> {
    if one.position != other.position {
        return Err(Error::NotAtOnePosition);
    }
    let mut total = 0;
    for shard in shards.iter() {
        let (a, b) = tokio::join!(one.sums(shard), other.sums(shard));
        let (a, b) = (a?, b?);
        let sum_of = |sums: &DaySums, day| sums.get(day).copied().unwrap_or(0);
        if let Some(day) = a
            .keys()
            .chain(b.keys())
            .find(|day| sum_of(&a, day) != sum_of(&b, day))
        {
            return Err(Error::ShardDiffers {
                shard: shard.to_string(),
                day: *day,
                one: sum_of(&a, day),
                other: sum_of(&b, day),
            });
        }
        total += a.values().sum::<u128>();
    }
    Ok(total)
}

/// The sum of each day's counts, wherever they are.
async fn day_sums(conn: &mut Conn, shard: Shard) -> Result<DaySums, mysql_async::Error> {
    let mut sums = DaySums::new();
    let sql = format!(
        "SELECT UNIX_TIMESTAMP(day), CAST(SUM(total) AS CHAR) FROM {shard}.EventDay GROUP BY day \
         UNION ALL SELECT UNIX_TIMESTAMP(createDate) DIV 86400 * 86400 AS at, CAST(SUM(count) AS CHAR) FROM {shard}.EventMinute GROUP BY at"
    );
    for (unix_s, sum) in conn.query::<(i64, String), _>(sql).await? {
        *sums.entry(Day::containing(unix_s)).or_default() += crate::audit::number(&sum)?;
    }
    let sql = format!("SELECT (TO_DAYS(day) - 719528) * 86400, counts FROM {shard}.EventBlock");
    for (unix_s, counts) in conn.query::<(i64, Vec<u8>), _>(sql).await? {
        let of_day = sums.entry(Day::containing(unix_s)).or_default();
        let read = for_each_in_block(&counts, |_, _, count| *of_day += u128::from(count));
        if let Err(error) = read {
            // It is the same at both.
            tracing::warn!(%error, %shard, "a block of counts cannot be read to its end");
        }
    }
    sums.retain(|_, sum| *sum > 0);
    Ok(sums)
}
