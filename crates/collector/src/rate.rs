//! How many events a second a client may send.

use model::Timestamp;

/// Seconds' worth of events that may come at once.
const BURST_S: i64 = 10;

/// A client has sent more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsedUp {
    /// Seconds until it may send again.
    pub(crate) retry_after_s: u32,
}

/// A bucket of tokens (RFC 2697's meter): it fills by so many events a second up to ten seconds' worth, and a request takes its events
/// out. It may take more than there are, once: the next one waits until the bucket has some again. Else a request with more events than ten
/// seconds allow could never be sent.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// Thousandths of events that are missing in the bucket.
    missing: i64,
    /// Up to when it has filled, in unix milliseconds.
    filled_ms: i64,
}

impl Rate {
    /// Takes `events` out of a bucket that fills by `per_s`.
    ///
    /// # Errors
    /// `UsedUp` where the bucket is empty; then nothing is taken.
    pub(crate) fn charge(&mut self, per_s: u32, events: usize, now: Timestamp) -> Result<(), UsedUp> {
        let per_s = i64::from(per_s);
        let now_ms = now.unix_ms();
        // A clock that was set back fills nothing, and one that was set ahead fills it once.
        let passed_ms = now_ms.saturating_sub(self.filled_ms).max(0);
        self.missing = self
            .missing
            .saturating_sub(passed_ms.saturating_mul(per_s))
            .max(0);
        self.filled_ms = now_ms;
        let over = self.missing - (1_000 * BURST_S * per_s - 1_000);
        if over > 0 {
            let seconds = over.unsigned_abs().div_ceil(1_000 * per_s.unsigned_abs());
            let retry_after_s = u32::try_from(seconds).unwrap_or(u32::MAX);
            return Err(UsedUp { retry_after_s });
        }
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        self.missing = self.missing.saturating_add(events.saturating_mul(1_000));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_763_787_600_000 + ms)
    }

    #[test]
    fn a_burst_of_ten_seconds_and_then_so_many_a_second() {
        let mut rate = Rate::default();
        assert_eq!(rate.charge(100, 1_000, at(0)), Ok(()));
        assert_eq!(rate.charge(100, 1, at(0)), Err(UsedUp { retry_after_s: 1 }));
        assert_eq!(rate.charge(100, 1, at(9)), Err(UsedUp { retry_after_s: 1 }));
        assert_eq!(rate.charge(100, 1, at(10)), Ok(()));
        assert_eq!(
            rate.charge(100, 10_000, at(20)),
            Ok(()),
            "more than a burst, once"
        );
        assert_eq!(rate.charge(100, 1, at(1_000)), Err(UsedUp { retry_after_s: 100 }));
        assert_eq!(rate.charge(100, 1, at(100_020)), Ok(()));
        assert_eq!(rate.charge(100, 0, at(100_020)), Err(UsedUp { retry_after_s: 1 }));
    }

    #[test]
    fn a_clock_that_jumps_gives_no_more_than_a_burst() {
        let mut rate = Rate::default();
        assert_eq!(rate.charge(10, 100, at(0)), Ok(()));
        assert!(rate.charge(10, 1, at(-3_600_000)).is_err());
        assert_eq!(rate.charge(10, 100, at(3_600_000)), Ok(()));
        assert!(rate.charge(10, 1, at(3_600_000)).is_err());
    }

    proptest! {
        #[test]
        fn in_the_long_run_no_more_than_allowed(
            per_s in 1u32..1_000,
            requests in prop::collection::vec((0usize..500, 0i64..400), 1..300),
        ) {
            let (mut rate, mut sent, mut now, mut largest) = (Rate::default(), 0, 0, 0);
            for (events, pause_ms) in requests {
                now += pause_ms;
                largest = largest.max(events);
                match rate.charge(per_s, events, at(now)) {
                    Ok(()) => sent += events,
                    Err(UsedUp { retry_after_s }) => {
                        // Who waits as long as it is told is let in.
                        now += 1_000 * i64::from(retry_after_s);
                        prop_assert_eq!(rate.charge(per_s, 0, at(now)), Ok(()));
                    }
                }
            }
            let allowed = usize::try_from(i64::from(per_s) * (10_000 + now) / 1_000).unwrap();
            prop_assert!(sent <= allowed + largest, "{} {}", sent, allowed);
        }
    }
}
