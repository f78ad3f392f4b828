//! Limits: the most that a request may ask for, all in this file.

use std::time::Duration;

/// Most targets of one request; a panel of Grafana has up to 26 and a few that they refer to.
pub const TARGETS_MAX: usize = 100;

/// Most bytes of one target: a hundred names of ordinary length, or all that a person would write.
pub const TARGET_BYTES_MAX: usize = 16_384;

/// Most calls within calls, where a pipe is a call around all before it: deeper than anything a query editor draws.
pub const DEPTH_MAX: usize = 32;

/// Most visits of one request's evaluation: a visit is the evaluation of one name, call or literal in one window. A hundred for each target.
pub const VISITS_MAX: usize = 10_000;

/// Most ways of one request in which series are added up as they are read: each looks at every name. Others are given series.
pub(crate) const GROUPINGS_MAX: usize = 20;

/// Most conditions of one `seriesByTag`; Grafana's editor makes one for each row that somebody adds.
pub const CONDITIONS_MAX: usize = 10;

/// Longest work on one request's functions, looked at between two of them: several times that of a large dashboard.
pub(crate) const WORK_LIMIT: Duration = Duration::from_secs(2);

/// The limits that the api has for all of its answers, these among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most names and patterns of one request.
    pub patterns_max: usize,
    /// Most names that are read, each once for each window of time.
    pub names_read_max: usize,
    /// Most values of one series, and of a moving window.
    pub points_per_series_max: usize,
}
