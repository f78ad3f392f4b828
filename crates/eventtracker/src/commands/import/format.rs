//! The formats of files, and the reader that makes events of their lines.

use std::fmt;

use anyhow::{bail, ensure};

use super::combined::{self, Request};
use super::csv::{self, Columns, FirstLine};
use model::utf8;

use super::lines::{Line, Part};
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

impl Format {
    /// Whether such a file is written line by line as things happen, and not as a whole.
    pub(super) fn grows(self) -> bool {
        self == Self::Combined
    }
}

/// The first bytes of files of gzip, zstd, xz and bzip2.
const COMPRESSED: [&[u8]; 4] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"BZh"];

/// Reasons for which a line is not counted.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The rest of a line whose beginning an earlier import has counted.
    Rest,
    Log(combined::Refusal),
    Row(row::Refusal),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rest => f.write_str(
                "it was imported before it had its end, and what came then is passed over: what it says of bytes may be too little",
            ),
            Self::Log(refusal) => refusal.fmt(f),
            Self::Row(refusal) => refusal.fmt(f),
        }
    }
}

/// A reader of the lines of one file, in their order.
pub(super) struct Reader {
    format: Format,
    columns: Columns,
    /// The line that may name the columns.
    header_line: u64,
    /// The line that did.
    columns_line: Option<u64>,
}

impl Reader {
    /// A reader before the first line.
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            columns: Columns::default(),
            header_line: 1,
            columns_line: None,
        }
    }

    /// Appends the line's events as JSON lines, and returns how many there are, or why the line is not counted.
    ///
    /// # Errors
    /// A first line that makes nonsense of all others.
    pub(super) fn events(
        &mut self,
        line: &Line<'_>,
        json: &mut Vec<u8>,
    ) -> anyhow::Result<Result<usize, Refusal>> {
        ensure!(
            line.number > 1 || !utf8::is_utf16(line.text),
            "the file is UTF-16, as PowerShell's '>' and some editors write it: save it as UTF-8"
        );
        ensure!(
            line.number > 1 || !COMPRESSED.iter().any(|magic| line.text.starts_with(magic)),
            "the file is compressed: unpack it into a pipe, as in zcat FILE | eventtracker import -"
        );
        let line = &Line {
            text: utf8::without_mark(line.text),
            ..*line
        };
        if line.text.is_empty() || self.is_header(line)? {
            return Ok(Ok(0));
        }
        if line.part == Part::Rest {
            return Ok(Err(Refusal::Rest));
        }
        Ok(match self.format {
            Format::Combined => Request::of(line)
                .map(|request| request.write_events(json))
                .map_err(Refusal::Log),
            Format::Csv if csv::is_empty(line) => Ok(0),
            Format::Csv => csv::read(line, self.columns)
                .map(|row| row.write_events(json))
                .map_err(Refusal::Row),
            Format::Ndjson => ndjson::read(line)
                .map(|row| row.write_events(json))
                .map_err(Refusal::Row),
        })
    }

    /// Whether the line was one that says how the others are to be read.
    pub(super) fn was_header(&self, line: &Line<'_>) -> bool {
        self.columns_line == Some(line.number)
    }

    /// Whether the line is a header, which may also say how the others are to be read.
    fn is_header(&mut self, line: &Line<'_>) -> anyhow::Result<bool> {
        if self.format != Format::Csv || line.number != self.header_line {
            return Ok(false);
        }
        match csv::first_line(line) {
            FirstLine::Header(columns) => {
                self.columns = columns;
                self.columns_line = Some(line.number);
            }
            FirstLine::Row => return Ok(false),
            FirstLine::Separator => self.header_line += 1,
            FirstLine::Separated(other) => bail!(
                "the columns are separated by {other:?}, not by commas, as spreadsheets of some languages write CSV, who also write numbers \
                 and times in their own way: save it with ',' between columns, whole numbers of digits alone, and times as \
                 YYYY-MM-DD HH:MM"
            ),
            FirstLine::NotUnderstood => bail!(
                "the first line looks like a header, but does not name the three columns 'name', 'minute' (or 'time', \
                 'timestamp') and 'count', with commas between them, and nothing else: '{}'",
                row::shown(line.text)
            ),
        }
        Ok(true)
    }

    /// The meaning of the lines, which the same bytes would not have in another format or with other columns. It is a part of the keys, so
    /// that a corrected import is another one. Nothing for a log, whose keys are older.
    pub(super) fn meaning(&self) -> &[u8] {
        match self.format {
            Format::Combined => b"",
            Format::Csv => &self.columns.0,
            Format::Ndjson => b"ndjson",
        }
    }
}
