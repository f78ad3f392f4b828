//! Room on the disks that the worker is told to watch.

#![expect(clippy::disallowed_methods, reason = "disks are asked now and then")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use store::regional::Disk;
use tokio::task::JoinHandle;

/// How often the disks are asked: a full one takes longer to fill.
const INTERVAL: Duration = Duration::from_secs(10);

/// Longest wait for an answer: a directory whose server or disk has died never gives one, and counting must not wait for it.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Disks {
    directories: Vec<PathBuf>,
    fullest: Option<Disk>,
    asked: Option<Instant>,
    /// A question that has not been answered yet. No other one is asked beside it.
    asking: Option<JoinHandle<Option<Disk>>>,
}

impl Disks {
    pub(crate) fn new(directories: Vec<PathBuf>) -> Self {
        Self {
            directories,
            fullest: None,
            asked: None,
            asking: None,
        }
    }

    /// The disk with the smallest part free; `None` where none is watched or can be asked, or one does not answer.
    pub(crate) async fn fullest(&mut self) -> Option<Disk> {
        if self.asked.is_none_or(|at| at.elapsed() >= INTERVAL) {
            self.asked = Some(Instant::now());
            let directories = self.directories.clone();
            let asking = self.asking.take();
            let mut asking =
                asking.unwrap_or_else(|| tokio::task::spawn_blocking(move || fullest(&directories)));
            self.fullest = match tokio::time::timeout(ANSWER_LIMIT, &mut asking).await {
                Ok(fullest) => fullest.unwrap_or_default(),
                Err(_) => {
                    tracing::warn!("a disk that should be watched does not answer");
                    self.asking = Some(asking);
                    None
                }
            };
        }
        self.fullest
    }
}

fn fullest(directories: &[PathBuf]) -> Option<Disk> {
    let disks = directories.iter().filter_map(|directory| {
        let stat = rustix::fs::statvfs(directory)
            .inspect_err(
                |error| tracing::warn!(%error, directory = %directory.display(), "a disk cannot be watched"),
            )
            .ok()?;
        Some(Disk {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            size_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    });
    disks.min_by_key(|disk| u128::from(disk.free_bytes) * 1_000_000 / u128::from(disk.size_bytes.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_cannot_be_asked_hides_no_other() {
        let disk = fullest(&[PathBuf::from("/nowhere"), PathBuf::from("/")]).unwrap();
        assert!(disk.size_bytes > 0 && disk.free_bytes <= disk.size_bytes);
        assert_eq!(fullest(&[PathBuf::from("/nowhere")]), None);
    }
}
