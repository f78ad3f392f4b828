//! Time zones: the clock that a request's days are of.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

/// The steps in which the end of a gap is looked for: a clock that is put forward skips an hour, or a day where the date line was moved.
const GAP_STEP: TimeDelta = TimeDelta::minutes(15);
const GAP_STEPS_MAX: i32 = 4 * 25;

/// Seconds between two looks for a change of the offset: changes are weeks apart.
const LOOK_S: usize = 6 * 3_600;

/// A zone of the IANA database, as of the version of `chrono-tz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

impl Zone {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self(Tz::UTC);

    /// The zone of a name such as `Europe/Berlin`, in any case; UTC for an empty name. `None` for a name that is no zone's.
    pub fn named(name: &str) -> Option<Self> {
        if name.is_empty() {
            return Some(Self::UTC);
        }
        let named = |zone: &&Tz| zone.name().eq_ignore_ascii_case(name);
        TZ_VARIANTS.iter().find(named).copied().map(Self)
    }

    /// Seconds that the zone's clock is ahead of UTC.
    pub(crate) fn offset_s(self, unix_s: i64) -> i64 {
        let at = DateTime::from_timestamp(unix_s, 0)
            .unwrap_or_default()
            .naive_utc();
        i64::from(self.0.offset_from_utc_datetime(&at).fix().local_minus_utc())
    }

    /// The reading of the zone's clock, as seconds since it showed 1970: a day of them is a day of the calendar, however long it lasted.
    pub(crate) fn local_s(self, unix_s: i64) -> i64 {
        unix_s + self.offset_s(unix_s)
    }

    /// The first instant, in unix seconds, at which the zone's clock showed `local_s`, or more where it was put forward.
    pub(crate) fn unix_s(self, local_s: i64) -> i64 {
        let shown = DateTime::from_timestamp(local_s, 0)
            .unwrap_or_default()
            .naive_utc();
        self.instant(shown).unwrap_or(local_s)
    }

    fn instant(self, shown: NaiveDateTime) -> Option<i64> {
        let later = (0..GAP_STEPS_MAX).filter_map(|steps| shown.checked_add_signed(GAP_STEP * steps));
        later
            .map(|shown| self.0.from_local_datetime(&shown))
            .find_map(|instant| match instant {
                MappedLocalTime::Single(instant) | MappedLocalTime::Ambiguous(instant, _) => {
                    Some(instant.timestamp())
                }
                MappedLocalTime::None => None,
            })
    }

    /// Whether intervals of `length` seconds, which begin with the zone's days at `start`, no longer do at some instant before `end`.
    pub(crate) fn shifts_within(self, (start, end): (i64, i64), length: i64) -> bool {
        let phase = |unix_s| self.offset_s(unix_s).rem_euclid(length.max(1));
        self != Self::UTC
            && (start..end)
                .step_by(LOOK_S)
                .chain([end])
                .any(|at| phase(at) != phase(start))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::named(name).unwrap()
    }

    #[test]
    fn zones_by_name() {
        assert_eq!(Zone::named(""), Some(Zone::UTC));
        assert_eq!(Zone::named("utc"), Some(Zone::UTC));
        assert_eq!(zone("europe/berlin"), zone("Europe/Berlin"));
        for text in ["Europe/Atlantis", "+02:00", "CEST", "browser"] {
            assert_eq!(Zone::named(text), None, "{text}");
        }
    }

    #[test]
    fn a_clock_that_is_changed() {
        let berlin = zone("Europe/Berlin");
        // 2025-03-30 and 2025-10-26, 00:00 there.
        let (spring, autumn) = (1_743_289_200, 1_761_429_600);
        let local_midnight = |unix_s| berlin.local_s(unix_s);
        assert_eq!(
            berlin.unix_s(local_midnight(spring) + 86_400) - spring,
            23 * 3_600
        );
        assert_eq!(
            berlin.unix_s(local_midnight(autumn) + 86_400) - autumn,
            25 * 3_600
        );
        // 02:30 was skipped, and came twice.
        assert_eq!(berlin.unix_s(local_midnight(spring) + 9_000), spring + 2 * 3_600);
        assert_eq!(berlin.unix_s(local_midnight(autumn) + 9_000), autumn + 9_000);
        assert!(berlin.shifts_within((spring, spring + 86_400), 86_400));
        assert!(!berlin.shifts_within((spring, spring + 86_400), 3_600));
        assert!(!berlin.shifts_within((spring + 86_400, autumn), 86_400));
        assert!(zone("Australia/Lord_Howe").shifts_within((spring, autumn), 3_600));
        // No 30 December 2011 there.
        let apia = zone("Pacific/Apia");
        let skipped = 1_325_203_200;
        assert_eq!(apia.local_s(apia.unix_s(skipped)), skipped + 86_400);
    }

    proptest! {
        #[test]
        fn what_a_clock_shows_is_found_again(unix_s in 0i64..4_000_000_000, at in 0..TZ_VARIANTS.len()) {
            let zone = Zone(TZ_VARIANTS[at]);
            let found = zone.unix_s(zone.local_s(unix_s));
            prop_assert_eq!(zone.local_s(found), zone.local_s(unix_s));
            prop_assert!(found <= unix_s);
        }
    }
}
