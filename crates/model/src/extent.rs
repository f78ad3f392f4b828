//! The time of which counts are known, and what may be shown of it.

use crate::day::Day;
use crate::time::Timestamp;

/// The time of which counts are known: from the first day that is kept up to the watermark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// The watermark: every event before it is counted. `None` where it is not known for every region.
    pub complete_until: Option<Timestamp>,
    /// The first day that retention has not dropped; `None` where it never dropped any.
    pub kept_since: Option<Day>,
}

impl Extent {
    /// The value to show for the time from `start` up to `end`, in unix seconds, whose counts add up to `sum`. `None`, which is unknown,
    /// where a part of the time is not kept any more, and for a sum of 0 before everything up to `end` is counted.
    pub fn shown(&self, sum: u128, (start, end): (i64, i64)) -> Option<u128> {
        let is_complete = self
            .complete_until
            .is_some_and(|until| until.unix_ms() >= end.saturating_mul(1000));
        (self.is_kept(start) && (sum > 0 || is_complete)).then_some(sum)
    }

    /// Whether retention has dropped nothing from `start` on, in unix seconds.
    pub fn is_kept(&self, start: i64) -> bool {
        self.kept_since.is_none_or(|day| day.unix_s() <= start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_without_events_is_0_only_once_it_is_complete() {
        let extent = Extent {
            complete_until: Some(Timestamp::from_unix_ms(120_000)),
            kept_since: None,
        };
        assert_eq!(Extent::default().shown(7, (120, 180)), Some(7));
        assert_eq!(Extent::default().shown(0, (60, 120)), None);
        assert_eq!(extent.shown(0, (60, 120)), Some(0));
        assert_eq!(extent.shown(0, (61, 121)), None);
    }

    #[test]
    fn time_of_which_a_part_was_dropped_is_not_known() {
        let extent = Extent {
            complete_until: Some(Timestamp::from_rfc3339("2026-03-05T00:00:00Z").unwrap()),
            kept_since: Some(Day::containing(86_400)),
        };
        assert_eq!(extent.shown(7, (86_400, 172_800)), Some(7));
        assert_eq!(extent.shown(7, (86_399, 172_800)), None);
    }
}
