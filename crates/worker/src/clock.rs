//! What a worker may claim of its region: until when everything is counted.

use std::time::{Duration, Instant};

use model::Instant as Time;
use queue::Oldest;

/// How far the database's clock and the worker's may drift apart between two readings before it counts as a jump.
const JUMP_MS: i64 = 1_000;

/// How long nothing is claimed after the database's clock jumped: until every centre's keeper has compared it again.
const HOLD: Duration = Duration::from_secs(30);

/// The regional database's clock, by whose readings claims are made.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: Option<(Time, Instant)>,
    held_since: Option<Instant>,
}

impl Clock {
    /// Takes note of a reading; an error of this process' own clock looks like a jump, too, and is as harmless.
    pub(crate) fn read(&mut self, now: Time, at: Instant) {
        if let Some((last, last_at)) = self.last.replace((now, at)) {
            let passed_ms = i64::try_from((at - last_at).as_millis()).unwrap_or(i64::MAX);
            let jump_ms = now.ms_since(last).saturating_sub(passed_ms);
            if jump_ms.saturating_abs() > JUMP_MS {
                tracing::warn!(
                    jump_ms,
                    "the regional database's clock jumped: completeness is held back"
                );
                metrics::counter!("worker_clock_jumps_total").increment(1);
                self.held_since = Some(at);
            }
        }
        if self.held_since.is_some_and(|since| at - since >= HOLD) {
            self.held_since = None;
        }
    }

    /// Every job put before is counted with this flush, where `now` was read before the queue was looked at.
    pub(crate) fn complete_until(&self, now: Time, oldest: Oldest) -> Option<Time> {
        if self.held_since.is_some() {
            return None;
        }
        put_before(now, oldest)
    }
}

/// No job that was put before is in the queue, beside those that the look passed over.
pub(crate) fn put_before(now: Time, oldest: Oldest) -> Option<Time> {
    match oldest {
        Oldest::Nothing => Some(now),
        // beanstalkd cuts an age to whole seconds.
        Oldest::AgeS(age_s) => {
            let age_ms = i64::try_from(age_s).ok()?.checked_add(1)?.checked_mul(1000)?;
            Some(now.plus_ms(-age_ms))
        }
        Oldest::NotKnown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_claimed_after_a_jump() {
        let (start, mut clock) = (Instant::now(), Clock::default());
        let at = |s: u64| start + Duration::from_secs(s);
        let time = |s: i64| Time::from_unix_ms(1_763_787_600_000 + s * 1000);
        clock.read(time(0), at(0));
        clock.read(time(5), at(5));
        assert_eq!(clock.complete_until(time(5), Oldest::Nothing), Some(time(5)));
        assert_eq!(clock.complete_until(time(5), Oldest::AgeS(3)), Some(time(1)));
        assert_eq!(clock.complete_until(time(5), Oldest::NotKnown), None);
        clock.read(time(96), at(6));
        assert_eq!(clock.complete_until(time(96), Oldest::Nothing), None);
        clock.read(time(125), at(35));
        assert_eq!(clock.complete_until(time(125), Oldest::Nothing), None);
        clock.read(time(126), at(36));
        assert_eq!(clock.complete_until(time(126), Oldest::Nothing), Some(time(126)));
    }
}
