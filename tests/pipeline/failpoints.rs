//! Failpoints of a build for tests, armed one by one.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use crate::rig::{LIMIT, PROGRAM, wait_until};

pub(crate) struct Failpoints(TempDir);

/// What happens to the process that comes to a failpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    Kill,
    Stop,
}

impl Failpoints {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("reached")).unwrap();
        Self(dir)
    }

    /// What processes need in their environment to see them.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![(failpoint::DIRECTORY, self.0.path().to_str().unwrap().to_owned())]
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// For the first process that comes there.
    pub(crate) fn arm(&self, name: &str, how: How) {
        let draft = self.file("draft");
        let text = match how {
            How::Kill => "kill",
            How::Stop => "stop",
        };
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(draft, self.file(name)).unwrap();
    }

    /// Takes back what nobody came to. Returns whether somebody did.
    fn disarm(&self, name: &str) -> bool {
        std::fs::remove_file(self.file(name)).is_err()
    }

    pub(crate) async fn wait_until_taken(&self, name: &str) {
        wait_until(&format!("somebody to come to {name}"), async || {
            let is_armed = self.file(name).exists();
            (!is_armed).then_some(()).ok_or("nobody has".to_owned())
        })
        .await;
    }

    /// The names of those that somebody came to, armed or not.
    pub(crate) fn reached(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.file("reached")).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// Runs a command of ours until it ends at `name`.
    pub(crate) async fn crash_at(&self, name: &str, arguments: &[&str]) {
        wait_until(&format!("a command to come to {name}"), async || {
            self.try_crash_at(name, arguments).await
        })
        .await;
    }

    async fn try_crash_at(&self, name: &str, arguments: &[&str]) -> Result<(), String> {
        self.arm(name, How::Kill);
        let mut command = Command::new(PROGRAM);
        command.args(arguments).envs(self.environment());
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(LIMIT, output).await;
        let output = output.expect("the command ends").unwrap();
        self.disarm(name).then_some(()).ok_or(format!("{output:?}"))
    }
}
