//! `eventtracker import`: past events from a file, either rows of history or a web server's log.
//!
//! A file is cut into requests whose idempotency keys follow from its content alone, so that a repetition sends the same requests under
//! the same keys, and the region's ledger recognises them. The ledger remembers a day; the journal, beside the file, remembers how far
//! everything was acknowledged, for as long as it is there.

use std::fs::{File, TryLockError};
use std::num::NonZeroU32;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::io::{AsyncReadExt, BufReader};
use tokio_util::sync::CancellationToken;

use self::chunk::Cutter;
use self::format::{Format, Reader};
use self::identity::{Identity, beginning};
use self::journal::{Journal, with_suffix};
use self::lines::{LINE_BYTES_MAX, Lines};
use self::refused::RefusedLines;
use self::summary::Repetition;
use self::transfer::Transfer;
use super::causes::Causes;
use super::send::{CollectorAddress, Patience, Sender, check_key};
use super::series::grouped;
use crate::interrupts::Interrupts;

mod chunk;
mod combined;
mod csv;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod identity;
mod journal;
mod lines;
mod ndjson;
mod progress;
mod refused;
mod row;
mod summary;
mod transfer;

/// The patience with a collector: an import may well fill the region's queue, and then waits for the workers.
const PATIENCE: Patience = Patience {
    attempts_max: 100,
    time_max: Duration::from_secs(120),
};

const READ_BUFFER_BYTES: usize = 256 * 1024;

/// The exit code of a command that an interrupt ended, as shells report it: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Send history, or a web server's log, from a file: each line gives events at its own time
///
/// History (csv, ndjson) is a name, a minute and a count per row. The minute is unix seconds, RFC 3339 or
/// `YYYY-MM-DD HH:MM[:SS]` in UTC, or any time within it; the count is a whole number up to 10^12, and 0 or nothing counts
/// nothing. What `eventtracker series --csv --step 1m` prints can be imported as it is.
///
/// Such an import keeps a journal, FILE.eventtracker-import, of what is acknowledged: the same command goes on from there
/// after an interruption, and sends nothing once all is done. After a crash, repeat it while the region's ledger
/// remembers what was in flight (a day by default); after Ctrl-C nothing was. A second Ctrl-C ends it at once, as a crash would.
///
/// A line of a log (combined) counts `web.requests`, `web.status.<code>` and `web.method.<method>` once, and `web.bytes` by
/// its size. Its journal, FILE.COLLECTOR.eventtracker-import, lets the same command count only what the log has grown by, every
/// hour if you like. One that begins otherwise was rotated, and begins anew; the journal of the one before is put aside, and used when
/// that one is imported under its new name with --journal FILE.COLLECTOR.eventtracker-import, for its last lines.
///
/// Import finished history only: a file of rows that has changed or grown is refused. Repeat an import with
/// the same token and --key: to the collector, a request under another token is another request.
/// Compressed files come through a pipe, which cannot be resumed: `zcat access.log.2.gz | eventtracker import -`.
/// Exit code 1 when anything was refused or could not be sent.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The file; `-` reads standard input
    file: PathBuf,
    #[arg(long, value_enum, default_value = "combined")]
    format: Format,
    /// Counts the same content again: the word becomes a part of every request's key
    #[arg(long, value_name = "PREFIX")]
    key: Option<String>,
    /// Keeps what is acknowledged here. For history the default is FILE.eventtracker-import, for a log
    /// FILE.COLLECTOR.eventtracker-import; with --key its PREFIX comes after FILE
    #[arg(long, value_name = "FILE", conflicts_with = "no_journal")]
    journal: Option<PathBuf>,
    /// Keeps nothing: a repetition sends everything again
    #[arg(long)]
    no_journal: bool,
    /// Writes the lines that are refused to FILE, as they stand, to be put right and imported, and their reasons to FILE.reasons
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,
    /// Events per second at most. The region's live events wait behind an import's, in the queue and on the way to the
    /// centre: to keep them fresh, stay well below what the centre applies (about the default)
    #[arg(long, value_name = "EVENTS", default_value = "100000")]
    rate: NonZeroU32,
    #[command(flatten)]
    collector: CollectorAddress,
}

