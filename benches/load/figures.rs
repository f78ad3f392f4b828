//! How figures are written.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;

/// Durations of up to ten minutes, in microseconds, to three digits.
#[derive(Debug)]
pub(crate) struct Durations(Histogram<u64>);

const LONGEST_US: u64 = 600_000_000;

impl Durations {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_max(LONGEST_US, 3)?))
    }

    pub(crate) fn record(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(us);
    }

    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    pub(crate) fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }

    pub(crate) fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }
}

/// `median 1.2 ms, p99 8.0 ms, max 40.1 ms`
impl fmt::Display for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "median {}, p99 {}, max {}",
            ms(self.quantile(0.5)),
            ms(self.quantile(0.99)),
            ms(self.max())
        )
    }
}

/// Milliseconds: to the hundredth where they are few.
pub(crate) fn ms(duration: Duration) -> String {
    const FEW: Duration = Duration::from_millis(2);
    let digits = if duration < FEW { 2 } else { 1 };
    format!("{:.digits$} ms", duration.as_secs_f64() * 1000.0)
}

/// Exact below 2^32; a run stays far below.
pub(crate) fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

pub(crate) fn per_s(count: u64, time: Duration) -> f64 {
    float(count) / time.as_secs_f64()
}

/// Processor seconds for each million of `events`.
pub(crate) fn per_million(processor: Duration, events: u64) -> f64 {
    processor.as_secs_f64() / (float(events) / 1e6)
}

/// With commas between thousands.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A table whose first column holds words, and all others figures.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
