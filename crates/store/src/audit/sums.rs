//! The sums of every minute, twice: as regions counted it, and as names hold it.

use std::collections::BTreeMap;

use model::{Day, MINUTES_PER_DAY, Minute, Shard, Shards, for_each_in_block, for_each_packed};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Value};

use super::{Gap, Range};

/// The limit of a count, which it no longer grows beyond.
const SATURATED: u64 = u64::MAX;

/// The two sums of a minute, counted and stored.
type Pair = (u128, u128);

/// The sums of a period.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// Sums by a minute's first second.
    pub(super) minutes: BTreeMap<i64, Pair>,
    /// Totals and sums of packed days, of those rows where the two differ.
    days: BTreeMap<Day, Pair>,
    /// Counts at their limit: database and number of them.
    pub(super) saturated: Vec<(String, u64)>,
}

impl Sums {
    /// Reads the sums of whole days, so that each packed one is read with all that belongs to it; what names hold of these shards alone.
    pub(super) async fn read(
        conn: &mut Conn,
        range: Range,
        shards: Shards,
    ) -> Result<Self, mysql_async::Error> {
        let mut sums = Self::default();
        let first = Day::containing(range.from.unix_ms().div_euclid(1000)).unix_s();
        let last = Day::containing((range.until.unix_ms() - 1).div_euclid(1000)).end_unix_s();
        let limits = (
            first.max(Minute::FIRST.unix_s()),
            last.min(Minute::LAST.unix_s() + 60),
        );
        let counted = "SELECT UNIX_TIMESTAMP(createDate), CAST(SUM(count) AS CHAR) FROM bigdata_0.RegionMinute \
                       WHERE createDate >= FROM_UNIXTIME(?) AND createDate < FROM_UNIXTIME(?) GROUP BY createDate";
        for (unix_s, sum) in conn.exec::<(i64, String), _, _>(counted, limits).await? {
            sums.minutes.entry(unix_s).or_default().0 = number(&sum)?;
        }
        let mut packed = PackedSums::default();
        for shard in shards.iter() {
            let saturated = sums.read_minutes(conn, shard, limits).await?
                + packed.read(conn, shard, limits).await?
                + packed.read_blocks(conn, shard, limits).await?;
            if saturated > 0 {
                sums.saturated.push((shard.to_string(), saturated));
            }
        }
        sums.add(packed);
        Ok(sums)
    }

    async fn read_minutes(
        &mut self,
        conn: &mut Conn,
        shard: Shard,
        limits: (i64, i64),
    ) -> Result<u64, mysql_async::Error> {
        let stored = format!(
            "SELECT UNIX_TIMESTAMP(createDate), CAST(SUM(count) AS CHAR), CAST(SUM(count = {SATURATED}) AS UNSIGNED) \
             FROM {shard}.EventMinute \
             WHERE createDate >= FROM_UNIXTIME(?) AND createDate < FROM_UNIXTIME(?) GROUP BY createDate"
        );
        let mut saturated = 0;
        for (unix_s, sum, full) in conn.exec::<(i64, String, u64), _, _>(stored, limits).await? {
            self.minutes.entry(unix_s).or_default().1 += number(&sum)?;
            saturated += full;
        }
        Ok(saturated)
    }

    /// Adds what names hold at another server of the same centre, at the same position: what regions counted is the same there.
    pub(super) fn add_server(&mut self, other: Self) {
        for (at, (counted, stored)) in other.minutes {
            let minute = self.minutes.entry(at).or_default();
            minute.0 = minute.0.max(counted);
            minute.1 += stored;
        }
        for (day, (total, sum)) in other.days {
            let different = self.days.entry(day).or_default();
            different.0 += total;
            different.1 += sum;
        }
        self.saturated.extend(other.saturated);
    }

    /// Adds packed days and blocks to what names hold.
    fn add(&mut self, packed: PackedSums) {
        for (day, minutes) in packed.minutes {
            for (minute, sum) in (0i64..).zip(minutes) {
                if sum > 0 {
                    self.minutes.entry(day.unix_s() + 60 * minute).or_default().1 += sum;
                }
            }
        }
        self.days = packed.different;
    }

    /// Leaves out what retention has dropped: days before `first`.
    pub(super) fn forget_before(&mut self, first: Day) {
        self.minutes.retain(|&at, _| at >= first.unix_s());
        self.days.retain(|&day, _| day >= first);
    }

    /// The minutes and packed days whose two sums differ.
    pub(super) fn gaps(&self) -> impl Iterator<Item = Gap> + '_ {
        let gap = |unix_s, is_day, (counted, stored): Pair| Gap {
            unix_s,
            is_day,
            counted,
            stored,
        };
        let days = self
            .days
            .iter()
            .map(move |(day, &pair)| gap(day.unix_s(), true, pair));
        let minutes = self
            .minutes
            .iter()
            .filter(|(_, (counted, stored))| counted != stored);
        days.chain(minutes.map(move |(&unix_s, &pair)| gap(unix_s, false, pair)))
    }
}

/// The sums of packed days and blocks.
#[derive(Debug, Default)]
struct PackedSums {
    /// The sum of each minute of a day, over all names.
    minutes: BTreeMap<Day, Vec<u128>>,
    /// Totals and sums of those rows where the two differ.
    different: BTreeMap<Day, Pair>,
}

