#![doc = include_str!("../README.md")]

/// The environment variable that names the directory.
pub const DIRECTORY: &str = "EVENTTRACKER_FAILPOINTS";

/// A step between two that a crash may come between. Where a test says so, this process does not get further.
#[inline]
pub fn crash(name: &'static str) {
    #[cfg(feature = "armed")]
    armed::crash(name);
    #[cfg(not(feature = "armed"))]
    let _ = name;
}

/// A branch that is taken sometimes.
#[inline]
pub fn sometimes(name: &'static str) {
    #[cfg(feature = "armed")]
    armed::reached(name);
    #[cfg(not(feature = "armed"))]
    let _ = name;
}

#[cfg(feature = "armed")]
mod armed {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, OnceLock, PoisonError};

    use rustix::process::{Signal, getpid, kill_process};

    fn directory() -> Option<&'static Path> {
        static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
        DIRECTORY
            .get_or_init(|| std::env::var_os(super::DIRECTORY).map(PathBuf::from))
            .as_deref()
    }

    pub(super) fn crash(name: &'static str) {
        let Some(dir) = directory() else { return };
        reached(name);
        let taken = dir.join(format!("{name}.taken-by-{}", std::process::id()));
        // One process takes it, whoever comes first.
        if fs::rename(dir.join(name), &taken).is_err() {
            return;
        }
        let how = fs::read_to_string(taken).unwrap_or_default();
        let signal = if how == "stop" { Signal::STOP } else { Signal::KILL };
        kill_process(getpid(), signal).expect("a process may send itself a signal");
    }

    pub(super) fn reached(name: &'static str) {
        static NOTED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
        let Some(dir) = directory() else { return };
        let is_new = NOTED.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        if is_new && let Err(error) = fs::write(dir.join("reached").join(name), "") {
            eprintln!("cannot note that {name} was reached: {error}");
        }
    }
}
