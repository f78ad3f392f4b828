//! The journal: how far a file was acknowledged, kept on disk, so that a repetition goes on where the import stopped.
//!
//! It may lag behind what was acknowledged, never run ahead of it: what it lacks is sent again under the same keys, and what it had too
//! much would never be sent.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

use super::identity::Identity;
use super::progress::{Place, Progress};

/// Places where a log ended in earlier imports: an hourly import of one that is never rotated gets there in a year.
const ENDS_MAX: usize = 10_000;

/// Least time between two writes: each waits for the disk, and what was acknowledged since the last is sent again after a crash.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// Digits of the hash of a log's first line in the name of a journal that was put aside.
const ASIDE_DIGITS: usize = 8;

const EXPLANATION: &str = "\
    # What 'eventtracker import' has sent of the file that this one is named after: the same command goes on from here.\n\
    # While this file is there, nothing before this place is sent again; without it, all is sent anew, and counts twice\n\
    # unless the region's ledger still remembers it (a day by default).\n\n";

/// The journal's content, in TOML below [`EXPLANATION`].
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// Whether the whole file is acknowledged, as it was then.
    finished: bool,
    import: Identity,
    acknowledged: Progress,
    /// The bytes at which the file ended in earlier imports. A request ended there, too, so it has to in all that follow: otherwise lines
    /// would be sent in other requests, under other keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ends: Vec<u64>,
}

/// The journal of one import.
pub(super) struct Journal {
    path: PathBuf,
    record: Record,
    /// When progress was last written; `None` before the first time.
    written: Option<Instant>,
}

