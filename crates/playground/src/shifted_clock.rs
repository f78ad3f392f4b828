//! Processes whose clock is wrong, by Debian's libfaketime.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// One directory for each of Debian's architectures.
const LIBRARIES: &str = "/usr/lib";
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// Variables under which a process sees its wall clock `ahead_s` seconds ahead. Monotonic clocks stay as they are: no
/// server's clock that is set wrong touches them.
///
/// # Errors
/// The library is missing: with its package's name.
pub(crate) fn environment(ahead_s: i32) -> Result<Vec<(&'static str, String)>> {
    let library = find().context("libfaketime is not installed: apt-get install libfaketime")?;
    Ok(vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", format!("{ahead_s:+}s")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ])
}

fn find() -> Option<PathBuf> {
    let directories = std::fs::read_dir(LIBRARIES).ok()?.flatten();
    directories
        .map(|directory| directory.path().join(LIBRARY))
        .find(|library| library.is_file())
}