impl PackedSums {
    async fn read(
        &mut self,
        conn: &mut Conn,
        shard: Shard,
        limits: (i64, i64),
    ) -> Result<u64, mysql_async::Error> {
        let sql = format!(
            "SELECT UNIX_TIMESTAMP(day), total, counts FROM {shard}.EventDay \
             WHERE day >= DATE(FROM_UNIXTIME(?)) AND day < DATE(FROM_UNIXTIME(?))"
        );
        let mut saturated = 0;
        let mut rows = conn.exec_iter(sql, limits).await?;
        rows.for_each(|row| {
            let (unix_s, total, counts): (i64, u64, Vec<u8>) = mysql_async::from_row(row);
            saturated += self.add(Day::containing(unix_s), total, &counts);
        })
        .await?;
        rows.drop_result().await?;
        Ok(saturated)
    }

    async fn read_blocks(
        &mut self,
        conn: &mut Conn,
        shard: Shard,
        limits: (i64, i64),
    ) -> Result<u64, mysql_async::Error> {
        let sql = format!(
            "SELECT (TO_DAYS(day) - 719528) * 86400, counts FROM {shard}.EventBlock \
             WHERE day >= DATE(FROM_UNIXTIME(?)) AND day < DATE(FROM_UNIXTIME(?))"
        );
        let mut saturated = 0;
        let mut rows = conn.exec_iter(sql, limits).await?;
        rows.for_each(|row| {
            let (unix_s, counts): (i64, Vec<u8>) = mysql_async::from_row(row);
            saturated += self.add_block(Day::containing(unix_s), &counts);
        })
        .await?;
        rows.drop_result().await?;
        Ok(saturated)
    }

    /// Adds a block's counts. What cannot be read of it is missing, and so becomes a gap. Returns how many counts are at their limit.
    fn add_block(&mut self, day: Day, counts: &[u8]) -> u64 {
        let minutes = self.minutes_of(day);
        let mut saturated = 0;
        let read = for_each_in_block(counts, |_, minute, count| {
            minutes[usize::from(minute)] += u128::from(count);
            saturated += u64::from(count == SATURATED);
        });
        if let Err(error) = read {
            tracing::error!(%error, %day, "a block of counts cannot be read to its end");
        }
        saturated
    }

    fn minutes_of(&mut self, day: Day) -> &mut Vec<u128> {
        self.minutes
            .entry(day)
            .or_insert_with(|| vec![0; MINUTES_PER_DAY])
    }

    /// Adds a packed day's counts. Returns how many of them are at their limit.
    fn add(&mut self, day: Day, total: u64, counts: &[u8]) -> u64 {
        let minutes = self.minutes_of(day);
        let (mut sum, mut saturated) = (0u128, 0);
        let read = for_each_packed(counts, |minute, count| {
            minutes[usize::from(minute)] += u128::from(count);
            sum += u128::from(count);
            saturated += u64::from(count == SATURATED);
        });
        if read.is_err() || sum.min(SATURATED.into()) != u128::from(total) {
            let different = self.different.entry(day).or_default();
            different.0 += u128::from(total);
            different.1 += sum;
        }
        saturated
    }
}

/// A sum of counts as the server writes it. A text that is no number is an error: as 0 it would be equal to another that is none.
pub(crate) fn number(text: &str) -> Result<u128, mysql_async::Error> {
    text.parse().map_err(|_| {
        DriverError::FromValue {
            value: Value::from(text),
        }
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_minutes_are_compared_like_others() {
        let mut sums = Sums {
            minutes: BTreeMap::from([(0, (5, 0)), (60, (7, 2)), (86_400, (3, 3)), (86_460, (4, 5))]),
            ..Sums::default()
        };
        let mut packed = PackedSums::default();
        assert_eq!(packed.add(Day::containing(0), 10, b"[[0,5],[1,5]]"), 0);
        sums.add(packed);
        let gaps: Vec<String> = sums.gaps().map(|gap| gap.to_string()).collect();
        assert_eq!(
            gaps,
            ["minute 1970-01-02T00:01:00.000Z: regions counted 4, names hold 5: 1 too many"]
        );
    }

    #[test]
    fn blocks_are_compared_like_others() {
        let mut sums = Sums {
            minutes: BTreeMap::from([(0, (5, 0)), (60, (7, 2))]),
            ..Sums::default()
        };
        let mut packed = PackedSums::default();
        let full = packed.add_block(
            Day::containing(0),
            b"[[1,0,[2,4]],[2,0,[3,0,18446744073709551615]]]",
        );
        assert_eq!(full, 1);
        sums.add(packed);
        assert_eq!(sums.minutes[&0], (5, 5));
        assert_eq!(sums.minutes[&60], (7, 6));
        assert_eq!(sums.minutes[&120], (0, u128::from(u64::MAX)));
    }

    #[test]
    fn a_sum_that_cannot_be_read_is_no_zero() {
        assert_eq!(
            number("340282366920938463463374607431768211455").unwrap(),
            u128::MAX
        );
        for text in ["", "-1", "1e30"] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn totals_are_the_sums_of_their_minutes() {
        let mut packed = PackedSums::default();
        let day = Day::containing(0);
        for (total, counts) in [(3, "[[0,5]]"), (5, "[[0,3]]"), (1, "[[0,1]]"), (0, "[[0")] {
            packed.add(day, total, counts.as_bytes());
        }
        let saturated = packed.add(day, u64::MAX, b"[[0,18446744073709551615],[1,1]]");
        assert_eq!((saturated, packed.different[&day]), (1, (8, 8)));
        let mut sums = Sums::default();
        sums.add(packed);
        let gap = sums.gaps().next().unwrap();
        assert_eq!(
            gap.to_string(),
            "packed day 1970-01-01: totals that are not the sums of their minutes: 8 against 8"
        );
    }
}
