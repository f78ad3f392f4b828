//! Windows: the range of time that an expression is evaluated in. The context: what holds for a whole request.

use crate::limits::Limits;
use crate::zone::Zone;

/// Seconds between the values of a series of counts.
pub(crate) const MINUTE_S: i64 = 60;

/// A range of time in unix seconds. As in Graphite, its values are those after `from` and up to `until`.
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

    /// The first second of its minutes, and of the minute after them: those after `from` and up to `until`, as Whisper counts them, at least
    /// one.
    pub(crate) fn minutes(self) -> (i64, i64) {
        let next = |unix_s: i64| unix_s - unix_s.rem_euclid(MINUTE_S) + MINUTE_S;
        let first = next(self.from);
        (first, next(self.until).max(first + MINUTE_S))
    }
}

/// The context of a whole request: the present, the zone by whose clock it is, and the limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Context {
    /// The present, in unix seconds.
    pub(crate) now: i64,
    pub(crate) zone: Zone,
    pub(crate) limits: Limits,
}
