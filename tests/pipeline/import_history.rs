//! History from a file is counted as it stands there, once, however often its import is interrupted and repeated.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use forgetful_disk::{Disk, Names};
use mysql_async::prelude::Queryable;
use playground::Options;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::centre;
use crate::ledger::Ledger;
use crate::rig::{LIMIT, PROGRAM, Rig, eventtracker, one_region, settings, signal, wait_until};
use crate::tube::wait_until_empty;

/// 2025-01-01T00:00:00Z.
const FIRST_MINUTE: i64 = 1_735_689_600;

const MINUTES: i64 = 3 * 1_440;

const NAMES: i64 = 20;

/// Of an import that is going to be interrupted: twelve times what can be in flight at once, which may be over at the first look.
const NAMES_MANY: i64 = 160;

/// What a file holds: a row for each name and minute, many of them without events.
struct History {
    rows: Vec<(String, i64, u64)>,
}

impl History {
    fn of(prefix: &str, names: i64) -> Self {
        let row = |name: i64, minute: i64| {
            let quiet = (minute / 90 + name) % 3 == 0;
            let count = if quiet {
                0
            } else {
                1 + (minute * 7 + name * 13) % 60
            };
            let name = format!("{prefix}.{name}");
            (name, FIRST_MINUTE + 60 * minute, u64::try_from(count).unwrap())
        };
        let rows = (0..names).flat_map(|name| (0..MINUTES).map(move |minute| row(name, minute)));
        Self { rows: rows.collect() }
    }

    fn csv(&self) -> String {
        self.text("name,minute,count\n", |name, minute, count| {
            format!("{name},{minute},{count}\n")
        })
    }

    fn ndjson(&self) -> String {
        self.text("", |name, minute, count| {
            format!("{{\"name\":\"{name}\",\"minute\":{minute},\"count\":{count}}}\n")
        })
    }

    fn text(&self, head: &str, line: impl Fn(&str, i64, u64) -> String) -> String {
        let lines = self
            .rows
            .iter()
            .map(|(name, minute, count)| line(name, *minute, *count));
        lines.fold(head.to_owned(), |text, line| text + &line)
    }

    fn enter(&self, ledger: &mut Ledger) {
        for (name, minute, count) in self.rows.iter().filter(|row| row.2 > 0) {
            ledger.acknowledged(name, *minute, *count);
        }
    }
}

/// A directory for files, and the collector that they go to.
struct Imports {
    dir: tempfile::TempDir,
    collector: String,
}

impl Imports {
    fn new(rig: &Rig) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            collector: rig.collectors("eu")[0].clone(),
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn import(&self, format: &str, file: &Path, more: &[&str]) -> Output {
        let file = file.to_str().unwrap();
        let arguments = ["import", "--format", format, "--collector", &self.collector, file];
        eventtracker(&[&arguments[..], more].concat()).await
    }

    fn start(&self, collector: &str, file: &Path) -> Child {
        let mut command = Command::new(PROGRAM);
        command.args(["import", "--format", "csv", "--collector", collector]);
        command
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn expect_success(output: &Output, words: &str) {
    let shown = stdout(output);
    assert!(
        output.status.success() && shown.contains(words),
        "{words}: {output:?}"
    );
}

fn expect_failure(output: &Output, words: &str) {
    let shown = stdout(output) + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && shown.contains(words),
        "{words}: {shown}"
    );
}

fn journal_of(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}.eventtracker-import", file.display()))
}

/// How many of the file's lines are acknowledged, by its journal.
fn lines_in_journal(file: &Path) -> i64 {
    let text = std::fs::read_to_string(journal_of(file)).unwrap_or_default();
    let journal: toml::Table = text.parse().unwrap();
    let lines = journal.get("acknowledged").map(|table| &table["up_to"]["lines"]);
    lines.map_or(0, |lines| lines.as_integer().unwrap())
}

