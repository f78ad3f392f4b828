//! No README names a file that is not there, and no link of one leads to a heading that is not there.
//!
//! A link is followed from the README's own directory, as GitHub follows it. A path in code, whether within a sentence or in a
//! block of commands, is read from the top of the tree if it begins with one of the folders there.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

const FOLDERS: [&str; 5] = ["benches", "crates", "deploy", "schema", "tests"];

/// Directories of what was built, installed or stored here.
const PASSED_OVER: [&str; 4] = [".git", ".playground", "node_modules", "target"];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Each line with its number, and whether it is in a block of code. The fences of blocks are left out.
fn lines(text: &str) -> impl Iterator<Item = (usize, bool, &str)> {
    let mut is_block = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_block ^= is_fence;
        (!is_fence).then_some((at + 1, is_block, line))
    })
}

/// A part of one line that is all code or all prose.
struct Piece<'a> {
    line: usize,
    is_code: bool,
    text: &'a str,
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut is_code = false;
    for (line, is_block, text) in lines(text) {
        if is_block {
            pieces.push(Piece {
                line,
                is_code: true,
                text,
            });
            continue;
        }
        // Code goes on over the end of a line, but not over that of a paragraph.
        is_code &= !text.trim().is_empty();
        for (at, text) in text.split('`').enumerate() {
            is_code ^= at > 0;
            pieces.push(Piece { line, is_code, text });
        }
    }
    pieces
}

/// The paths in code that begin with a folder of the tree. Of one that stands for many, as `tests/*.rs` does, the directory.
fn paths_in_code(code: &str) -> impl Iterator<Item = &str> {
    code.split_whitespace().filter_map(|word| {
        let word = word.trim_start_matches(['(', '[', '"', '\'']);
        let word = word.strip_prefix("./").unwrap_or(word);
        let path = word
            .split([':', '#', ',', ';', ')', ']', '"', '\''])
            .next()
            .unwrap_or(word);
        let path = match path.find(['*', '?', '{', '<', '$', '…']) {
            Some(at) => &path[..=path[..at].rfind('/')?],
            None => path.trim_end_matches('.'),
        };
        let (folder, _) = path.split_once('/')?;
        FOLDERS.contains(&folder).then_some(path)
    })
}

/// Where links in prose lead to: `[text](target)`, `[text](target "title")`, and `[label]: target` at a line's start.
fn targets(prose: &str) -> impl Iterator<Item = &str> {
    let inline = prose.split("](").skip(1);
    let labelled = prose
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .map(|(_, target)| target);
    inline
        .chain(labelled)
        .filter_map(|rest| rest.split([')', ' ']).next())
        .map(|target| target.trim_matches(['<', '>']))
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

/// The anchor that GitHub gives to a heading: letters, digits, `_`, `-` and blanks of its text, in lower case, blanks as `-`.
/// Of a link in it, the text counts.
fn anchor_of(heading: &str) -> String {
    let mut shown = String::new();
    let mut rest = heading.trim();
    while let Some((text, link)) = rest.split_once("](") {
        shown.push_str(text);
        rest = link.split_once(')').map_or("", |(_, behind)| behind);
    }
    shown.push_str(rest);
    shown
        .chars()
        .filter(|one| one.is_alphanumeric() || ['_', '-', ' '].contains(one))
        .flat_map(char::to_lowercase)
        .map(|one| if one == ' ' { '-' } else { one })
        .collect()
}

/// The anchors of a document. Where several headings read the same, GitHub numbers all but the first.
fn anchors(text: &str) -> HashSet<String> {
    let mut times: HashMap<String, usize> = HashMap::new();
    let headings = lines(text)
        .filter(|(_, is_block, _)| !is_block)
        .filter_map(|(_, _, line)| {
            let heading = line.trim_start_matches('#');
            ((1..=6).contains(&(line.len() - heading.len())) && heading.starts_with(' ')).then_some(heading)
        });
    headings
        .map(|heading| {
            let anchor = anchor_of(heading);
            let before = times.entry(anchor.clone()).or_default();
            *before += 1;
            match *before {
                1 => anchor,
                many => format!("{anchor}-{}", many - 1),
            }
        })
        .collect()
}

/// What is wrong with a link of `readme`, whose text is `text`, if anything is.
fn broken(top: &Path, readme: &Path, text: &str, target: &str) -> Option<String> {
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (target, None),
    };
    let mut file = match path.strip_prefix('/') {
        Some(from_top) => top.join(from_top),
        None => readme.with_file_name(path),
    };
    let there = if path.is_empty() {
        text.to_owned()
    } else if !file.exists() {
        return Some(format!("the link to {target} leads nowhere"));
    } else {
        // GitHub shows it below the list of the files.
        if file.is_dir() {
            file.push("README.md");
        }
        std::fs::read_to_string(&file).unwrap_or_default()
    };
    let leads_to_heading = anchor.is_none_or(|anchor| anchors(&there).contains(anchor));
    (!leads_to_heading).then(|| format!("the link to {target} leads to no heading"))
}

