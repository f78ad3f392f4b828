//! The range of time that an expression is evaluated in, and what holds for a whole request.

use crate::limits::Limits;
use crate::zone::Zone;

/// Seconds from one value as it is counted to the next.
pub(crate) const MINUTE_S: i64 = 60;

/// Unix seconds; as in Graphite, values after `from` and up to `until` are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Window {
    pub(crate) from: i64,
    pub(crate) until: i64,
}

impl Window {
    pub(crate) fn moved(self, seconds: i64) -> Self {
        Self {
            from: self.from.saturating_add(seconds),
            until: self.until.saturating_add(seconds),
        }
    }

    pub(crate) fn begun_at(self, from: i64) -> Self {
        Self { from, ..self }
    }

    /// First second of its minutes, and of the minute after them: as Whisper counts them, after `from` and up to `until`, at least one.
    pub(crate) fn minutes(self) -> (i64, i64) {
        let next = |unix_s: i64| unix_s - unix_s.rem_euclid(MINUTE_S) + MINUTE_S;
        let first = next(self.from);
        (first, next(self.until).max(first + MINUTE_S))
    }
}

/// What holds for a whole request: when it is, by which zone's clock, and what it may ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Context {
    /// Unix seconds.
    pub(crate) now: i64,
    pub(crate) zone: Zone,
    pub(crate) limits: Limits,
}
