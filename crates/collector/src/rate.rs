//! How many events a second a client may send.

use std::time::{Duration, Instant};

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
    /// Up to when it has filled; `None` before the first request.
    filled: Option<Instant>,
}

impl Rate {
    /// Takes `events` out of a bucket that fills by `per_s`.
    ///
    /// # Errors
    /// `UsedUp` where the bucket is empty; then nothing is taken.
    pub(crate) fn charge(&mut self, per_s: u32, events: usize, now: Instant) -> Result<(), UsedUp> {
        let per_s = i64::from(per_s);
        let passed = self
            .filled
            .map_or(Duration::ZERO, |filled| now.duration_since(filled));
        // Only whole milliseconds fill it: what is left of the last one counts next time.
        let passed_ms = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let filled = self.filled.get_or_insert(now);
        *filled += Duration::from_millis(passed_ms.unsigned_abs());
        self.missing = self
            .missing
            .saturating_sub(passed_ms.saturating_mul(per_s))
            .max(0);
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

    /// Puts events back that were charged and did not count.
    pub(crate) fn refund(&mut self, events: usize) {
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        self.missing = self.missing.saturating_sub(events.saturating_mul(1_000)).max(0);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "instants begin somewhere")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clock() -> impl Fn(i64) -> Instant {
        let begun = Instant::now();
        move |ms| begun + Duration::from_millis(ms.unsigned_abs())
    }

    #[test]
    fn a_burst_of_ten_seconds_and_then_so_many_a_second() {
        let (mut rate, at) = (Rate::default(), clock());
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
    fn what_did_not_count_is_put_back() {
        let (mut rate, at) = (Rate::default(), clock());
        assert_eq!(rate.charge(10, 100, at(0)), Ok(()));
        assert!(rate.charge(10, 0, at(0)).is_err());
        rate.refund(100);
        assert_eq!(rate.charge(10, 100, at(0)), Ok(()));
        rate.refund(1_000);
        assert_eq!(rate.missing, 0, "never more than a burst");
    }

    proptest! {
        #[test]
        fn in_the_long_run_no_more_than_allowed(
            per_s in 1u32..1_000,
            requests in prop::collection::vec((0usize..500, 0i64..400), 1..300),
        ) {
            let at = clock();
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
