//! The summary that an import prints at its end.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::progress::Progress;
use crate::commands::causes::Causes;
use crate::commands::send::Receipt;
use crate::commands::series::grouped;

/// Refused lines that are listed: with the rejected events and what follows, they fill a screen of 24 lines.
const REFUSED_LISTED_MAX: usize = 8;

/// Rejected events that are listed.
const REJECTED_LISTED_MAX: usize = 4;

/// The figures of an import.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// Lines that this run has read.
    pub(super) lines: u64,
    /// Requests that this run has sent, each once.
    pub(super) requests: u64,
    /// Attempts that were not the first of their request.
    pub(super) requests_repeated: u64,
    pub(super) elapsed: Duration,
    /// The reason why the import ended early, if it did.
    pub(super) stopped: Option<anyhow::Error>,
    pub(super) repetition: Repetition,
    /// Events that were accepted, by this run and earlier ones.
    accepted: u64,
    /// The share of earlier runs in `accepted`.
    accepted_before: u64,
    /// Lines that were refused here.
    refused: Listed<REFUSED_LISTED_MAX>,
    /// Events that the collector rejected.
    rejected: Listed<REJECTED_LISTED_MAX>,
    /// A sentence on where all refused lines are written, if they are.
    pub(super) written: Option<String>,
}

/// The effect that a repetition of the same command would have.
#[derive(Debug, Default)]
pub(super) enum Repetition {
    /// It sends everything again.
    #[default]
    Everything,
    /// It cannot be made: standard input is gone.
    Nothing,
    /// It goes on by what stands in this journal.
    Rest(PathBuf),
    /// It sends only what the log has grown by, by what stands in this journal.
    Growth(PathBuf),
}

/// A number of refusals, and the reasons of the first `MAX` in the file's order.
#[derive(Debug, Default)]
struct Listed<const MAX: usize> {
    count: u64,
    /// Reasons by line, and by place among the events of a request.
    reasons: BTreeMap<(u64, usize), String>,
}

impl<const MAX: usize> Listed<MAX> {
    /// Keeps a reason, if it is among the first.
    fn list(&mut self, line: u64, event: usize, reason: impl fmt::Display) {
        self.reasons.insert((line, event), reason.to_string());
        if self.reasons.len() > MAX {
            self.reasons.pop_last();
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, verb: &str) -> fmt::Result {
        for ((line, _), reason) in &self.reasons {
            writeln!(f, "line {line} {verb}: {reason}")?;
        }
        let listed = u64::try_from(self.reasons.len()).unwrap_or(u64::MAX);
        if self.count > listed {
            writeln!(f, "… {} more {verb}", grouped(self.count - listed))?;
        }
        Ok(())
    }
}

impl Summary {
    /// The summary of a run that goes on after others.
    pub(super) fn after(before: &Progress) -> Self {
        let rejected = Listed {
            count: before.events_rejected,
            ..Listed::default()
        };
        Self {
            accepted: before.events_accepted,
            accepted_before: before.events_accepted,
            rejected,
            ..Self::default()
        }
    }

    /// Adds a line that is not counted.
    pub(super) fn refuse(&mut self, line: u64, refusal: impl fmt::Display) {
        self.refused.count += 1;
        self.refused.list(line, 0, refusal);
    }

    /// Adds a collector's receipt for the events that come from `event_lines`.
    pub(super) fn answered(&mut self, receipt: &Receipt, event_lines: &[u64]) {
        self.accepted += receipt.accepted;
        self.rejected.count += receipt.rejected_total();
        for rejected in &receipt.rejected {
            let line = event_lines.get(rejected.index).copied().unwrap_or_default();
            self.rejected.list(line, rejected.index, &rejected.error);
        }
    }

    /// Whether every line was read and every event accepted.
    pub(super) fn is_clean(&self) -> bool {
        self.refused.count == 0 && self.rejected.count == 0 && self.stopped.is_none()
    }

