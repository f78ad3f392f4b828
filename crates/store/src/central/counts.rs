//! Counts of names, from all of the places that a count may be in: packed days, minutes and blocks.

use model::{Day, EventId, Minute, PackedDayError, Shard, for_each_in_block, for_each_packed};
use mysql_async::{QueryResult, TextProtocol};

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
pub(super) type Unreadable = (String, PackedDayError);

/// The counts of some names that are wanted from a snapshot.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The names' ids, of which none comes twice.
    pub ids: &'a [EventId],
    /// The first and the last minute.
    pub minutes: (Minute, Minute),
    /// With [`Grain::Day`], which wants whole days, the sum of a day may come with its first minute.
    pub grain: Grain,
}

/// The part of one shard in what is wanted, which is a question of its own.
pub(super) struct Part {
    /// The index of what is wanted.
    at: usize,
    /// Some of its ids, all of one shard, in their order.
    ids: Vec<EventId>,
    minutes: (Minute, Minute),
    grain: Grain,
}

/// The parts of all that is wanted.
pub(super) fn parts(wanted: &[Wanted<'_>]) -> Vec<Part> {
    let mut parts = Vec::new();
    for (at, wanted) in wanted.iter().enumerate() {
        let mut ids = wanted.ids.to_vec();
        ids.sort_unstable();
        let of_shard = ids.chunk_by(|a, b| Shard::of(*a) == Shard::of(*b));
        parts.extend(
            of_shard
                .flat_map(|ids| ids.chunks(IDS_PER_STATEMENT))
                .map(|ids| Part {
                    at,
                    ids: ids.to_vec(),
                    minutes: wanted.minutes,
                    grain: wanted.grain,
                }),
        );
    }
    parts
}

/// The questions for all `parts`, each behind a semicolon.
pub(super) fn script(parts: &[Part]) -> String {
    let questions = parts.iter().map(|part| format!("; {}", part.question()));
    questions.collect()
}

/// Reads the answers to [`script`] for each of `parts`. Returns the first row that cannot be read.
pub(super) async fn collect(
    answers: &mut QueryResult<'_, '_, TextProtocol>,
    parts: &[Part],
    mut each: impl FnMut(usize, EventId, i64, u64) + Send,
) -> Result<Option<Unreadable>, mysql_async::Error> {
    let mut unreadable = None;
    for part in parts {
        let each = |id, unix_s, count| each(part.at, id, unix_s, count);
        let of_part = part.collect(answers, each).await?;
        unreadable = unreadable.or(of_part);
    }
    Ok(unreadable)
}

impl Part {
    async fn collect(
        &self,
        answers: &mut QueryResult<'_, '_, TextProtocol>,
        mut each: impl FnMut(EventId, i64, u64) + Send,
    ) -> Result<Option<Unreadable>, mysql_async::Error> {
        let asked = self.minutes.0.unix_s()..=self.minutes.1.unix_s();
        let shard = Shard::of(self.ids[0]);
        let mut unreadable = None;
        match self.grain {
            Grain::Day => {
                for_each_of(answers, |(id, unix_s, total)| each(EventId(id), unix_s, total)).await?;
            }
            Grain::Minute => {
                for_each_of(answers, |(id, unix_s, counts): (u64, i64, Vec<u8>)| {
                    let read = for_each_packed(&counts, |minute, count| {
                        let at = unix_s + 60 * i64::from(minute);
                        if asked.contains(&at) {
                            each(EventId(id), at, count);
                        }
                    });
                    if let Err(error) = read {
                        let day = Day::containing(unix_s);
                        let row = format!("{shard}.EventDay, day {day}, eventId {id}");
                        unreadable.get_or_insert((row, error));
                    }
                })
                .await?;
            }
        }
        for_each_of(answers, |(id, unix_s, count)| each(EventId(id), unix_s, count)).await?;
        for_each_of(answers, |(unix_s, counts): (i64, Vec<u8>)| {
            let read = for_each_in_block(&counts, |id, minute, count| {
                let at = unix_s + 60 * i64::from(minute);
                if asked.contains(&at) && self.ids.binary_search(&id).is_ok() {
                    each(id, at, count);
                }
            });
            if let Err(error) = read {
                let day = Day::containing(unix_s);
                unreadable.get_or_insert((format!("{shard}.EventBlock, day {day}"), error));
            }
        })
        .await?;
        Ok(unreadable)
    }

    /// The question for the packed days, then for the minutes that are not packed, then for the blocks that may have some of them.
    fn question(&self) -> String {
        let shard = Shard::of(self.ids[0]);
        let ids: Vec<String> = self.ids.iter().map(ToString::to_string).collect();
        let ids = ids.join(",");
        let (first, last) = self.minutes;
        // Sums of days come from the index alone.
        let what = match self.grain {
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
}