async fn until_some_is_acknowledged(file: &Path) {
    wait_until("the journal to have lines", async || {
        match lines_in_journal(file) {
            0 => Err("no lines".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    assert!(
        lines_in_journal(file) < NAMES_MANY * MINUTES,
        "the import was too fast to be interrupted"
    );
}

/// As a day later: the ledger of the region remembers nothing.
async fn let_the_ledger_forget(rig: &Rig) {
    let region = &rig.description().regions["eu"].mariadb;
    let mut conn = centre::connect(region).await;
    conn.query_drop("SET sql_log_bin = 0; DELETE FROM eventtracker.CountedBatch")
        .await
        .unwrap();
}

/// As often as one likes: each comparison leaves a mark that the next one finds.
async fn expect_exactly(ledger: &mut Ledger, rig: &Rig) {
    ledger.expect_at_centre(rig).await;
    ledger.acknowledged("test.mark.eu", 1_700_000_040, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_at_the_centre() {
    let rig = Rig::start(one_region()).await;
    let imports = Imports::new(&rig);
    let (csv, ndjson) = (History::of("from.csv", NAMES), History::of("from.ndjson", NAMES));
    let csv_file = imports.file("history.csv", &csv.csv());
    let ndjson_file = imports.file("history.ndjson", &ndjson.ndjson());
    let mut ledger = Ledger::default();
    csv.enter(&mut ledger);
    ndjson.enter(&mut ledger);
    expect_success(
        &imports.import("csv", &csv_file, &[]).await,
        "lines read               86,401",
    );
    expect_success(
        &imports.import("ndjson", &ndjson_file, &[]).await,
        "lines read               86,400",
    );
    expect_exactly(&mut ledger, &rig).await;

    // What was exported comes in again under other names, its unknown and empty minutes included.
    let query = format!("/v1/series?name=from.csv.*&from={FIRST_MINUTE}&until=2025-01-04&step=1m&format=csv");
    let url = rig.description().api + &query;
    let exported = rig.http.get(url).send().await.unwrap().text().await.unwrap();
    assert!(
        exported.starts_with("name,time,count\nfrom.csv.0,2025-01-01T00:00:00Z,"),
        "{exported}"
    );
    let file = imports.file("exported.csv", &exported.replace("from.csv.", "again.csv."));
    expect_success(
        &imports.import("csv", &file, &[]).await,
        "lines refused                 0",
    );
    History::of("again.csv", NAMES).enter(&mut ledger);

    // What is done is not sent again, however long ago, unless a key says that it is meant.
    wait_until_empty(&rig, "eu").await;
    let_the_ledger_forget(&rig).await;
    expect_success(
        &imports.import("csv", &csv_file, &[]).await,
        "was imported already",
    );
    expect_success(
        &imports.import("csv", &csv_file, &["--key", "once/more"]).await,
        "lines read               86,401",
    );
    csv.enter(&mut ledger);
    expect_exactly(&mut ledger, &rig).await;
    rig.stop().await;
}

/// An export keeps a spreadsheet from taking a name for a formula; what it puts before the name is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_begin_like_formulas_come_back_as_they_are() {
    let rig = Rig::start(one_region()).await;
    let imports = Imports::new(&rig);
    let names = ["=1+1", "+b", "-c", "@d", "e"];
    let rows = (1..)
        .zip(names)
        .map(|(count, name)| (name.to_owned(), FIRST_MINUTE, count));
    let history = History { rows: rows.collect() };
    let mut ledger = Ledger::default();
    let file = imports.file("history.csv", &history.csv());
    expect_success(
        &imports.import("csv", &file, &[]).await,
        "lines refused                 0",
    );
    history.enter(&mut ledger);
    expect_exactly(&mut ledger, &rig).await;

    let api = &rig.description().api;
    let from = FIRST_MINUTE.to_string();
    let until = (FIRST_MINUTE + 60).to_string();
    let period = ["--from", &from, "--until", &until, "--api", api];
    let exported = stdout(&eventtracker(&[&["series", "*", "--csv"][..], &period].concat()).await);
    let mut lines: Vec<&str> = exported.lines().collect();
    lines.sort_unstable();
    let at = "2025-01-01T00:00:00Z";
    let expected = [
        format!("'+b,{at},2"),
        format!("'-c,{at},3"),
        format!("'=1+1,{at},1"),
        format!("'@d,{at},4"),
        format!("e,{at},5"),
        "name,time,count".to_owned(),
    ];
    assert_eq!(lines, expected);
    let file = imports.file("exported.csv", &exported);
    expect_success(
        &imports.import("csv", &file, &[]).await,
        "lines refused                 0",
    );
    history.enter(&mut ledger);
    expect_exactly(&mut ledger, &rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_lines_are_named_and_the_rest_is_counted() {
    let rig = Rig::start(one_region()).await;
    let imports = Imports::new(&rig);
    let file = imports.file(
        "history.csv",
        "count,time,name\n\
         7,2025-01-01 00:00,bad.a\n\
         -1,2025-01-01 00:01,bad.a\n\
         0.5,2025-01-01 00:02,bad.a\n\
         1,1999-12-31 23:59,bad.a\n\
         1,2037-01-01 00:00,bad.a\n\
         1,2025-01-01 00:05,bad name\n\
         1000000000001,2025-01-01 00:06,bad.a\n\
         2500000000,2025-01-01T00:07:59Z,\"bad.a\"\n\
         ,2025-01-01 00:08,bad.a\n",
    );
    let output = imports.import("csv", &file, &[]).await;
    for words in [
        "line 3 refused: count is not an integer from 0 to 1000000000000, the most of one row: '-1'",
        "line 4 refused: count is not an integer",
        "line 5 refused: time is before 2000-01-01T00:00:00Z",
        "line 6 rejected by the collector: timestamp is more than an hour ahead",
        "line 7 refused: name has a character that is not allowed: ' '",
        "line 8 refused: count is not an integer from 0 to 1000000000000",
        "lines read                   10\nlines refused                 5\n",
    ] {
        expect_failure(&output, words);
    }
    let mut ledger = Ledger::default();
    ledger.acknowledged("bad.a", FIRST_MINUTE, 7);
    ledger.acknowledged("bad.a", FIRST_MINUTE + 7 * 60, 2_500_000_000);
    expect_exactly(&mut ledger, &rig).await;

    let file = imports.file("header.csv", "name,minute,count,region\nbad.b,1735689600,1,eu\n");
    expect_failure(
        &imports.import("csv", &file, &[]).await,
        "the first line looks like a header",
    );
    let missing = imports.dir.path().join("no/where");
    let missing = missing.to_str().unwrap();
    let file = imports.file("fine.csv", "bad.b,1735689600,1\n");
    expect_failure(
        &imports.import("csv", &file, &["--journal", missing]).await,
        "--no-journal",
    );
    expect_failure(
        &imports
            .import("csv", Path::new("-"), &["--journal", missing])
            .await,
        "cannot be resumed",
    );
    expect_exactly(&mut ledger, &rig).await;
    rig.stop().await;
}

/// A collector that answers each request after a second, so that an import can be interrupted on its way.
fn slow_collector() -> Options {
    Options {
        region_overrides: settings("[collector]\nlinger_ms = 1000"),
        ..one_region()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_goes_on_where_it_stopped() {
    let rig = Rig::start(slow_collector()).await;
    let imports = Imports::new(&rig);
    let disk =
        Disk::mount(imports.dir.path(), Names::WithDirectory).unwrap_or_else(|error| panic!("{error}"));
    let mut ledger = Ledger::default();

    // What was in flight when the power went is recognised by the region's ledger.
    let killed = History::of("killed", NAMES_MANY);
    let file = imports.file("killed.csv", &killed.csv());
    disk.sync();
    let mut importer = imports.start(&imports.collector, &file);
    until_some_is_acknowledged(&file).await;
    importer.kill().await.unwrap();
    println!("{:?}", disk.cut(|sectors| sectors / 2).unwrap());
    killed.enter(&mut ledger);
    expect_success(&imports.import("csv", &file, &[]).await, "earlier runs");
    expect_exactly(&mut ledger, &rig).await;

    // An end in order leaves nothing in flight, so that it may go on after the ledger has forgotten.
    let stopped = History::of("stopped", NAMES_MANY);
    let file = imports.file("stopped.csv", &stopped.csv());
    disk.sync();
    let importer = imports.start(&imports.collector, &file);
    until_some_is_acknowledged(&file).await;
    signal("INT", importer.id().unwrap()).await;
    let output = tokio::time::timeout(LIMIT, importer.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    expect_failure(&output, "stopped early: interrupted");
    println!("{:?}", disk.cut(|sectors| sectors / 2).unwrap());
    wait_until_empty(&rig, "eu").await;
    let_the_ledger_forget(&rig).await;
    let lines_before = lines_in_journal(&file);
    assert!(
        (1..NAMES_MANY * MINUTES).contains(&lines_before),
        "{lines_before}"
    );

    let text = stopped.csv();
    let changed = text.replacen("stopped.0,1735695000,", "stopped.0,1735695001,", 1);
    assert!(changed.len() == text.len() && changed != text);
    imports.file("stopped.csv", &changed);
    expect_failure(
        &imports.import("csv", &file, &[]).await,
        "the file is not the one whose first",
    );
    imports.file("stopped.csv", &(text.clone() + "stopped.0,1735689600,1\n"));
    expect_failure(
        &imports.import("csv", &file, &[]).await,
        "import what is new as a file of its own",
    );
    imports.file("stopped.csv", &text);
    disk.sync();
    expect_failure(
        &imports.import("ndjson", &file, &[]).await,
        "whose format is 'csv', not 'ndjson'",
    );
    let elsewhere = Imports {
        dir: tempfile::tempdir().unwrap(),
        collector: "http://127.0.0.1:1".to_owned(),
    };
    expect_failure(&elsewhere.import("csv", &file, &[]).await, "go on with that one");
    assert_eq!(lines_in_journal(&file), lines_before, "a refusal changes nothing");

    expect_success(&imports.import("csv", &file, &[]).await, "earlier runs");
    stopped.enter(&mut ledger);
    expect_exactly(&mut ledger, &rig).await;
    // Nothing is left to be sent, although nobody remembers it but the journal.
    let_the_ledger_forget(&rig).await;
    println!("{:?}", disk.cut(|sectors| sectors / 2).unwrap());
    expect_success(&imports.import("csv", &file, &[]).await, "Nothing was sent");
    expect_exactly(&mut ledger, &rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_is_waited_for_and_given_up() {
    let rig = Rig::start(one_region()).await;
    let imports = Imports::new(&rig);
    let file = imports.file("history.csv", "gone.a,1735689600,3\n");
    // Bound, so that no other server takes it, and not listening, so that whoever connects is refused.
    let bound = tokio::net::TcpSocket::new_v4().unwrap();
    bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nowhere = format!("http://{}", bound.local_addr().unwrap());
    let mut importer = imports.start(&nowhere, &file);
    let mut told = BufReader::new(importer.stderr.take().unwrap()).lines();
    let mut so_far = String::new();
    let mut until_told = async |words: &str| {
        while let Some(line) = told.next_line().await.unwrap() {
            writeln!(so_far, "{line}").unwrap();
            if line.contains(words) {
                return;
            }
        }
        panic!("the import ended without '{words}': {so_far}");
    };
    tokio::time::timeout(LIMIT, until_told("cannot reach the collector at"))
        .await
        .unwrap();
    let pid = importer.id().unwrap();
    signal("INT", pid).await;
    tokio::time::timeout(LIMIT, until_told("a second Ctrl-C ends at once"))
        .await
        .unwrap();
    signal("INT", pid).await;
    let status = tokio::time::timeout(LIMIT, importer.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(130));

    // Nothing was acknowledged there, so it may begin elsewhere.
    expect_success(
        &imports.import("csv", &file, &[]).await,
        "events accepted               1",
    );
    let mut ledger = Ledger::default();
    ledger.acknowledged("gone.a", 1_735_689_600, 3);
    expect_exactly(&mut ledger, &rig).await;
    rig.stop().await;
}
