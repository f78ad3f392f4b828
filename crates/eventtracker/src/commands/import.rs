//! `eventtracker import`: a web server's log as events at each line's own time.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::fs::File;
use tokio::io::{AsyncBufRead, BufReader};
use tokio::task::JoinSet;

use self::chunk::{Chunk, Cutter};
use self::combined::Request;
use self::lines::Lines;
use self::summary::Summary;
use super::send::{Answer, CollectorAddress, Patience, Sender, check_key};

mod chunk;
mod combined;
mod lines;
mod summary;

/// Enough to keep a collector busy while the next chunk is read; together they bound the import's memory to some 10 MB.
const REQUESTS_IN_FLIGHT_MAX: usize = 4;

/// An import may well fill the region's queue, and then waits for the workers.
const PATIENCE: Patience = Patience {
    attempts_max: 100,
    time_max: Duration::from_secs(120),
};

const READ_BUFFER_BYTES: usize = 256 * 1024;

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// Apache's and nginx's combined log; the common log, which ends after the size, is read as well
    #[value(alias = "common")]
    Combined,
}

/// Counts a web server's log: each line gives events at its own time
///
/// A line counts `web.requests`, `web.status.<code>` and `web.method.<method>` once, and `web.bytes` by its size.
/// Import finished logs only, such as `access.log.1`: the same file again counts nothing while the region's ledger
/// remembers it, but the last part of a file that has grown since is counted again. Repeat an import with the same
/// token and --key: to the collector, a request under another token is another request.
/// Compressed logs come through a pipe: `zcat access.log.2.gz | eventtracker import -`.
/// Exit code 1 when anything was refused or could not be sent.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The log; `-` reads standard input
    file: PathBuf,
    #[arg(long, value_enum, default_value = "combined")]
    format: Format,
    /// Counts the same content again: the word becomes a part of every request's key
    #[arg(long, value_name = "PREFIX")]
    key: Option<String>,
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
        let (input, bytes) = open(&self.file).await?;
        let sender = Sender::new(&self.collector, PATIENCE)?;
        let started = Instant::now();
        let mut transfer = Transfer {
            sender: Arc::new(sender),
            in_flight: JoinSet::new(),
            bar: progress_bar(bytes)?,
            summary: Summary::default(),
        };
        match self.format {
            Format::Combined => transfer.run(Lines::new(input), Cutter::new(key_prefix)).await?,
        }
        transfer.bar.finish_and_clear();
        let mut summary = transfer.summary;
        summary.requests_repeated = transfer.sender.repeated();
        summary.elapsed = started.elapsed();
        print!("{summary}");
        Ok(if summary.is_clean() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// The log as a stream, and its size where it is known.
async fn open(path: &Path) -> anyhow::Result<(BufReader<File>, Option<u64>)> {
    let cannot = || format!("cannot read {}", path.display());
    let file = if path == Path::new("-") {
        let stdin = std::io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .with_context(cannot)?;
        File::from_std(stdin.into())
    } else {
        File::open(path).await.with_context(cannot)?
    };
    let metadata = file.metadata().await.with_context(cannot)?;
    ensure!(
        !metadata.is_dir(),
        "{} is a directory: name one log in it",
        path.display()
    );
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok((BufReader::with_capacity(READ_BUFFER_BYTES, file), bytes))
}

/// On stderr, and hidden where that is no terminal.
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

/// What came of one chunk.
struct Sent {
    outcome: anyhow::Result<Answer>,
    event_lines: Vec<u64>,
    first_line: u64,
    bytes: u64,
}

/// An import under way.
struct Transfer {
    sender: Arc<Sender>,
    in_flight: JoinSet<Sent>,
    bar: ProgressBar,
    summary: Summary,
}

impl Transfer {
    /// Reads and sends until the log's end, or until a chunk could not be sent.
    async fn run<R: AsyncBufRead + Unpin>(
        &mut self,
        mut lines: Lines<R>,
        mut cutter: Cutter,
    ) -> anyhow::Result<()> {
        while self.summary.stopped.is_none() {
            match lines.next().await {
                Ok(Some(line)) => {
                    self.summary.lines += 1;
                    let request = if line.text.is_empty() {
                        None
                    } else {
                        Some(Request::of(&line))
                    };
                    if let Some(Err(refusal)) = &request {
                        self.summary.refuse(line.number, refusal);
                    }
                    let chunk = cutter.add(&line, request.and_then(Result::ok).as_ref());
                    self.send(chunk).await?;
                }
                Ok(None) => {
                    self.send(cutter.close()).await?;
                    break;
                }
                Err(error) => {
                    let error = anyhow::Error::new(error).context("cannot read on in the log");
                    self.summary.stopped = Some(error);
                }
            }
        }
        while !self.in_flight.is_empty() {
            self.settle_one().await?;
        }
        Ok(())
    }

    /// Waits for a free place first.
    async fn send(&mut self, chunk: Option<Chunk>) -> anyhow::Result<()> {
        let Some(chunk) = chunk else { return Ok(()) };
        if chunk.body.is_empty() {
            self.bar.inc(chunk.bytes);
            return Ok(());
        }
        while self.in_flight.len() >= REQUESTS_IN_FLIGHT_MAX {
            self.settle_one().await?;
        }
        if self.summary.stopped.is_some() {
            return Ok(());
        }
        self.summary.requests += 1;
        let sender = Arc::clone(&self.sender);
        self.in_flight.spawn(async move {
            let Chunk {
                key,
                body,
                event_lines,
                first_line,
                bytes,
            } = chunk;
            let outcome = sender.send(&key, "application/x-ndjson", body).await;
            Sent {
                outcome,
                event_lines,
                first_line,
                bytes,
            }
        });
        Ok(())
    }

    async fn settle_one(&mut self) -> anyhow::Result<()> {
        let Some(sent) = self.in_flight.join_next().await else {
            return Ok(());
        };
        let sent = sent.context("a request's task failed")?;
        match sent.outcome {
            Ok(answer) => {
                self.bar.inc(sent.bytes);
                self.summary.answered(&answer, &sent.event_lines);
            }
            Err(error) => {
                let place = format!("cannot send the events from line {} on", sent.first_line);
                self.summary.stopped.get_or_insert(error.context(place));
            }
        }
        Ok(())
    }
}
