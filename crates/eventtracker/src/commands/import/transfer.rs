//! The transfer: chunks are sent a few at a time, and what is acknowledged is added up in the file's order.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use indicatif::ProgressBar;
use tokio::io::AsyncBufRead;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::chunk::{Chunk, Cutter};
use super::format::{Reader, Refusal};
use super::journal::Journal;
use super::lines::{Line, Lines};
use super::progress::{Acknowledged, Place, Progress};
use super::refused::RefusedLines;
use super::summary::Summary;
use crate::commands::send::{Receipt, Sender};

/// Requests in flight: enough to keep a collector busy while the next chunk is read; together they bound the import's memory to some
/// 10 MB, and what a crash may send again.
const REQUESTS_IN_FLIGHT_MAX: usize = 4;

/// A chunk that was sent, and its outcome.
struct Sent {
    outcome: anyhow::Result<Receipt>,
    /// The line that each event comes from.
    event_lines: Vec<u64>,
    first_line: u64,
    /// Offset in the file of the chunk's first byte.
    start_bytes: u64,
    /// The place behind the chunk.
    end: Place,
    /// Bytes of the chunk's lines in the file.
    bytes: u64,
}

/// The pace: when events may be sent, so many per second at most. Time in which none were sent is not made up for.
struct Pace {
    events_per_s: NonZeroU32,
    next_turn: Instant,
}

impl Pace {
    /// Notes that so many events are sent `now`.
    fn take(&mut self, events: usize, now: Instant) {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        let begun = self.next_turn.max(now);
        self.next_turn = begun + Duration::from_secs(1) * events / self.events_per_s.get();
    }
}

/// One run of an import.
pub(super) struct Transfer {
    pub(super) sender: Arc<Sender>,
    pub(super) bar: ProgressBar,
    pub(super) summary: Summary,
    pub(super) journal: Option<Journal>,
    pub(super) refused: Option<RefusedLines>,
    /// Whether the next import goes on where this one ends, so that a last line which is not complete yet is left to it.
    pub(super) goes_on: bool,
    in_flight: JoinSet<Sent>,
    /// The place at which the next chunk begins.
    cut_at: Place,
    /// Acknowledgements of this run and of those before it.
    acknowledged: Acknowledged,
    pace: Pace,
}

impl Transfer {
    /// A run that goes on where `journal` says that earlier ones have come to.
    pub(super) fn new(
        sender: Sender,
        bar: ProgressBar,
        journal: Option<Journal>,
        events_per_s: NonZeroU32,
    ) -> Self {
        let before = journal
            .as_ref()
            .map(Journal::acknowledged)
            .cloned()
            .unwrap_or_default();
        Self {
            sender: Arc::new(sender),
            bar,
            summary: Summary::after(&before),
            journal,
            refused: None,
            goes_on: false,
            in_flight: JoinSet::new(),
            cut_at: Place::default(),
            acknowledged: Acknowledged::from(before),
            pace: Pace {
                events_per_s,
                next_turn: Instant::now(),
            },
        }
    }

    /// Reads and sends until the file's end, until a chunk could not be sent, or until `interrupted`. The last two are no errors: the
    /// summary says so.
    ///
    /// # Errors
    /// An end without a summary: a file that is not the journal's, a first line that makes nonsense of all others, refused lines that
    /// cannot be written.
    pub(super) async fn run<R: AsyncBufRead + Unpin>(
        &mut self,
        lines: Lines<R>,
        reader: Reader,
        cutter: Cutter,
        interrupted: CancellationToken,
    ) -> anyhow::Result<()> {
        let is_interrupted = tokio::select! {
            biased;
            () = interrupted.cancelled() => true,
            read = self.read(lines, reader, cutter) => { read?; false }
        };
        // However reading ended, what is in flight is waited for: it is counted or it is not, and with its outcome in the journal a
        // repetition does not depend on the region's ledger, which forgets.
        while let Some(sent) = self.in_flight.join_next().await {
            self.settle_one(sent).await?;
        }
        if is_interrupted {
            self.summary.stopped.get_or_insert_with(|| anyhow!("interrupted"));
        }
        self.close_journal().await
    }

    /// Writes the journal's last state.
    async fn close_journal(&mut self) -> anyhow::Result<()> {
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        let so_far = &self.acknowledged.so_far;
        let finished = self.summary.stopped.is_none();
        if finished {
            // A log was imported up to the last chunk and not up to the file's end: a line that was left to the next import comes behind,
            // and must not be cut where the file ended.
            if self.goes_on {
                journal.end_at(self.cut_at.bytes);
            }
            // Before it is written that all is done: a file that is shorter than what was acknowledged is another file.
            journal.expect_end(&self.cut_at, so_far)?;
        }
        if let Err(error) = journal.close(so_far, finished).await {
            self.summary.stopped.get_or_insert(error);
        }
        Ok(())
    }