impl Journal {
    /// Reads the journal, or makes one that is yet to be written.
    ///
    /// # Errors
    /// A journal of another import, or a file that is none: nothing may be sent then.
    pub(super) async fn read(path: PathBuf, import: Identity) -> anyhow::Result<Self> {
        let path = of_this_log(path, &import.beginning).await?;
        let fresh = |import| Record {
            finished: false,
            import,
            acknowledged: Progress::default(),
            ends: Vec::new(),
        };
        let record = match fs::read_to_string(&path).await {
            Ok(text) => {
                let before: Record = toml::from_str(&text).with_context(|| not_a_journal(&path))?;
                // Where nothing is acknowledged, another import may have the place: nothing of this one would be missing.
                if before.acknowledged.place.bytes == 0 {
                    fresh(import)
                } else {
                    before.import.expect_same(&import, &path)?;
                    before.with(import, &path)?
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => fresh(import),
            Err(error) => return Err(error).with_context(|| not_a_journal(&path)),
        };
        Ok(Self::new(path, record))
    }

    /// Writes the journal before anything is sent: one that cannot be written must be noticed before there is something to be noted.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(super) async fn begin(&self) -> anyhow::Result<()> {
        if self.record.finished {
            return Ok(());
        }
        self.write().await.context(
            "the journal of what is acknowledged cannot be kept: name another place for it with --journal, or go without \
             with --no-journal",
        )
    }

    /// The bytes at which the file ended in earlier imports, in their order.
    pub(super) fn ends(&self) -> &[u64] {
        &self.record.ends
    }

    /// Lets the next import go on from `bytes`, before the file's end.
    pub(super) fn end_at(&mut self, bytes: u64) {
        self.record.import.file_bytes = bytes;
    }

    fn new(path: PathBuf, record: Record) -> Self {
        Self {
            path,
            record,
            written: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_finished(&self) -> bool {
        self.record.finished
    }

    pub(super) fn acknowledged(&self) -> &Progress {
        &self.record.acknowledged
    }

    /// Writes progress down, unless that was done a moment ago.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(super) async fn note(&mut self, so_far: &Progress) -> anyhow::Result<()> {
        if self.written.is_some_and(|at| at.elapsed() < WRITE_INTERVAL) {
            return Ok(());
        }
        self.close(so_far, false).await
    }

    /// Writes progress down now, and whether the whole file is `finished`.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(super) async fn close(&mut self, so_far: &Progress, finished: bool) -> anyhow::Result<()> {
        self.record.acknowledged.clone_from(so_far);
        self.record.finished = finished;
        self.write().await?;
        self.written = Some(Instant::now());
        Ok(())
    }

    /// Writes the record in one step, durably: a draft, its content on the disk, its new name, and that name on the disk. A crash in
    /// between leaves one of both records as a whole; with the new name before the content, it could leave an empty file.
    async fn write(&self) -> anyhow::Result<()> {
        let text = toml::to_string(&self.record).context("the journal's text")?;
        let draft = with_suffix(&self.path, ".new");
        let replace = async {
            let mut file = File::create(&draft).await?;
            file.write_all((EXPLANATION.to_owned() + &text).as_bytes())
                .await?;
            file.sync_all().await?;
            failpoint::crash("import.draft_written");
            fs::rename(&draft, &self.path).await?;
            failpoint::crash("import.renamed");
            let directory = self.path.parent().filter(|parent| *parent != Path::new(""));
            File::open(directory.unwrap_or(Path::new(".")))
                .await?
                .sync_all()
                .await
        };
        replace
            .await
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Whether the chunk from `start` to `end` was acknowledged by an earlier run.
    ///
    /// # Errors
    /// The file is not what it was up to there.
    pub(super) fn has(&self, start: &Place, end: &Place) -> anyhow::Result<bool> {
        // Chunks follow from the content, so the same file has an end of a chunk exactly where it was acknowledged up to, with the same
        // hash over all lines before.
        let before = &self.record.acknowledged.place;
        let crosses = start.bytes < before.bytes && end.bytes > before.bytes;
        let differs = end.bytes == before.bytes && end != before;
        ensure!(!crosses && !differs, self.changed());
        Ok(end.bytes <= before.bytes)
    }

    /// Checks that the file ends where everything is acknowledged.
    ///
    /// # Errors
    /// The file ended before that place, so it is not the one that was acknowledged.
    pub(super) fn expect_end(&self, end: &Place, so_far: &Progress) -> anyhow::Result<()> {
        ensure!(*end == so_far.place, self.changed());
        Ok(())
    }

    fn changed(&self) -> String {
        changed(&self.path, self.record.acknowledged.place.lines)
    }
}

impl Record {
    /// The record of the same import, of a file that may have grown.
    fn with(mut self, now: Identity, path: &Path) -> anyhow::Result<Self> {
        let ended_at = std::mem::replace(&mut self.import, now).file_bytes;
        if ended_at < self.import.file_bytes {
            self.finished = false;
            if self.ends.last() != Some(&ended_at) {
                self.ends.push(ended_at);
            }
        }
        ensure!(
            self.ends.len() <= ENDS_MAX,
            "{} notes more than {ENDS_MAX} imports of the same growing log: rotate it, and import the old one once more",
            path.display()
        );
        Ok(self)
    }
}

/// Path of the journal of the log with this beginning. A log takes another's place when that is rotated. The journal of the one before is
/// put aside then, under a name that tells whose it is, and is found again when that log is imported under its new name with this journal.
async fn of_this_log(path: PathBuf, beginning: &str) -> anyhow::Result<PathBuf> {
    let of = |beginning: &str| {
        with_suffix(
            &path,
            &format!(".{}", &beginning[..beginning.len().min(ASIDE_DIGITS)]),
        )
    };
    if beginning.is_empty() {
        return Ok(path);
    }
    let before = fs::read_to_string(&path).await.unwrap_or_default();
    let before = toml::from_str::<Record>(&before).ok();
    let before =
        before.filter(|before| before.acknowledged.place.bytes > 0 && !before.import.beginning.is_empty());
    let is_another = before
        .as_ref()
        .is_some_and(|before| before.import.beginning != beginning);
    if fs::try_exists(of(beginning)).await? && (is_another || before.is_none()) {
        return Ok(of(beginning));
    }
    if let Some(before) = before.filter(|_| is_another) {
        let aside = of(&before.import.beginning);
        fs::rename(&path, &aside)
            .await
            .with_context(|| format!("cannot put {} aside", path.display()))?;
        eprintln!(
            "note: the log is another one than that of {}, and begins anew; for the last lines of the one before, import it under its new \
             name with --journal {}",
            aside.display(),
            path.display()
        );
    }
    Ok(path)
}

fn changed(path: &Path, lines: u64) -> String {
    format!(
        "the file is not the one whose first {lines} lines {} has as imported (or they were cut by another version of \
         this program): put it back as it was, or import what is new as a file of its own",
        path.display()
    )
}

fn not_a_journal(path: &Path) -> String {
    format!(
        "{} cannot be read as the journal of an import; without it, all is sent anew: take it away only if nothing of \
         the file was imported, or not longer ago than the region's ledger remembers (a day by default)",
        path.display()
    )
}

/// The path beside `path` whose name has `suffix` at its end.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::super::chunk::Chunk;
    use super::super::progress::tests::{chunk, places};
    use super::*;

    #[tokio::test]
    async fn what_was_acknowledged_is_skipped_and_other_content_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let import = Identity {
            file_bytes: 780,
            format: "csv".to_owned(),
            key_prefix: "import-".to_owned(),
            collector: "http://a".to_owned(),
            token_mark: "none".to_owned(),
            beginning: String::new(),
        };
        let places = places(12);
        let so_far = Progress {
            events_accepted: 7,
            events_rejected: 1,
            place: places[5].clone(),
        };
        let mut journal = Journal::read(path.clone(), import.clone()).await.unwrap();
        journal.begin().await.unwrap();
        journal.note(&so_far).await.unwrap();
        let journal = Journal::read(path.clone(), import.clone()).await.unwrap();
        assert_eq!(journal.acknowledged(), &so_far);
        for (number, pair) in (0..).zip(places.windows(2)) {
            assert_eq!(journal.has(&pair[0], &pair[1]).unwrap(), number < 5, "{number}");
        }
        let other = places[4].after(&Chunk {
            key: "another".to_owned(),
            ..chunk(4)
        });
        assert!(journal.has(&places[4], &other).is_err(), "another content");
        assert!(journal.has(&places[4], &places[6]).is_err(), "another cut");
        assert!(journal.expect_end(&places[4], &so_far).is_err(), "a shorter file");

        let token_mark = "12ab".to_owned();
        let error = Journal::read(
            path.clone(),
            Identity {
                token_mark,
                ..import.clone()
            },
        )
        .await
        .err()
        .unwrap();
        assert!(
            error.to_string().contains("token's mark is 'none', not '12ab'"),
            "{error}"
        );
        std::fs::write(&path, "lines = 7").unwrap();
        let error = Journal::read(path, import).await.err().unwrap();
        assert!(
            error
                .to_string()
                .contains("cannot be read as the journal of an import"),
            "{error}"
        );
    }
}
