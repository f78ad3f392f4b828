//! The real graphite-web, asked once for everything.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::compare::Rendering;
use super::data::{Data, KNOWN_DAYS, MINUTE_S};

const HELPER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/graphite/oracle.py");

/// Debian's own: its packages are not seen by another Python.
const PYTHON: &str = "/usr/bin/python3";

/// A program that Debian's package brings.
const GRAPHITE_PROGRAM: &str = "/usr/bin/graphite-manage";

#[derive(Debug, serde::Deserialize)]
pub(super) struct Oracle {
    pub(super) answers: Vec<Rendering>,
    /// What each function takes, by name.
    pub(super) functions: BTreeMap<String, Value>,
}

pub(super) fn expect_installed() {
    assert!(
        Path::new(GRAPHITE_PROGRAM).exists(),
        "{GRAPHITE_PROGRAM} is missing: install Debian's package graphite-web, as tests/setup does"
    );
}

/// Whisper files with all that is known, and what graphite-web renders from them.
pub(super) async fn ask(data: &Data, renders: &[Vec<(String, String)>]) -> Oracle {
    let directory = tempfile::tempdir().unwrap();
    let asked = json!({
        "directory": directory.path(),
        "series": data.counts,
        "zero_from": data.first - KNOWN_DAYS * 1_440 * MINUTE_S,
        "zero_until": data.known_until,
        "renders": renders,
    });
    let mut child = Command::new(PYTHON)
        .arg(HELPER)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(asked.to_string().as_bytes()).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    assert!(
        output.status.success(),
        "graphite-web (Debian's package of that name) did not answer: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}