impl Import {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let key_prefix = match &self.key {
            Some(word) => format!("import-{word}-"),
            None => "import-".to_owned(),
        };
        // With room for the 32 digits of the hash.
        check_key(&format!("{key_prefix}{:032x}", 0)).context("--key is too long or not visible ASCII")?;
        let (input, file_bytes) = self.open()?;
        let sender = Sender::new(&self.collector, PATIENCE)?;
        let journal = self.open_journal(&input, file_bytes, &key_prefix).await?;
        let was_finished = journal.as_ref().is_some_and(Journal::is_finished);
        let started = Instant::now();
        // Lines that are appended while the import runs are left to the next one, which knows where this one ended.
        let read_bytes = file_bytes.filter(|_| journal.is_some()).unwrap_or(u64::MAX);
        let input = tokio::fs::File::from_std(input).take(read_bytes);
        let ends = journal.as_ref().map_or(&[][..], Journal::ends);
        let lines = Lines::new(BufReader::with_capacity(READ_BUFFER_BYTES, input), ends);
        let goes_on = journal.is_some() && self.format.grows();
        let mut transfer = Transfer::new(sender, progress_bar(file_bytes)?, journal, self.rate);
        transfer.goes_on = goes_on;
        transfer.refused = self.refused.as_deref().map(RefusedLines::create).transpose()?;
        transfer.summary.repetition = self.repetition(file_bytes, transfer.journal.as_ref());
        let cutter = Cutter::new(key_prefix, self.format);
        let outcome = transfer
            .run(lines, Reader::new(self.format), cutter, interrupted()?)
            .await;
        transfer.bar.finish_and_clear();
        outcome.with_context(|| format!("cannot import {}", self.file.display()))?;
        // Only now: a file whose journal says that it is finished was read once more, to be sure that it is the same.
        if let Some(journal) = transfer
            .journal
            .as_ref()
            .filter(|_| was_finished && transfer.summary.stopped.is_none())
        {
            tell_finished(&self.file, journal);
            return Ok(ExitCode::SUCCESS);
        }
        let mut summary = transfer.summary;
        summary.written = transfer.refused.map(RefusedLines::finish).transpose()?;
        summary.requests_repeated = transfer.sender.repeated();
        summary.elapsed = started.elapsed();
        print!("{summary}");
        Ok(if summary.is_clean() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn is_stdin(&self) -> bool {
        self.file == Path::new("-")
    }

    /// The file, and its size in bytes where that is known.
    fn open(&self) -> anyhow::Result<(File, Option<u64>)> {
        let cannot = || format!("cannot read {}", self.file.display());
        let file = if self.is_stdin() {
            let stdin = std::io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .with_context(cannot)?;
            File::from(stdin)
        } else {
            File::open(&self.file).with_context(cannot)?
        };
        let metadata = file.metadata().with_context(cannot)?;
        ensure!(
            !metadata.is_dir(),
            "{} is a directory: name one file in it",
            self.file.display()
        );
        let bytes = metadata.is_file().then_some(metadata.len());
        Ok((file, bytes))
    }

    /// The journal's path, if one is kept. A log has one for each collector, since it may be imported into several regions.
    fn journal_path(&self, file_bytes: Option<u64>) -> anyhow::Result<Option<PathBuf>> {
        let resumable = file_bytes.is_some() && !self.is_stdin();
        if self.journal.is_some() || self.no_journal || !resumable {
            return Ok(self.journal.clone());
        }
        let mut suffix = String::new();
        if let Some(word) = &self.key {
            suffix += &format!(".{}", word.replace('/', "_"));
        }
        if self.format.grows() {
            let base = self.collector.base()?;
            let address = base.split_once("://").map_or(&*base, |(_, address)| address);
            suffix += &format!(".{}", address.replace(['/', ':', '[', ']'], "_"));
        }
        Ok(Some(with_suffix(&self.file, &(suffix + ".eventtracker-import"))))
    }

    /// The effect that the same command would have once more, for the summary.
    fn repetition(&self, file_bytes: Option<u64>, journal: Option<&Journal>) -> Repetition {
        match journal.map(|journal| journal.path().to_owned()) {
            Some(path) if self.format.grows() => Repetition::Growth(path),
            Some(path) => Repetition::Rest(path),
            None if self.is_stdin() || file_bytes.is_none() => Repetition::Nothing,
            None => Repetition::Everything,
        }
    }

    /// Reads the journal, or begins one; `None` where none is kept.
    ///
    /// # Errors
    /// Another import of the file is running; a journal of another import; one that cannot be written, except that of a log at the default
    /// place.
    async fn open_journal(
        &self,
        input: &File,
        file_bytes: Option<u64>,
        key_prefix: &str,
    ) -> anyhow::Result<Option<Journal>> {
        let Some(path) = self.journal_path(file_bytes)? else {
            return Ok(None);
        };
        let Some(file_bytes) = file_bytes.filter(|_| !self.is_stdin()) else {
            bail!(
                "standard input and pipes cannot be resumed, so they have no --journal: import a file instead"
            );
        };
        // Before the journal is read: two runs at once would each write over what the other noted. Some file systems cannot lock, which is
        // no reason to refuse.
        if let Err(TryLockError::WouldBlock) = input.try_lock() {
            bail!(
                "another import of {} is running: wait for it",
                self.file.display()
            );
        }
        let format = self.format.to_possible_value();
        let import = Identity {
            file_bytes,
            format: format
                .map(|format| format.get_name().to_owned())
                .unwrap_or_default(),
            key_prefix: key_prefix.to_owned(),
            collector: self.collector.base()?,
            token_mark: self.collector.token_mark(),
            beginning: if self.format.grows() {
                beginning_of(input).with_context(|| format!("cannot read {}", self.file.display()))?
            } else {
                String::new()
            },
        };
        let journal = Journal::read(path, import).await?;
        match journal.begin().await {
            Ok(()) => Ok(Some(journal)),
            // A log often lies in a directory that its reader may not write to.
            Err(error) if self.format.grows() && self.journal.is_none() => {
                eprintln!(
                    "note: {}. So the lines of now count again once the log has grown, or once the region's ledger has forgotten them",
                    Causes(&error)
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The mark of a log's first line, by which it is told from the one that takes its place when it is rotated; empty as long as that line
/// is not whole. It is read from the open file, whichever has its name by now.
fn beginning_of(file: &File) -> std::io::Result<String> {
    let mut head = vec![0; LINE_BYTES_MAX];
    let mut length = 0;
    while length < head.len() && !head[..length].contains(&b'\n') {
        match file.read_at(&mut head[length..], u64::try_from(length).unwrap_or(u64::MAX))? {
            0 => break,
            read => length += read,
        }
    }
    let feed = head[..length].iter().position(|&b| b == b'\n');
    Ok(feed.map_or_else(String::new, |feed| beginning(&head[..=feed])))
}

/// Says that the file was imported before, and that nothing was sent.
fn tell_finished(file: &Path, journal: &Journal) {
    let done = journal.acknowledged();
    println!(
        "{} was imported already, by what {} says: {} lines, {} events accepted, {} rejected. Nothing was sent. To count it again \
         on purpose, give --key with a word of your own.",
        file.display(),
        journal.path().display(),
        grouped(done.place.lines),
        grouped(done.events_accepted),
        grouped(done.events_rejected)
    );
}

/// A token that the first interrupt cancels; the second one ends the process.
fn interrupted() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let mut interrupts = Interrupts::new()?;
    tokio::spawn(async move {
        interrupts.next().await;
        eprintln!("waiting for the requests in flight; a second Ctrl-C ends at once");
        cancelled.cancel();
        interrupts.next().await;
        std::process::exit(INTERRUPTED);
    });
    Ok(token)
}

/// The progress bar, on stderr, and hidden where that is no terminal.
fn progress_bar(bytes: Option<u64>) -> anyhow::Result<ProgressBar> {
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
        ),
        None => (ProgressBar::no_length(), "{spinner} {bytes} {bytes_per_sec}"),
    };
    Ok(bar.with_style(ProgressStyle::with_template(template).context("the progress bar's template")?))
}

#[cfg(test)]
mod tests;
