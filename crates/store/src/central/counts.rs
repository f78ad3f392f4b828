//! Counts of names, from both of the places that a count may be in.

use model::{Day, EventId, Minute, PackedDayError, Shard, for_each_packed};
use mysql_async::{Conn, Value};

use super::for_each_row;

/// How many ids one statement reads. Fewer ids repeat the last one, so that each shard needs a single prepared
/// statement of a kind.
const IDS_PER_STATEMENT: usize = 8;

/// How finely counts are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    Minute,
    /// Sums of days will do: packed days are not unpacked.
    Day,
}

/// A row of `EventDay`, and what is wrong with it.
type Unreadable = (String, PackedDayError);

/// As [`super::Snapshot::counts`].
pub(super) async fn read(
    conn: &mut Conn,
    ids: &[EventId],
    (first, last): (Minute, Minute),
    grain: Grain,
    mut each: impl FnMut(EventId, i64, u64) + Send,
) -> Result<Option<Unreadable>, mysql_async::Error> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let days = [first, last].map(|minute| Value::from(Day::from(minute).to_string()));
    let minutes = [first, last].map(|minute| Value::from(minute.unix_s()));
    let asked = first.unix_s()..=last.unix_s();
    let mut unreadable = None;
    for of_shard in ids.chunk_by(|a, b| Shard::of(*a) == Shard::of(*b)) {
        let shard = Shard::of(of_shard[0]);
        for some in of_shard.chunks(IDS_PER_STATEMENT) {
            match grain {
                Grain::Day => {
                    let params = params(some, &days);
                    for_each_row(conn, &totals_sql(shard), params, |(id, unix_s, total)| {
                        each(EventId(id), unix_s, total);
                    })
                    .await?;
                }
                Grain::Minute => {
                    let params = params(some, &days);
                    for_each_row(
                        conn,
                        &days_sql(shard),
                        params,
                        |(id, unix_s, counts): (u64, i64, Vec<u8>)| {
                            let read = for_each_packed(&counts, |minute, count| {
                                let at = unix_s + 60 * i64::try_from(minute).unwrap_or(i64::MAX / 60);
                                if asked.contains(&at) {
                                    each(EventId(id), at, count);
                                }
                            });
                            if let Err(error) = read {
                                let day = Day::containing(unix_s);
                                let row = format!("{shard}.EventDay, day {day}, eventId {id}");
                                unreadable.get_or_insert((row, error));
                            }
                        },
                    )
                    .await?;
                }
            }
            let params = params(some, &minutes);
            for_each_row(conn, &minutes_sql(shard), params, |(id, unix_s, count)| {
                each(EventId(id), unix_s, count);
            })
            .await?;
        }
    }
    Ok(unreadable)
}

fn minutes_sql(shard: Shard) -> String {
    format!(
        "SELECT eventId, UNIX_TIMESTAMP(createDate), count FROM {shard}.EventMinute \
         WHERE eventId IN ({}) AND createDate BETWEEN FROM_UNIXTIME(?) AND FROM_UNIXTIME(?)",
        marks()
    )
}

/// By the index of names: the server might think that it is cheaper to read everybody's days.
fn days_sql(shard: Shard) -> String {
    format!(
        "SELECT eventId, UNIX_TIMESTAMP(day), counts FROM {shard}.EventDay FORCE INDEX (eventTotal) \
         WHERE eventId IN ({}) AND day BETWEEN ? AND ?",
        marks()
    )
}

/// From the index alone.
fn totals_sql(shard: Shard) -> String {
    format!(
        "SELECT eventId, UNIX_TIMESTAMP(day), total FROM {shard}.EventDay FORCE INDEX (eventTotal) \
         WHERE eventId IN ({}) AND day BETWEEN ? AND ?",
        marks()
    )
}

fn marks() -> String {
    ["?"; IDS_PER_STATEMENT].join(", ")
}

/// `ids` has from 1 to [`IDS_PER_STATEMENT`] ids.
fn params(ids: &[EventId], range: &[Value; 2]) -> Vec<Value> {
    let repeated = ids
        .iter()
        .chain(std::iter::repeat(&ids[ids.len() - 1]))
        .take(IDS_PER_STATEMENT);
    repeated
        .map(|id| Value::from(id.0))
        .chain(range.iter().cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_as_many_parameters_as_marks() {
        let ids: Vec<EventId> = (0..8).map(EventId).collect();
        let range = [Value::from(0), Value::from(1)];
        for some in [&ids[..1], &ids[..]] {
            let params = params(some, &range);
            for sql in [minutes_sql, days_sql, totals_sql] {
                assert_eq!(params.len(), sql(Shard::of(ids[0])).matches('?').count());
            }
            assert_eq!(params[7], Value::from(some[some.len() - 1].0));
        }
    }
}
