//! An import under way: chunks are sent a few at a time, and their answers added up.

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
use crate::commands::send::{Answer, Sender};

/// Enough to keep a collector busy while the next chunk is read; together they bound the import's memory to some 10 MB.
const REQUESTS_IN_FLIGHT_MAX: usize = 4;

/// What came of one chunk.
struct Sent {
    outcome: anyhow::Result<Answer>,
    event_lines: Vec<u64>,
    first_line: u64,
    start_bytes: u64,
    end: Place,
    bytes: u64,
}

/// When events may be sent, so many per second at most. What was missed is not made up for.
struct Pace {
    events_per_s: NonZeroU32,
    next_turn: Instant,
}

impl Pace {
    fn take(&mut self, events: usize, now: Instant) {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        let begun = self.next_turn.max(now);
        self.next_turn = begun + Duration::from_secs(1) * events / self.events_per_s.get();
    }
}

pub(super) struct Transfer {
    pub(super) sender: Arc<Sender>,
    pub(super) bar: ProgressBar,
    pub(super) summary: Summary,
    pub(super) journal: Option<Journal>,
    pub(super) refused: Option<RefusedLines>,
    /// Whether the next import goes on where this one ends, so that a last line which is not complete yet is left to it.
    pub(super) goes_on: bool,
    in_flight: JoinSet<Sent>,
    /// Where the next chunk begins.
    cut_at: Place,
    acknowledged: Acknowledged,
    pace: Pace,
}

impl Transfer {
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

    /// Reads and sends until the file's end, until a chunk could not be sent, or until `interrupted`.
    ///
    /// # Errors
    /// What makes an end without a summary: a file that is not the journal's, nonsense in the first line.
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
        while let Some(sent) = self.in_flight.join_next().await {
            self.settle_one(sent).await?;
        }
        if is_interrupted {
            self.summary.stopped.get_or_insert_with(|| anyhow!("interrupted"));
        }
        self.close_journal().await
    }

    async fn close_journal(&mut self) -> anyhow::Result<()> {
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        let so_far = &self.acknowledged.so_far;
        let finished = self.summary.stopped.is_none();
        if finished {
            if self.goes_on {
                journal.end_at(self.cut_at.bytes);
            }
            journal.expect_end(&self.cut_at, so_far)?;
        }
        if let Err(error) = journal.close(so_far, finished).await {
            self.summary.stopped.get_or_insert(error);
        }
        Ok(())
    }

    /// May be dropped at any await: what is acknowledged was added up before.
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
                            if self.goes_on && !line.has_end {
                                continue;
                            }
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

    /// Waits for its turn first.
    async fn send(&mut self, chunk: Chunk) -> anyhow::Result<()> {
        let end = self.cut_at.after(&chunk);
        let start = std::mem::replace(&mut self.cut_at, end.clone());
        if let Some(journal) = &self.journal
            && journal.has(&start, &end)?
        {
            self.bar.inc(chunk.bytes);
            self.bar.reset_eta();
            return Ok(());
        }
        if chunk.body.is_empty() {
            self.bar.inc(chunk.bytes);
            self.settle(start.bytes, end, &Answer::default()).await;
            return Ok(());
        }
        self.wait_for_turn().await?;
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

    /// A free place, and the moment that the pace allows; answers are taken in meanwhile.
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

    async fn settle_one(&mut self, sent: Result<Sent, JoinError>) -> anyhow::Result<()> {
        let sent = sent.context("a request's task failed")?;
        match sent.outcome {
            Ok(answer) => {
                self.bar.inc(sent.bytes);
                self.summary.answered(&answer, &sent.event_lines);
                self.settle(sent.start_bytes, sent.end, &answer).await;
            }
            Err(error) => {
                let place = format!("cannot send the events from line {} on", sent.first_line);
                self.summary.stopped.get_or_insert(error.context(place));
            }
        }
        Ok(())
    }

    async fn settle(&mut self, start_bytes: u64, end: Place, answer: &Answer) {
        let progress = Progress {
            events_accepted: answer.accepted,
            events_rejected: answer.rejected_total(),
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
