//! Packing anew: days that an earlier version has packed are brought into the present form, in the order in which they are stored. Their
//! counts stay the same, and so does the total, which an audit compares with them.

use std::collections::{BTreeMap, BTreeSet};

use model::{Day, DayCounts, EventId, Shard, may_be_packed_anew};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::{CALL_LIMIT, Packer, is_held, lock_days, quoted};
use crate::Error;

/// Most packed days that one call looks at: some ten milliseconds.
const DAYS_LOOKED_AT_MAX: usize = 64;

/// The last day of all, after which nothing is looked at.
const END: &str = "9999-12-31";

/// The outcome of a call of [`Packer::pack_anew`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackedAnew {
    /// The next days of the shard were looked at: so many are in another form now.
    Days(u64),
    /// Another keeper has one of the rows at the moment: nothing was changed.
    Held,
    /// All of the shard is in the present form.
    All,
}

impl Packer {
    /// Looks at the packed days of `shard` that follow those noted in `eventtracker.PackedAnew`, brings them into the present form, and
    /// notes how far it is. A row that cannot be read is left: reading it is an error, and audits find it.
    ///
    /// # Errors
    /// `Form` where the centre's days are of another form; the server refused or did not answer, and the next call looks at the same days.
    pub async fn pack_anew(&mut self, shard: Shard) -> Result<PackedAnew, Error> {
        self.expect_form().await?;
        let number = shard.number();
        let noted = format!(
            "SELECT (TO_DAYS(day) - 719528) * 86400, eventId, day = '{END}' \
             FROM eventtracker.PackedAnew WHERE shard = {number}"
        );
        let noted: Option<(i64, u64, bool)> = self
            .link
            .call("look how far packing anew is", CALL_LIMIT, async |conn| {
                conn.query_first(noted).await
            })
            .await?;
        let Some((unix_s, id, is_done)) = noted else {
            return Err(Error::Form {
                server: self.link.server().to_string(),
                form: None,
            });
        };
        if is_done {
            return Ok(PackedAnew::All);
        }
        self.link
            .call("pack days anew", CALL_LIMIT, async |conn| {
                match pack_next(conn, shard, Day::containing(unix_s), id).await {
                    Err(error) if is_held(&error) => {
                        conn.query_drop("ROLLBACK").await?;
                        Ok(PackedAnew::Held)
                    }
                    outcome => outcome,
                }
            })
            .await
    }
}

async fn pack_next(
    conn: &mut Conn,
    shard: Shard,
    day: Day,
    id: u64,
) -> Result<PackedAnew, mysql_async::Error> {
    let next = format!(
        "SELECT (TO_DAYS(day) - 719528) * 86400, eventId, counts FROM {shard}.EventDay \
         WHERE day > '{day}' OR (day = '{day}' AND eventId > {id}) \
         ORDER BY day, eventId LIMIT {DAYS_LOOKED_AT_MAX}"
    );
    let rows: Vec<(i64, u64, Vec<u8>)> = conn.query(next).await?;
    let mut old = BTreeMap::<Day, BTreeSet<EventId>>::new();
    for (unix_s, id, text) in &rows {
        if may_be_packed_anew(text) {
            old.entry(Day::containing(*unix_s))
                .or_default()
                .insert(EventId(*id));
        }
    }
    let mut packed = 0;
    for (day, ids) in old {
        packed += pack_day(conn, shard, day, &ids).await?;
    }
    let last = rows.last().filter(|_| rows.len() == DAYS_LOOKED_AT_MAX);
    let (day, id) = last.map_or((END.to_owned(), 0), |(unix_s, id, _)| {
        (Day::containing(*unix_s).to_string(), *id)
    });
    conn.query_drop(format!(
        "UPDATE eventtracker.PackedAnew SET day = '{day}', eventId = {id} WHERE shard = {}",
        shard.number()
    ))
    .await?;
    Ok(match last {
        None if packed == 0 => PackedAnew::All,
        _ => PackedAnew::Days(packed),
    })
}

/// Packs one day of `ids` anew, in one transaction, and returns how many of them. The rows are locked when they are read: another keeper's
/// change in between would be overwritten.
async fn pack_day(
    conn: &mut Conn,
    shard: Shard,
    day: Day,
    ids: &BTreeSet<EventId>,
) -> Result<u64, mysql_async::Error> {
    conn.query_drop("START TRANSACTION").await?;
    let mut script = String::new();
    let mut packed = 0;
    for (id, text) in lock_days(conn, shard, day, ids.iter()).await? {
        let mut counts = DayCounts::default();
        match counts.add_packed(text.as_bytes()) {
            Ok(()) => {
                let text = quoted(&counts.pack());
                script += &format!(
                    "UPDATE {shard}.EventDay SET counts = {text} WHERE day = '{day}' AND eventId = {id}; "
                );
                packed += 1;
            }
            Err(error) => tracing::error!(%error, %shard, %day, %id, "a packed day cannot be read"),
        }
    }
    script += "COMMIT";
    conn.query_drop(script).await?;
    Ok(packed)
}
