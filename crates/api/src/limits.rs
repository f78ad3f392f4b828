//! The limits of what one request may ask for, and of what all requests may hold at once: those that more than one file needs, or that
//! a refusal names.

use std::time::Duration;

/// Patterns of one request: each is a search of its own.
pub(crate) const PATTERNS_MAX: usize = 200;

/// Tokens of all patterns of one request, their alternatives multiplied out: what they cost to hold and to match.
pub(crate) const PATTERN_TOKENS_MAX: usize = 20_000;

/// Names that are looked at for each pattern, over all patterns: a tenth of a second where requests are served.
pub(crate) const MATCHES_MAX: usize = 200_000;

/// Series of one answer: what they cost is bounded by their points and counts; so many names alone take 2 MB.
pub(crate) const SERIES_MAX: usize = 10_000;

/// Names that are read for one answer, each once for each window of time: what is asked of the database is some 45 bytes for each.
pub(crate) const NAMES_READ_MAX: usize = 1_000_000;

/// Counts that are read for one answer, of a name in a minute or in a day: 200 names over a year by the minute, which takes as
/// long as an answer may.
pub(crate) const COUNTS_READ_MAX: usize = 120_000_000;

/// Points whose room a series' name takes.
pub(crate) const POINTS_PER_NAME: usize = 16;

/// Points of one series: a year of minutes, with room to spare.
pub(crate) const POINTS_PER_SERIES_MAX: usize = 600_000;

/// Points of one answer: 32 MB of sums, about 50 MB of JSON.
pub(crate) const POINTS_MAX: usize = 2_000_000;

/// Sums that are held for the functions of one request, of a name in a minute or in the interval that these come in: 64 MB.
pub(crate) const SUMS_MAX: usize = 4_000_000;

/// The limits that Graphite's language shares with the other answers.
pub(crate) const GRAPHITE: graphite::Limits = graphite::Limits {
    patterns_max: PATTERNS_MAX,
    names_read_max: NAMES_READ_MAX,
    points_per_series_max: POINTS_PER_SERIES_MAX,
};

/// Bytes of a posted form: Grafana's largest dashboards send some tens of kilobytes.
pub(crate) const FORM_BYTES_MAX: usize = 1_048_576;

/// Bytes of one annotation as it is sent: its fields at their limits, every character escaped, with room to spare.
pub(crate) const ANNOTATION_BYTES_MAX: usize = 32 * 1024;

/// Annotations of one answer: more would cover a graph. Of more than these, the newest are given.
pub(crate) const ANNOTATIONS_MAX: usize = 1_000;

/// Names of one answer: a search shows the best, it is no listing.
pub(crate) const NAMES_MAX: usize = 1_000;

/// Values of one answer to `/tags/autoComplete/values`.
pub(crate) const TAG_VALUES_MAX: usize = 10_000;

/// Nodes of one answer: more than anybody scrolls through.
pub(crate) const NODES_MAX: usize = 10_000;

/// Queries of one request for nodes.
pub(crate) const QUERIES_MAX: usize = 100;

/// Longest time from a request's headers to its answer's first byte: one slow database call and its wait for a connection fit in.
pub(crate) const REQUEST_LIMIT: Duration = Duration::from_secs(30);