    fn events_per_second(&self) -> u64 {
        let per_second =
            u128::from(self.accepted - self.accepted_before) * 1000 / self.elapsed.as_millis().max(1);
        u64::try_from(per_second).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refused.write(f, "refused")?;
        match &self.written {
            Some(sentence) => writeln!(f, "{sentence}")?,
            None if self.refused.count > REFUSED_LISTED_MAX as u64 => {
                writeln!(
                    f,
                    "--refused FILE writes all refused lines to a file, to be put right and imported"
                )?;
            }
            None => {}
        }
        self.rejected.write(f, "rejected by the collector")?;
        writeln!(f, "lines read       {:>14}", grouped(self.lines))?;
        writeln!(f, "lines refused    {:>14}", grouped(self.refused.count))?;
        writeln!(f, "events accepted  {:>14}", grouped(self.accepted))?;
        writeln!(f, "events rejected  {:>14}", grouped(self.rejected.count))?;
        let repeated = grouped(self.requests_repeated);
        writeln!(
            f,
            "requests         {:>14}  ({repeated} repeated)",
            grouped(self.requests)
        )?;
        let seconds = format!("{:.1} s", self.elapsed.as_secs_f64());
        writeln!(
            f,
            "elapsed          {seconds:>14}  ({} events/s)",
            grouped(self.events_per_second())
        )?;
        if self.accepted_before > 0 {
            let before = grouped(self.accepted_before);
            writeln!(
                f,
                "earlier runs     {before:>14}  events accepted, which are in the sum"
            )?;
        }
        self.write_end(f)
    }
}

impl Summary {
    /// Writes what a repetition does, which is what the reader asks next.
    fn write_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = &self.stopped {
            writeln!(f, "stopped early: {}", Causes(reason))?;
        }
        match (&self.stopped, &self.repetition) {
            (Some(_), Repetition::Rest(journal) | Repetition::Growth(journal)) => writeln!(
                f,
                "Repeat the same command, with the same token, to go on where {} says. Do it while the region's ledger \
                 remembers what was in flight (a day by default).",
                journal.display()
            ),
            (Some(_), Repetition::Everything) => writeln!(
                f,
                "Repeat the same command, with the same token, to go on: what the collector has already accepted is \
                 recognised while the region's ledger remembers it (a day by default)."
            ),
            (Some(_), Repetition::Nothing) => writeln!(
                f,
                "Standard input cannot be resumed: pipe the same content again, under the same token, and what the \
                 collector has already accepted is recognised while the region's ledger remembers it (a day by default)."
            ),
            (None, Repetition::Rest(journal)) => writeln!(
                f,
                "The same file again counts nothing while {} says that it is done; to count it again on purpose, give \
                 --key with a word of your own.",
                journal.display()
            ),
            (None, Repetition::Growth(journal)) => writeln!(
                f,
                "The same log again counts only what it has grown by, as {} says; to count all of it again on purpose, give \
                 --key with a word of your own.",
                journal.display()
            ),
            (None, Repetition::Everything | Repetition::Nothing) => writeln!(
                f,
                "The same file again counts nothing while the region's ledger remembers it (a day by default); \
                 to count it again on purpose, give --key with a word of your own."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reasons_are_listed_in_the_files_order() {
        let mut summary = Summary {
            lines: 1_000,
            elapsed: Duration::from_secs(2),
            ..Summary::default()
        };
        assert!(summary.is_clean());
        for line in (1..=25).rev() {
            summary.refuse(line, "no time");
        }
        let receipt: Receipt = serde_json::from_str(
            r#"{"accepted":5000,"rejected":[{"index":2,"error":"too late"}],"rejected_total":3}"#,
        )
        .unwrap();
        summary.answered(&receipt, &[40, 40, 41]);
        let text = summary.to_string();
        assert!(text.starts_with("line 1 refused: no time"), "{text}");
        assert!(
            text.contains("line 8 refused") && !text.contains("line 9 refused"),
            "{text}"
        );
        assert!(
            text.contains("… 17 more refused\n--refused FILE writes all refused lines to a file")
                && text.contains("\nline 41 rejected by the collector: too late\n… 2 more"),
            "{text}"
        );
        assert!(text.contains("(2,500 events/s)"), "{text}");
        assert!(!summary.is_clean());
    }

    #[test]
    fn an_early_end_says_how_to_go_on() {
        let summary = Summary {
            stopped: Some(anyhow::anyhow!("cannot reach it")),
            ..Summary::default()
        };
        let text = summary.to_string();
        assert!(
            text.contains("stopped early: cannot reach it\nRepeat the same command"),
            "{text}"
        );
        assert!(!summary.is_clean());
    }
}
