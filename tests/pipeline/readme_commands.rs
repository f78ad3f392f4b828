//! The commands of the READMEs do what they say they do.
//!
//! Blocks marked `sh` are for whoever has a playground: every line of them is run against one, as it stands there but for the
//! playground's place and ports. Blocks marked `console` are for machines with servers of their own, or would run this test again;
//! other tests run what they show (`backup`, `restored_centre`, `regions`, `switched`, `units`, `playground_command`), and here each
//! of their commands and options is looked up in the program's own help.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Command;

use crate::rig::{LIMIT, PROGRAM, Rig, two_regions, wait_until};

/// Commands that tell of something to look at, which there may be so soon after a start, with the codes that they may end with.
const MAY_TELL: [(&str, &[i32]); 2] = [("eventtracker status", &[0, 1]), ("eventtracker audit", &[0, 2])];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// All lines of blocks with this mark in a README.
fn lines_of(text: &str, mark: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut is_wanted = false;
    for line in text.lines().map(str::trim) {
        match line.strip_prefix("```") {
            Some(language) => is_wanted = language == mark,
            None if is_wanted && !line.is_empty() => lines.push(line.to_owned()),
            None => {}
        }
    }
    lines
}

/// The lines of all READMEs, each with its file.
fn commands(mark: &str) -> Vec<(String, String)> {
    let listed = std::process::Command::new("find")
        .args([
            "README.md",
            "benches",
            "crates",
            "deploy",
            "schema",
            "tests",
            "-name",
            "README.md",
        ])
        .args(["-not", "-path", "*/node_modules/*"])
        .current_dir(top())
        .output()
        .unwrap();
    let files = String::from_utf8(listed.stdout).unwrap();
    let mut files: Vec<&str> = files.lines().collect();
    // The newcomer's page comes first, as for a newcomer.
    files.sort_by_key(|file| (*file != "README.md", *file));
    let of_file = |file: &str| {
        let text = std::fs::read_to_string(top().join(file)).unwrap();
        let lines = lines_of(&text, mark).into_iter();
        lines.map(|line| (file.to_owned(), line)).collect::<Vec<_>>()
    };
    files.into_iter().flat_map(of_file).collect()
}

async fn shell(line: &str, environment: &[(&str, &str)]) -> Output {
    // An answer that refuses is a failure, too.
    let script = format!("curl() {{ command curl --silent --show-error --fail-with-body \"$@\"; }}\n{line}");
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(top())
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    tokio::time::timeout(LIMIT, command.output())
        .await
        .unwrap_or_else(|_| panic!("{line} does not end"))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn run_in_a_playground() {
    let rig = Rig::start(two_regions()).await;
    // An import keeps its journal beside the log.
    let logs = tempfile::tempdir().unwrap();
    let log = "apache_access.log";
    std::fs::copy(top().join("tests/data").join(log), logs.path().join(log)).unwrap();
    // What the demo of a playground counts.
    let events = serde_json::json!([{ "name": "shop.item.sold" }, { "name": "web.status.200" }]);
    rig.post_until_accepted("eu", &events).await;

    let (api, collector) = (rig.description().api, rig.collectors("eu").swap_remove(0));
    let environment = [
        ("EVENTTRACKER_API", api.as_str()),
        ("EVENTTRACKER_COLLECTOR", collector.as_str()),
    ];
    let as_here = |line: &str| {
        line.replace("http://127.0.0.1:7070", &api)
            .replace("http://127.0.0.1:7080", &collector)
            .replace("tests/data/", &format!("{}/", logs.path().display()))
            .replace(".playground/", &format!("{}/", rig.data_dir().display()))
            .replace("target/release/eventtracker", PROGRAM)
    };
    let commands = commands("sh");
    assert!(commands.len() > 30, "{commands:?}");
    for (file, line) in commands {
        let codes = MAY_TELL
            .iter()
            .find(|(command, _)| line.contains(command))
            .map_or(&[0][..], |(_, codes)| codes);
        let here = as_here(&line);
        wait_until(&format!("{file}: {line}"), async || {
            let output = shell(&here, &environment).await;
            match output.status.code() {
                Some(code) if codes.contains(&code) => Ok(()),
                _ => Err(format!("{here}: {output:?}")),
            }
        })
        .await;
    }
    rig.stop().await;
}

/// The words of a command before its first option, value or quote.
fn subcommand(line: &str) -> Vec<&str> {
    let is_word =
        |word: &&str| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !word.starts_with('-');
    let words = line.split_whitespace().skip(1).take_while(is_word);
    words.take(2).collect()
}

#[tokio::test]
async fn options_that_are_shown_are_in_the_help() {
    let mut looked_up = 0;
    for (file, line) in commands("console").into_iter().chain(commands("sh")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (program, mut arguments) = match words[0] {
            "operator" | "eventtracker" | "target/release/eventtracker" => {
                (PathBuf::from(PROGRAM), subcommand(&line))
            }
            "deploy/playground" => (PathBuf::from(PROGRAM), vec!["playground"]),
            script if script.starts_with("deploy/") => (top().join(script), Vec::new()),
            _ => continue,
        };
        // Of the two words, the second may be a name.
        let mut output = help(&program, &arguments).await;
        if !output.status.success() && arguments.len() > 1 {
            arguments.truncate(1);
            output = help(&program, &arguments).await;
        }
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{file}: {line}");
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(option), "{file}: {line}: {option} is not in {help}");
        }
        looked_up += 1;
    }
    assert!(looked_up > 10, "{looked_up}");
}

async fn help(program: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).arg("--help").stdin(Stdio::null());
    command.output().await.unwrap()
}
