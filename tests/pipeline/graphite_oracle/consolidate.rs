//! graphite-web's values, added up to the buckets that ours shows.
//!
//! With `maxDataPoints` ours has buckets of its own choice. So graphite-web is asked for all values, and the test makes
//! buckets of them: a way to know what is right that shares no code with ours.

use super::compare::Point;

#[derive(Debug, PartialEq)]
pub(super) struct Consolidation {
    function: String,
    /// Share of known values that a bucket needs.
    x_files_factor: f64,
    points_max: usize,
}

impl Consolidation {
    /// As the target says; by `otherwise` where it says nothing.
    pub(super) fn of(target: &str, otherwise: &str, points_max: usize) -> Self {
        let function = target.split_once("consolidateBy(").and_then(|(_, rest)| {
            let (_, rest) = rest.rsplit_once(",\"")?;
            Some(rest.split_once('"')?.0.to_owned())
        });
        let x_files_factor = target.strip_prefix("setXFilesFactor(").and_then(|rest| {
            let (_, factor) = rest.trim_end_matches(')').rsplit_once(',')?;
            factor.parse().ok()
        });
        Self {
            function: function.unwrap_or_else(|| otherwise.to_owned()),
            x_files_factor: x_files_factor.unwrap_or(0.0),
            points_max,
        }
    }

    /// Theirs in the buckets that begin at the times of ours, which have to be as long as each other and to hold all of theirs.
    pub(super) fn apply(&self, theirs: &[Point], ours: &[Point]) -> Result<Vec<Point>, String> {
        let times: Vec<i64> = ours.iter().map(|point| point.1).collect();
        if times.len() > self.points_max {
            return Err(format!("{} points of at most {}", times.len(), self.points_max));
        }
        if theirs.iter().map(|point| point.1).eq(times.iter().copied()) {
            return Ok(theirs.to_vec());
        }
        let (Some(first), Some(their_first)) = (times.first(), theirs.first()) else {
            return Ok(theirs.to_vec());
        };
        let lengths: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        if lengths.windows(2).any(|pair| pair[0] != pair[1]) || *first > their_first.1 {
            return Err(format!(
                "buckets begin at {times:?}, the first value at {}",
                their_first.1
            ));
        }
        if lengths.first().is_some_and(|length| first % length != 0) {
            return Err(format!(
                "a bucket begins at {first}, which is no multiple of its length"
            ));
        }
        let end = |at: usize| times.get(at + 1).copied().unwrap_or(i64::MAX);
        let bucket = |(at, begin): (usize, &i64)| {
            let inside = theirs.iter().filter(|point| (*begin..end(at)).contains(&point.1));
            (
                self.value(&inside.map(|point| point.0).collect::<Vec<_>>()),
                *begin,
            )
        };
        Ok(times.iter().enumerate().map(bucket).collect())
    }

    fn value(&self, inside: &[Option<f64>]) -> Option<f64> {
        let known: Vec<f64> = inside.iter().copied().flatten().collect();
        let count = |of: usize| f64::from(u32::try_from(of).unwrap());
        if known.is_empty() || count(known.len()) / count(inside.len()) < self.x_files_factor {
            return None;
        }
        Some(match self.function.as_str() {
            "sum" => known.iter().sum(),
            "average" => known.iter().sum::<f64>() / count(known.len()),
            "min" => known.iter().copied().fold(f64::INFINITY, f64::min),
            "max" => known.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            "first" => known[0],
            "last" => known[known.len() - 1],
            other => panic!("the test knows no consolidation by {other}"),
        })
    }
}
