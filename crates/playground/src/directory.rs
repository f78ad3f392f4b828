//! The temporary directory of a test or a trial.

use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A temporary directory, which is removed when dropped, unless the thread panics: a failed test keeps its data and logs, and says where.
#[derive(Debug)]
pub struct Directory(Option<TempDir>);

impl Directory {
    /// Creates an empty directory, in `TMPDIR` or where else the system keeps temporary files.
    ///
    /// # Errors
    /// The system's, where no directory could be made.
    pub fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("eventtracker-").tempdir();
        Ok(Self(Some(dir.context("failed to make a temporary directory")?)))
    }

    /// Path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.as_ref().map_or(Path::new(""), TempDir::path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Some(dir) = self.0.take_if(|_| std::thread::panicking()) {
            eprintln!("data and logs of the failed test: {}", dir.keep().display());
        }
    }
}
