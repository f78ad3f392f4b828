//! Scripts in Python, with packages that nobody here wrote.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::rig::LIMIT;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/python");

/// Where `tests/setup` installs the packages.
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/python");

/// The document that a script prints.
pub(crate) async fn printed(script: &str, arguments: &[&str]) -> Value {
    let mut command = Command::new("/usr/bin/python3");
    command
        .arg(format!("{SCRIPTS}/{script}"))
        .args(arguments)
        .env("PYTHONPATH", PACKAGES)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output())
        .await
        .unwrap()
        .unwrap();
    assert!(
        output.status.success(),
        "{} (the packages are installed by tests/setup, or pip3 install --target target/python -r tests/python/requirements.txt)",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}
