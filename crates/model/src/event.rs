//! The event of a request, and the limits of its time.

use crate::{EventName, Minute, Timestamp};

/// Most milliseconds that an event may lie ahead of the collector's clock.
const AHEAD_MS_MAX: i64 = 3_600_000;

/// Why an event is refused for its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The event lies before the years that are counted.
    #[error("timestamp is before 2000-01-01T00:00:00Z")]
    TooEarly,
    /// The event lies further ahead than clocks differ, so its time is a mistake: milliseconds for seconds, say.
    #[error("timestamp is more than an hour ahead of the collector's clock; unix seconds are expected")]
    TooLate,
}

/// An event that will be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// The name, which is valid.
    pub name: EventName<'a>,
    /// How often it happened, from 1 to [`crate::EVENT_COUNT_MAX`].
    pub count: u64,
    /// The minute it happened in.
    pub minute: Minute,
}

impl Event<'_> {
    /// The minute of an event that happened at `at`, as a collector takes it at `now`.
    ///
    /// # Errors
    /// `TooEarly` before 2000, `TooLate` more than an hour after `now`.
    pub fn minute(at: Timestamp, now: Timestamp) -> Result<Minute, EventError> {
        if at > now.plus_ms(AHEAD_MS_MAX) {
            return Err(EventError::TooLate);
        }
        Minute::containing(at).map_err(|_| EventError::TooEarly)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_ahead_is_the_limit() {
        let now = Timestamp::from_unix_ms(1_763_787_600_000);
        assert!(Event::minute(now.plus_ms(AHEAD_MS_MAX), now).is_ok());
        assert_eq!(
            Event::minute(now.plus_ms(AHEAD_MS_MAX + 1), now),
            Err(EventError::TooLate)
        );
        assert_eq!(
            Event::minute(Timestamp::from_unix_ms(0), now),
            Err(EventError::TooEarly)
        );
    }
}
