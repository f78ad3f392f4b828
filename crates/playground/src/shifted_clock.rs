//! Shifted clocks: processes see another time, by Debian's libfaketime, and it can be set while they run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

/// The directory that has one for each of Debian's architectures.
const LIBRARIES: &str = "/usr/lib";

/// The library's path in such a directory.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// Name, in the data directory, of the directory with a file for each process whose clock can be set.
pub(crate) const CLOCKS_DIR: &str = "clocks";

/// Longest time until a process notices that its clock was set: libfaketime reads the file again once a second.
pub const CLOCK_IS_SEEN: Duration = Duration::from_secs(2);

/// Sets the clock of a process that runs, such as `eu/beanstalkd`, so many seconds ahead of this machine's. Its place must be
/// one of [`crate::Options::clocks_ahead_s`], and it sees the change within [`CLOCK_IS_SEEN`].
///
/// # Errors
/// There is no such process, or its file cannot be written.
pub fn set_clock(data_dir: &Path, process: &str, ahead_s: i32) -> Result<()> {
    let file = file(data_dir, process);
    anyhow::ensure!(
        file.is_file(),
        "{process} has no clock that can be set: {} is missing",
        file.display()
    );
    write(&file, ahead_s)
}

/// Variables under which a process sees its wall clock `ahead_s` seconds ahead, until [`set_clock`] says otherwise. Monotonic
/// clocks stay as they are: no server's clock that is set wrong touches them.
///
/// # Errors
/// The library is missing: with its package's name; or the process's file cannot be written.
pub(crate) fn environment(
    data_dir: &Path,
    process: &str,
    ahead_s: i32,
) -> Result<Vec<(&'static str, String)>> {
    let library = find().context("libfaketime is not installed: apt-get install libfaketime")?;
    let file = file(data_dir, process);
    write(&file, ahead_s)?;
    Ok(vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ])
}

fn file(data_dir: &Path, process: &str) -> PathBuf {
    data_dir.join(CLOCKS_DIR).join(process.replace('/', "-"))
}

/// Replaces the file at once: a process that read half of it would see another time.
fn write(file: &Path, ahead_s: i32) -> Result<()> {
    let new = file.with_extension("new");
    let written = std::fs::write(&new, format!("{ahead_s:+}s\n")).and_then(|()| std::fs::rename(&new, file));
    written.with_context(|| format!("failed to write {}", file.display()))
}

fn find() -> Option<PathBuf> {
    let directories = std::fs::read_dir(LIBRARIES).ok()?.flatten();
    directories
        .map(|directory| directory.path().join(LIBRARY))
        .find(|library| library.is_file())
}
