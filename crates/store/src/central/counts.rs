//! Counts of names, from all of the places that a count may be in: packed days, minutes and blocks.

use model::{Day, EventId, Minute, PackedDayError, Shard, for_each_in_block, for_each_packed};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::rows::for_each_of;
use crate::server::IDS_PER_STATEMENT;

/// The resolution that counts are asked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// Each minute by itself: packed days are unpacked.
    Minute,
    /// Sums of days: packed days are not unpacked.
    Day,
}

/// The name of a row of `EventDay` or `EventBlock`, and what is wrong with it.
type Unreadable = (String, PackedDayError);

/// Reads the counts of [`super::Snapshot::counts`], one shard after the other. Returns the first row that cannot be read.
pub(super) async fn read(
    conn: &mut Conn,
    ids: &[EventId],
    minutes: (Minute, Minute),
    grain: Grain,
    mut each: impl FnMut(EventId, i64, u64) + Send,
) -> Result<Option<Unreadable>, mysql_async::Error> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let asked = minutes.0.unix_s()..=minutes.1.unix_s();
    let mut unreadable = None;
    let of_shard = ids.chunk_by(|a, b| Shard::of(*a) == Shard::of(*b));
    for ids in of_shard.flat_map(|ids| ids.chunks(IDS_PER_STATEMENT)) {
        let mut answers = conn.query_iter(script(ids, minutes, grain)).await?;
        match grain {
            Grain::Day => {
                for_each_of(&mut answers, |(id, unix_s, total)| {
                    each(EventId(id), unix_s, total)
                })
                .await?;
            }
            Grain::Minute => {
                for_each_of(&mut answers, |(id, unix_s, counts): (u64, i64, Vec<u8>)| {
                    let read = for_each_packed(&counts, |minute, count| {
                        let at = unix_s + 60 * i64::from(minute);
                        if asked.contains(&at) {
                            each(EventId(id), at, count);
                        }
                    });
                    if let Err(error) = read {
                        let (shard, day) = (Shard::of(EventId(id)), Day::containing(unix_s));
                        let row = format!("{shard}.EventDay, day {day}, eventId {id}");
                        unreadable.get_or_insert((row, error));
                    }
                })
                .await?;
            }
        }
        for_each_of(&mut answers, |(id, unix_s, count)| {
            each(EventId(id), unix_s, count)
        })
        .await?;
        for_each_of(&mut answers, |(unix_s, counts): (i64, Vec<u8>)| {
            let read = for_each_in_block(&counts, |id, minute, count| {
                let at = unix_s + 60 * i64::from(minute);
                if asked.contains(&at) && ids.binary_search(&id).is_ok() {
                    each(id, at, count);
                }
            });
            if let Err(error) = read {
                let (shard, day) = (Shard::of(ids[0]), Day::containing(unix_s));
                unreadable.get_or_insert((format!("{shard}.EventBlock, day {day}"), error));
            }
        })
        .await?;
        answers.drop_result().await?;
    }
    Ok(unreadable)
}

/// The question for the packed days of `ids`, all of one shard, then for the minutes that are not packed, then for the blocks that may have
/// some of them, in one round trip.
fn script(ids: &[EventId], (first, last): (Minute, Minute), grain: Grain) -> String {
    let shard = Shard::of(ids[0]);
    let ids = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    // Sums of days come from the index alone.
    let what = match grain {
        Grain::Day => "total",
        Grain::Minute => "counts",
    };
    let (first_day, last_day) = (Day::from(first), Day::from(last));
    // FORCE INDEX: the optimizer might find it cheaper to read the days of all names.
    format!(
        "SELECT eventId, UNIX_TIMESTAMP(day), {what} FROM {shard}.EventDay FORCE INDEX (eventTotal) \
         WHERE eventId IN ({ids}) AND day BETWEEN '{first_day}' AND '{last_day}'; \
         SELECT eventId, UNIX_TIMESTAMP(createDate), count FROM {shard}.EventMinute \
         WHERE eventId IN ({ids}) AND createDate BETWEEN FROM_UNIXTIME({}) AND FROM_UNIXTIME({}); \
         SELECT (TO_DAYS(day) - 719528) * 86400, counts FROM {shard}.EventBlock WHERE day BETWEEN '{first_day}' AND '{last_day}'",
        first.unix_s(),
        last.unix_s()
    )
}
