//! Single figures of what a role serves at `/metrics`.

use std::num::ParseIntError;

/// The value of the counter `name` in Prometheus text; 0 where it is not there, as before it first counts.
///
/// # Errors
/// A value that is no whole number.
pub fn counter(metrics: &str, name: &str) -> Result<u64, ParseIntError> {
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(Ok(0), str::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_its_whole_name() {
        let metrics = "# TYPE flushes_total counter\nflushes_total 12\nflushes_total_of{kind=\"a\"} 3\n";
        assert_eq!(counter(metrics, "flushes_total"), Ok(12));
        assert_eq!(counter(metrics, "flushes_total_of{kind=\"a\"}"), Ok(3));
        assert_eq!(counter(metrics, "flushes"), Ok(0));
        assert!(counter("rate 0.5", "rate").is_err());
    }
}