/// What a README names that is not there: by line.
fn missing(top: &Path, readme: &Path, text: &str) -> Vec<String> {
    let mut missing = Vec::new();
    let name = readme.strip_prefix(top).unwrap_or(readme).display();
    for piece in pieces(text) {
        let wrong: Vec<String> = if piece.is_code {
            paths_in_code(piece.text)
                .filter(|path| !top.join(path).exists())
                .map(|path| format!("{path} is not there"))
                .collect()
        } else {
            targets(piece.text)
                .filter_map(|target| broken(top, readme, text, target))
                .collect()
        };
        let line = piece.line;
        missing.extend(wrong.into_iter().map(|what| format!("{name}:{line}: {what}")));
    }
    missing
}

fn find_readmes(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if entry.file_type().unwrap().is_dir() {
            if !PASSED_OVER.iter().any(|passed_over| name == *passed_over) {
                find_readmes(&entry.path(), found);
            }
        } else if name == "README.md" {
            found.push(entry.path());
        }
    }
}

#[test]
fn every_file_that_a_readme_names_is_there() {
    let top = top();
    let mut readmes = Vec::new();
    find_readmes(&top, &mut readmes);
    assert!(
        readmes.contains(&top.join("README.md")),
        "of {}: {readmes:?}",
        top.display()
    );
    let missing: Vec<String> = readmes
        .iter()
        .flat_map(|readme| missing(&top, readme, &std::fs::read_to_string(readme).unwrap()))
        .collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn what_is_not_there_is_told_by_line() {
    let text = "\
# A page of *one* `thing`
## [Twice](https://debian.org/a-b) & more
## Twice & more
[a](#a-page-of-one-thing), [`b`](run#no), [c](load/main.rs \"title\"), [d](/deploy), [e](https://debian.org/none)
[f](#twice--more), [g](#twice--more-1), [h](#twice--more-2), [i](../deploy#none), [j](none.md)
`tests/run --soak 5`, `tests/none`, `deploy/*.cnf`, `none/*.cnf`, `tests/none/{a,b}`, `(deploy/none:7)`, `/etc/tests/none`, `a
tests/none/too`, tests/none

[k]: none/k.md
```
# tests/none
./tests/run   # as deploy/playground.
```
";
    let readme = top().join("benches/README.md");
    let missing = missing(&top(), &readme, text);
    assert_eq!(
        missing,
        [
            "benches/README.md:4: the link to run#no leads to no heading",
            "benches/README.md:5: the link to #twice--more-2 leads to no heading",
            "benches/README.md:5: the link to ../deploy#none leads to no heading",
            "benches/README.md:5: the link to none.md leads nowhere",
            "benches/README.md:6: tests/none is not there",
            "benches/README.md:6: tests/none/ is not there",
            "benches/README.md:6: deploy/none is not there",
            "benches/README.md:7: tests/none/too is not there",
            "benches/README.md:9: the link to none/k.md leads nowhere",
            "benches/README.md:11: tests/none is not there",
        ]
    );
}
