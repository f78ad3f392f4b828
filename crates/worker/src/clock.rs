//! What a worker may claim of its region: until when everything is counted.

use std::time::{Duration, Instant};

use model::Timestamp;

/// How far the database's clock and the worker's may drift apart between two readings before it counts as a jump.
const JUMP_MS: i64 = 1_000;

/// How long nothing is claimed after the database's clock jumped: until no centre believes a comparison from before any more, which
/// takes 30 s (`store::COMPARISON_MS_MAX`), or has made another one.
const HOLD: Duration = Duration::from_secs(35);

const _: () = assert!(HOLD.as_millis() > store::COMPARISON_MS_MAX.unsigned_abs() as u128);

/// The regional database's clock, by whose readings claims are made.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: Option<(Timestamp, Instant)>,
    jumped: Option<Instant>,
}

impl Clock {
    /// Takes note of a reading; an error of this process' own clock looks like a jump, too, and is as harmless.
    pub(crate) fn read(&mut self, now: Timestamp, at: Instant) {
        if let Some((last, last_at)) = self.last.replace((now, at)) {
            let passed_ms = i64::try_from((at - last_at).as_millis()).unwrap_or(i64::MAX);
            let jump_ms = now.ms_since(last).saturating_sub(passed_ms);
            if jump_ms.saturating_abs() > JUMP_MS {
                tracing::warn!(
                    jump_ms,
                    "the regional database's clock jumped: completeness is held back"
                );
                metrics::counter!("worker_clock_jumps_total").increment(1);
                self.jumped = Some(at);
            }
        }
    }

    /// Until when everything acknowledged is counted with this flush, by the regional database's clock as it was last read:
    /// everything put before `passed`, by this process' own clock, is counted or in the flush.
    pub(crate) fn complete_until(&self, passed: Option<Instant>) -> Option<Timestamp> {
        let ((now, at), passed) = (self.last?, passed?);
        if let Some(jumped) = self.jumped
            && (at - jumped < HOLD || passed < jumped)
        {
            return None;
        }
        let ago_ms = at.saturating_duration_since(passed).as_micros().div_ceil(1_000);
        Some(now.plus_ms(-i64::try_from(ago_ms).ok()?))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test begins now")]
mod tests {
    use super::*;

    fn time(s: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_763_787_600_000 + s * 1000)
    }

    #[test]
    fn a_claim_is_as_old_as_what_was_passed() {
        let (start, mut clock) = (Instant::now(), Clock::default());
        let at = |s: u64| start + Duration::from_secs(s);
        assert_eq!(clock.complete_until(Some(at(0))), None);
        clock.read(time(5), at(5));
        assert_eq!(clock.complete_until(Some(at(5))), Some(time(5)));
        assert_eq!(clock.complete_until(Some(at(1))), Some(time(1)));
        let a_moment_before = at(5) - Duration::from_micros(1);
        assert_eq!(
            clock.complete_until(Some(a_moment_before)),
            Some(time(5).plus_ms(-1))
        );
        assert_eq!(clock.complete_until(None), None);
    }

    #[test]
    fn nothing_is_claimed_after_a_jump_and_nothing_of_before_it_ever() {
        let (start, mut clock) = (Instant::now(), Clock::default());
        let at = |s: u64| start + Duration::from_secs(s);
        clock.read(time(0), at(0));
        clock.read(time(5), at(5));
        // As much as this is drift.
        clock.read(time(7), at(6));
        assert_eq!(clock.complete_until(Some(at(6))), Some(time(7)));
        clock.read(time(96), at(6));
        assert_eq!(clock.complete_until(Some(at(6))), None);
        clock.read(time(130), at(40));
        assert_eq!(clock.complete_until(Some(at(40))), None);
        clock.read(time(131), at(41));
        assert_eq!(clock.complete_until(Some(at(41))), Some(time(131)));
        assert_eq!(clock.complete_until(Some(at(6))), Some(time(96)));
        assert_eq!(clock.complete_until(Some(at(5))), None);
    }
}
