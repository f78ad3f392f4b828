//! Files that a running role takes over when they change.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Time between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The changes of some files: noticed at SIGHUP, and otherwise within five seconds.
#[derive(Debug)]
pub struct Changes {
    hangups: Option<Signal>,
    files: Vec<(PathBuf, State)>,
}

/// What tells whether a file was changed or replaced; `None` where there is none.
#[derive(Debug, PartialEq, Eq)]
struct State(Option<(u64, u64, u64, i64, i64)>);

impl State {
    fn of(path: &Path) -> Self {
        let of = |file: Metadata| {
            (
                file.dev(),
                file.ino(),
                file.size(),
                file.ctime(),
                file.ctime_nsec(),
            )
        };
        Self(std::fs::metadata(path).ok().map(of))
    }
}

impl Changes {
    /// Those that come after this call. To be made before the files are read, so that none is missed.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn of(files: &[&Path]) -> Self {
        let hangups = signal(SignalKind::hangup())
            .inspect_err(
                |error| tracing::warn!(%error, "SIGHUP is not heard: files are looked at in intervals"),
            )
            .ok();
        let files = files.iter().map(|&path| (path.to_owned(), State::of(path)));
        Self {
            hangups,
            files: files.collect(),
        }
    }

    /// Returns once one of the files has changed, or at SIGHUP.
    pub async fn next(&mut self) {
        loop {
            let is_told = tokio::select! {
                () = hangup(&mut self.hangups) => true,
                () = tokio::time::sleep(LOOK_INTERVAL) => false,
            };
            let mut has_changed = false;
            for (path, known) in &mut self.files {
                let state = State::of(path);
                has_changed |= state != *known;
                *known = state;
            }
            if is_told || has_changed {
                return;
            }
        }
    }
}

/// Returns at SIGHUP; never where it is not heard.
async fn hangup(hangups: &mut Option<Signal>) {
    let is_told = match hangups {
        Some(hangups) => hangups.recv().await.is_some(),
        None => false,
    };
    if !is_told {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_of_either_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| dir.path().join(name));
        std::fs::write(&one, "a").unwrap();
        let mut changes = Changes::of(&[&one, &other]);
        let mut is_noticed = async || {
            let next = tokio::time::timeout(3 * LOOK_INTERVAL, changes.next());
            next.await.is_ok()
        };
        assert!(!is_noticed().await);
        std::fs::write(&other, "b").unwrap();
        assert!(is_noticed().await, "it is there now");
        assert!(!is_noticed().await);
        std::fs::write(&one, "ab").unwrap();
        assert!(is_noticed().await);
        std::fs::remove_file(&one).unwrap();
        assert!(is_noticed().await);
    }
}
