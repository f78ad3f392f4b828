//! A directory for one test or trial.

use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Removed when dropped, unless the thread panics: a failed test keeps its data and logs, and says where.
#[derive(Debug)]
pub struct Directory(Option<TempDir>);

impl Directory {
    /// # Errors
    /// No directory could be made.
    pub fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("eventtracker-").tempdir();
        Ok(Self(Some(dir.context("failed to make a temporary directory")?)))
    }

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