    /// Reads lines, cuts them into chunks and sends these. May be dropped at any await: an outcome is added up before the next one.
    async fn read<R: AsyncBufRead + Unpin>(
        &mut self,
        mut lines: Lines<R>,
        mut reader: Reader,
        mut cutter: Cutter,
    ) -> anyhow::Result<()> {
        let mut events = Vec::new();
        while self.summary.stopped.is_none() {
            match lines.next().await {
                Ok(Some(line)) => {
                    self.summary.lines += 1;
                    events.clear();
                    let count = match reader.events(&line, &mut events)? {
                        Ok(count) => count,
                        Err(refusal) => {
                            self.refuse(&line, &refusal)?;
                            // Not a part of any chunk: as a part, it would belong to what is acknowledged, and never be read again.
                            if self.goes_on && !line.has_end {
                                continue;
                            }
                            // A refused line is a part of its chunk all the same, so that the places of the file stay without gaps.
                            0
                        }
                    };
                    if let Some(refused) = &mut self.refused
                        && reader.was_header(&line)
                    {
                        refused.head(line.text)?;
                    }
                    if let Some(chunk) = cutter.add(&line, &events, count, reader.meaning()) {
                        self.send(chunk).await?;
                    }
                }
                Ok(None) => {
                    if let Some(chunk) = cutter.close() {
                        self.send(chunk).await?;
                    }
                    break;
                }
                Err(error) => {
                    let error = anyhow::Error::new(error).context("cannot read on in the file");
                    self.summary.stopped = Some(error);
                }
            }
        }
        Ok(())
    }

    /// Notes a line that is not counted.
    fn refuse(&mut self, line: &Line<'_>, refusal: &Refusal) -> anyhow::Result<()> {
        let mut reason = refusal.to_string();
        if self.goes_on && !line.has_end {
            reason += "; it has no end yet, and is left to the next import";
        }
        if let Some(refused) = &mut self.refused {
            refused.add(line.number, line.text, &reason)?;
        }
        self.summary.refuse(line.number, reason);
        Ok(())
    }

    /// Sends a chunk, unless an earlier run has: waits for its turn, and leaves its answer to [`Self::settle_one`].
    async fn send(&mut self, chunk: Chunk) -> anyhow::Result<()> {
        // The place moves on for chunks that are skipped, too: it hashes every line, so that a file which was changed where it is
        // acknowledged already is found out before anything of it is sent.
        let end = self.cut_at.after(&chunk);
        let start = std::mem::replace(&mut self.cut_at, end.clone());
        if let Some(journal) = &self.journal
            && journal.has(&start, &end)?
        {
            self.bar.inc(chunk.bytes);
            self.bar.reset_eta();
            return Ok(());
        }
        // Nothing to send, but acknowledged: a gap here would hold the journal back for ever.
        if chunk.body.is_empty() {
            self.bar.inc(chunk.bytes);
            self.settle(start.bytes, end, &Receipt::default()).await;
            return Ok(());
        }
        self.wait_for_turn().await?;
        // Another chunk may have failed meanwhile. What is sent beyond it could not be noted, and would be sent again.
        if self.summary.stopped.is_some() {
            return Ok(());
        }
        self.pace.take(chunk.event_lines.len(), Instant::now());
        self.summary.requests += 1;
        let sender = Arc::clone(&self.sender);
        self.in_flight.spawn(async move {
            let events = chunk.event_lines.len();
            let sent = sender.send(&chunk.key, "application/x-ndjson", chunk.body, events);
            let outcome = sent.await;
            Sent {
                outcome,
                event_lines: chunk.event_lines,
                first_line: chunk.first_line,
                start_bytes: start.bytes,
                end,
                bytes: chunk.bytes,
            }
        });
        Ok(())
    }

    /// Waits for a free place in flight and for the moment that the pace allows. Answers are settled meanwhile: first of all, so that
    /// their places are free and the journal is up to date.
    async fn wait_for_turn(&mut self) -> anyhow::Result<()> {
        while self.summary.stopped.is_none() {
            let is_free = self.in_flight.len() < REQUESTS_IN_FLIGHT_MAX;
            tokio::select! {
                biased;
                Some(sent) = self.in_flight.join_next() => self.settle_one(sent).await?,
                () = tokio::time::sleep_until(self.pace.next_turn), if is_free => break,
            }
        }
        Ok(())
    }

    /// Adds up the outcome of a chunk that was sent.
    async fn settle_one(&mut self, sent: Result<Sent, JoinError>) -> anyhow::Result<()> {
        let sent = sent.context("a request's task failed")?;
        match sent.outcome {
            Ok(receipt) => {
                failpoint::crash("import.acknowledged");
                self.bar.inc(sent.bytes);
                self.summary.answered(&receipt, &sent.event_lines);
                self.settle(sent.start_bytes, sent.end, &receipt).await;
            }
            Err(error) => {
                let place = format!("cannot send the events from line {} on", sent.first_line);
                self.summary.stopped.get_or_insert(error.context(place));
            }
        }
        Ok(())
    }

    /// Adds a chunk to what is acknowledged, and notes in the journal how far that reaches without a gap. In this order: the journal may
    /// say less than is acknowledged, which is sent again and recognised, but never more, which would be lost.
    async fn settle(&mut self, start_bytes: u64, end: Place, receipt: &Receipt) {
        let progress = Progress {
            events_accepted: receipt.accepted,
            events_rejected: receipt.rejected_total(),
            place: end,
        };
        self.acknowledged.add(start_bytes, progress);
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.note(&self.acknowledged.so_far).await
        {
            self.summary.stopped.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_and_a_pause_not_made_up_for() {
        let now = Instant::now();
        let mut pace = Pace {
            events_per_s: NonZeroU32::new(100_000).unwrap(),
            next_turn: now,
        };
        let after = |pace: &Pace| (pace.next_turn - now).as_millis();
        pace.take(10_000, now);
        assert_eq!(after(&pace), 100);
        pace.take(5_000, now);
        assert_eq!(after(&pace), 150);
        pace.take(10_000, now + Duration::from_secs(60));
        assert_eq!(after(&pace), 60_100);
    }
}
