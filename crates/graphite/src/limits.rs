//! What a request may ask for: every limit of this crate.

use std::time::Duration;

/// Targets of one request; a panel of Grafana has up to 26 and a few that they refer to.
pub const TARGETS_MAX: usize = 100;

/// Bytes of one target: a hundred names of ordinary length, or all that a person would write.
pub const TARGET_BYTES_MAX: usize = 16_384;

/// Calls within calls, where a pipe is a call around all before it: deeper than anything a query editor draws.
pub const DEPTH_MAX: usize = 32;

/// Names, calls and literals of one request, times the windows that they are evaluated in: a hundred for each target.
pub const VISITS_MAX: usize = 10_000;

/// Conditions of one `seriesByTag`; Grafana's editor makes one for each row that somebody adds.
pub const CONDITIONS_MAX: usize = 10;

/// Longest work on one request's functions, looked at between two of them: several times that of a large dashboard.
pub(crate) const WORK_LIMIT: Duration = Duration::from_secs(2);

/// Limits that whoever serves the language shares with its other answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Names and patterns of one request.
    pub patterns_max: usize,
    /// Values of one series, and of a moving window.
    pub points_per_series_max: usize,
}
