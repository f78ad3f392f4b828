//! What a line says in each of the formats.

use std::fmt;

use anyhow::bail;

use super::combined::{self, Request};
use super::csv::{self, Columns, FirstLine};
use super::lines::Line;
use super::{ndjson, row};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Apache's and nginx's combined log; the common log, which ends after the size, is read as well
    #[value(alias = "common")]
    Combined,
    /// Rows `name,minute,count`; a first line that names the three may give another order, and `time` for `minute`
    Csv,
    /// Objects `{"name":…,"minute":…,"count":…}`, one in a line; `timestamp` is the same as `minute`
    Ndjson,
}

/// Why a line is not counted.
#[derive(Debug)]
pub(super) enum Refusal {
    Log(combined::Refusal),
    Row(row::Refusal),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(refusal) => refusal.fmt(f),
            Self::Row(refusal) => refusal.fmt(f),
        }
    }
}

/// Reads the lines of one file in their order.
pub(super) struct Reader {
    format: Format,
    columns: Columns,
}

impl Reader {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            columns: Columns::default(),
        }
    }

    /// Appends the line's events as JSON lines, and returns how many there are.
    ///
    /// # Errors
    /// A first line that makes nonsense of all others.
    pub(super) fn events(
        &mut self,
        line: &Line<'_>,
        json: &mut Vec<u8>,
    ) -> anyhow::Result<Result<usize, Refusal>> {
        if line.text.is_empty() || self.is_header(line)? {
            return Ok(Ok(0));
        }
        Ok(match self.format {
            Format::Combined => Request::of(line)
                .map(|request| request.write_events(json))
                .map_err(Refusal::Log),
            Format::Csv => csv::read(line, self.columns)
                .map(|row| row.write_events(json))
                .map_err(Refusal::Row),
            Format::Ndjson => ndjson::read(line)
                .map(|row| row.write_events(json))
                .map_err(Refusal::Row),
        })
    }

    fn is_header(&mut self, line: &Line<'_>) -> anyhow::Result<bool> {
        if self.format != Format::Csv || line.number != 1 {
            return Ok(false);
        }
        match csv::first_line(line) {
            FirstLine::Header(columns) => self.columns = columns,
            FirstLine::Row => return Ok(false),
            FirstLine::NotUnderstood => bail!(
                "the first line looks like a header, but does not name the three columns 'name', 'minute' (or 'time', \
                 'timestamp') and 'count', with commas between them, and nothing else: '{}'",
                row::shown(line.text)
            ),
        }
        Ok(true)
    }

    /// What the same bytes would not mean in another format or with other columns; a part of the keys, so that a
    /// corrected import is another one. Nothing for a log, whose keys are older.
    pub(super) fn meaning(&self) -> &[u8] {
        match self.format {
            Format::Combined => b"",
            Format::Csv => &self.columns.0,
            Format::Ndjson => b"ndjson",
        }
    }
}
