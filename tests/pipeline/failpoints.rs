//! Failpoints of a build for tests, armed one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use crate::rig::{LIMIT, PROGRAM, wait_until};

pub(crate) struct Failpoints(TempDir);

/// Stands between a failpoint's name and the process that came to it.
const TAKEN_BY: &str = ".taken-by-";

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

    /// Takes back what nobody came to. Returns the process that did.
    pub(crate) fn disarm(&self, name: &str) -> Option<u32> {
        if std::fs::remove_file(self.file(name)).is_ok() {
            return None;
        }
        let files = std::fs::read_dir(self.0.path()).unwrap();
        let taken = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let taken = taken.filter_map(|file| file.strip_prefix(name)?.strip_prefix(TAKEN_BY)?.parse().ok());
        let pid: u32 = taken.last()?;
        std::fs::remove_file(self.file(&format!("{name}{TAKEN_BY}{pid}"))).unwrap();
        Some(pid)
    }

    pub(crate) async fn wait_until_taken(&self, name: &str) {
        wait_until(&format!("somebody to come to {name}"), async || {
            let is_armed = self.file(name).exists();
            (!is_armed).then_some(()).ok_or("nobody has".to_owned())
        })
        .await;
    }

    /// Those of the roles that nobody came to.
    pub(crate) fn not_reached(&self) -> Vec<String> {
        let reached = self.reached();
        let mut all = [in_readme("| crash points |"), in_readme("| sometimes | |")].concat();
        let of_roles = ["collector.", "worker.", "keeper."];
        all.retain(|name| of_roles.iter().any(|role| name.starts_with(role)) && !reached.contains(name));
        all
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
        self.disarm(name).map(drop).ok_or(format!("{output:?}"))
    }
}

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The names that `call` is made with, and how often.
fn in_code(call: &str) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    let mut dirs = vec![Path::new(ROOT).join("crates")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for (_, rest) in text
                    .match_indices(call)
                    .map(|(at, _)| text.split_at(at + call.len()))
                {
                    let name = rest.split('"').nth(1).unwrap();
                    *names.entry(name.to_owned()).or_default() += 1;
                }
            }
        }
    }
    names
}

/// The names in backquotes of the table that begins with this head.
fn in_readme(head: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(format!("{ROOT}/tests/README.md")).unwrap();
    let table = readme.split_once(head).unwrap().1.split_once("\n\n").unwrap().0;
    let quoted = table.split('`').skip(1).step_by(2);
    quoted
        .filter(|name| name.contains('.'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_readme_lists_them_all() {
    let mut listed = in_readme("| crash points |");
    let code = in_code(concat!("failpoint", "::crash("));
    assert!(code.values().all(|&times| times == 1), "{code:?}");
    let numbers = listed.len();
    listed.sort_unstable();
    assert_eq!(listed, code.into_keys().collect::<Vec<_>>());
    let readme = std::fs::read_to_string(format!("{ROOT}/tests/README.md")).unwrap();
    for number in 1..=numbers {
        assert!(readme.contains(&format!(" {number} `")), "{number}");
    }
    let mut listed = in_readme("| sometimes | |");
    listed.sort_unstable();
    let code = in_code(concat!("failpoint", "::sometimes("));
    assert_eq!(listed, code.into_keys().collect::<Vec<_>>());
}
