//! `eventtracker series`: counts over time in the terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use chrono::DateTime;
use comfy_table::{CellAlignment, Table, presets};
use model::{Step, Timestamp};
use serde::Deserialize;

use self::sparkline::sparkline;
use super::send::{Api, ApiAddress};

mod sparkline;

/// Columns of the widest graph: a wider one is no better read.
const WIDTH_COLUMNS_MAX: usize = 100;

/// Columns where nothing says how wide the terminal is.
const WIDTH_COLUMNS_DEFAULT: usize = 80;

/// Series in the table: more do not fit on a screen.
const TABLE_SERIES_MAX: usize = 8;

/// Shows a count over time
///
/// Exit code 1 when no name matches (not with --csv).
#[derive(Debug, clap::Args)]
pub(crate) struct Series {
    /// Names or globs, such as `shop.item.sold` or `web.status.*`
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Beginning: unix seconds, RFC 3339, a date such as 2015-05-17, or an age such as -90m, -24h or -7d
    #[arg(long, value_name = "TIME", default_value = "-1h", allow_hyphen_values = true)]
    from: String,
    /// End, itself excluded
    #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true)]
    until: String,
    /// Width of a point: 1m, 5m, 15m, 1h, 6h, 1d, 1w or 1mo
    #[arg(long, default_value = "1m")]
    step: Step,
    /// How many of the last points the table shows
    #[arg(long, default_value = "60")]
    rows: usize,
    /// Prints the API's CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Prints the API's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiAddress,
}

/// The API's answer to `GET /v1/series`; times are unix seconds.
#[derive(Debug, Deserialize)]
struct SeriesAnswer {
    from: f64,
    until: f64,
    complete_until: Option<f64>,
    series: Vec<OneSeries>,
}

/// A series of the answer.
#[derive(Debug, Deserialize)]
struct OneSeries {
    name: String,
    /// Sum of all points; of 128 bits, as is each point, since these are sums of many counts of 64 bits.
    total: u128,
    /// Start of each bucket and its sum; `None` where that is not known.
    points: Vec<(f64, Option<u128>)>,
}

impl Series {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.show().await {
            Err(error) if reader_has_gone(&error) => Ok(ExitCode::SUCCESS),
            outcome => outcome,
        }
    }

    async fn show(&self) -> anyhow::Result<ExitCode> {
        let mut query: Vec<(&str, &str)> = self.names.iter().map(|name| ("name", name.as_str())).collect();
        query.extend([
            ("from", &*self.from),
            ("until", &*self.until),
            ("step", self.step.as_str()),
        ]);
        if self.csv {
            query.push(("format", "csv"));
        }
        let mut response = Api::new(&self.api)?.get("/v1/series", &query).await?;
        if self.csv {
            while let Some(part) = response.chunk().await.context("the API's answer broke off")? {
                print(&part)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let body = response.bytes().await.context("the API's answer broke off")?;
        let answer: SeriesAnswer =
            serde_json::from_slice(&body).context("the API's answer is not understood")?;
        if self.json {
            print(&body)?;
            print(b"\n")?;
        } else if !answer.series.is_empty() {
            print(self.graphs(&answer)?.as_bytes())?;
        }
        if answer.series.is_empty() {
            eprintln!("no name matches {}", self.names.join(" or "));
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// A graph per series, then the table, then until when it is complete.
    fn graphs(&self, answer: &SeriesAnswer) -> anyhow::Result<String> {
        let mut text = String::new();
        let (from, until) = (utc(answer.from)?, utc(answer.until)?);
        writeln!(text, "from {from} until {until} UTC by {}", self.step)?;
        let width = width_columns();
        for series in &answer.series {
            let counts: Vec<Option<u128>> = series.points.iter().map(|&(_, count)| count).collect();
            let known = || counts.iter().flatten().copied();
            let figure = |count: Option<u128>| count.map_or("–".to_owned(), grouped);
            writeln!(
                text,
                "\n{}   total {}   min {}   max {}\n{}",
                series.name,
                grouped(series.total),
                figure(known().min()),
                figure(known().max()),
                sparkline(&counts, width)
            )?;
            let points_per_column = sparkline::points_per_column(counts.len(), width);
            if points_per_column > 1 {
                writeln!(text, "(a column is the sum of {points_per_column} points)")?;
            }
        }
        if self.rows > 0 {
            writeln!(text, "\n{}", self.table(&answer.series)?)?;
        }
        match answer.complete_until {
            Some(unix_s) => writeln!(text, "\ncomplete until {} UTC", utc(unix_s)?)?,
            None => writeln!(text, "\ncomplete until: not known yet")?,
        }
        Ok(text)
    }

    /// The table: a row per point, the last ones only, and below it a note of what is left out.
    fn table(&self, series: &[OneSeries]) -> anyhow::Result<String> {
        let shown = &series[..series.len().min(TABLE_SERIES_MAX)];
        let mut rows = BTreeMap::<i64, Vec<Option<u128>>>::new();
        for (column, one) in shown.iter().enumerate() {
            for &(unix_s, count) in &one.points {
                let ms = Timestamp::from_unix_s(unix_s)?.unix_ms();
                rows.entry(ms).or_insert_with(|| vec![None; shown.len()])[column] = count;
            }
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(std::iter::once("time UTC").chain(shown.iter().map(|one| one.name.as_str())));
        let hidden = rows.len().saturating_sub(self.rows);
        for (&ms, counts) in rows.iter().skip(hidden) {
            let counts = counts.iter().map(|count| count.map_or("–".to_owned(), grouped));
            table.add_row(std::iter::once(minute_text(ms)).chain(counts));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = table.trim_fmt();
        if hidden > 0 {
            let all = rows.len();
            write!(
                text,
                "\nthe last {} of {all} points; --rows {all} shows all",
                self.rows
            )?;
        }
        if series.len() > shown.len() {
            write!(
                text,
                "\nthe first {} of {} series; --csv gives all",
                shown.len(),
                series.len()
            )?;
        }
        Ok(text)
    }
}

/// Columns of the terminal, as the shell exports them in `COLUMNS`, within bounds.
fn width_columns() -> usize {
    let exported = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    exported
        .unwrap_or(WIDTH_COLUMNS_DEFAULT)
        .clamp(1, WIDTH_COLUMNS_MAX)
}

/// The time as `2026-02-18 13:45` in UTC, with seconds where they are not zero.
///
/// # Errors
/// A number that is no time.
pub(crate) fn utc(unix_s: f64) -> anyhow::Result<String> {
    let ms = Timestamp::from_unix_s(unix_s)?.unix_ms();
    if ms.rem_euclid(60_000) == 0 {
        return Ok(minute_text(ms));
    }
    Ok(DateTime::from_timestamp_millis(ms)
        .unwrap_or_default()
        .format("%F %T")
        .to_string())
}

fn minute_text(unix_ms: i64) -> String {
    DateTime::from_timestamp_millis(unix_ms)
        .unwrap_or_default()
        .format("%F %H:%M")
        .to_string()
}

/// The number with a comma before each three digits.
pub(crate) fn grouped(number: impl Into<u128>) -> String {
    let digits = number.into().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whether the reader of standard output has closed it, as `head` does when it has seen enough: that is no failure of the command.
fn reader_has_gone(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn print(bytes: &[u8]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

#[cfg(test)]
mod tests;
