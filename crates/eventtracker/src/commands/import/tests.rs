//! Whole imports, against a collector that only takes notes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    import: Import,
}

/// Bodies by key.
type Requests = BTreeMap<String, String>;

/// Refuses the request that has `poison` in it, once and for all of the command.
struct Collector {
    url: String,
    poison: Arc<Mutex<Option<&'static str>>>,
    requests: Arc<Mutex<Requests>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            poison: Arc::default(),
            requests: Arc::default(),
        };
        let (poison, requests) = (Arc::clone(&collector.poison), Arc::clone(&collector.requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&poison), Arc::clone(&requests)));
            }
        });
        collector
    }

    /// Whether all went well, and what was acknowledged.
    async fn import(&self, format: &str, file: &Path, more: &[&str]) -> (bool, Requests) {
        let arguments = [
            "import",
            "--collector",
            &self.url,
            "--format",
            format,
            file.to_str().unwrap(),
        ];
        let cli = Cli::parse_from([&arguments[..], more].concat());
        let code = cli.import.run().await.unwrap();
        let requests = std::mem::take(&mut *self.requests.lock().unwrap());
        (code == ExitCode::SUCCESS, requests)
    }

    fn refuse(&self, poison: Option<&'static str>) {
        *self.poison.lock().unwrap() = poison;
    }
}

async fn serve(
    mut stream: TcpStream,
    poison: Arc<Mutex<Option<&'static str>>>,
    requests: Arc<Mutex<Requests>>,
) {
    let mut received = String::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        received += std::str::from_utf8(&buffer[..read]).unwrap();
        let Some((head, body)) = received.split_once("\r\n\r\n") else {
            continue;
        };
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let value = lines.find(|(header, _)| header.eq_ignore_ascii_case(name));
            value.map(|(_, value)| value.to_owned()).unwrap()
        };
        if body.len() < header("content-length").parse::<usize>().unwrap() {
            continue;
        }
        let refused = poison.lock().unwrap().is_some_and(|poison| body.contains(poison));
        let (status, answer) = if refused {
            ("401 Unauthorized", r#"{"error":"no"}"#.to_owned())
        } else {
            let accepted = body.lines().count();
            requests
                .lock()
                .unwrap()
                .insert(header("idempotency-key"), body.to_owned());
            ("202 Accepted", format!("{{\"accepted\":{accepted}}}"))
        };
        let length = answer.len();
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{answer}");
        stream.write_all(response.as_bytes()).await.unwrap();
        received.clear();
    }
}

fn csv() -> String {
    let row = |n: u64| match n {
        // Refused by this program, and nothing to count: both belong to a chunk.
        7 => "a,1735689600,-1\n".to_owned(),
        8 => "a,1735689600,0\n".to_owned(),
        _ => format!("a,{},{}\n", 1_735_689_600 + 60 * n, 1_000_000 + n),
    };
    (0..95_000).fold("name,minute,count\n".to_owned(), |text, n| text + &row(n))
}

fn log() -> String {
    let line = |n: u64| {
        format!(
            "h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 {}\n",
            1_000_000 + n
        )
    };
    (0..22_000).map(line).collect()
}

#[tokio::test]
async fn a_run_that_goes_on_has_the_requests_of_one_without_a_break() {
    let collector = Collector::start().await;
    let dir = tempfile::tempdir().unwrap();
    for (format, text, poison) in [("csv", csv(), "1045000"), ("combined", log(), "1012000")] {
        let file = dir.path().join(format);
        std::fs::write(&file, text).unwrap();
        let (_, whole) = collector.import(format, &file, &["--no-journal"]).await;
        let journal = dir.path().join("journal");
        let journal = ["--journal", journal.to_str().unwrap()];

        collector.refuse(Some(poison));
        let (is_clean, before) = collector.import(format, &file, &journal).await;
        assert!(
            !is_clean && !before.is_empty() && before.len() < whole.len(),
            "{}",
            before.len()
        );
        collector.refuse(None);
        let (_, after) = collector.import(format, &file, &journal).await;

        // Later requests may have been acknowledged before the import stopped, and are sent again under their keys.
        let (_, refused) = whole.iter().find(|(_, body)| body.contains(poison)).unwrap();
        let is_later = |body: &str| body[poison_at(body)..] >= refused[poison_at(refused)..];
        let rest: Requests = whole
            .iter()
            .filter(|(_, body)| is_later(body))
            .map(owned)
            .collect();
        assert!(rest.len() > 1 && rest.len() < whole.len());
        assert_eq!(after.keys().collect::<Vec<_>>(), rest.keys().collect::<Vec<_>>());
        assert!(after == rest, "a key has another body");
        let all: Requests = before.iter().chain(&after).map(owned).collect();
        assert!(all == whole, "the two runs together are not the whole");

        let (is_clean, nothing) = collector.import(format, &file, &journal).await;
        assert!(
            is_clean && nothing.is_empty(),
            "what is finished is not sent again"
        );
        std::fs::remove_file(journal[1]).unwrap();
    }
}

/// The place of a body's first large count, which grows from chunk to chunk.
fn poison_at(body: &str) -> usize {
    body.find(":10").unwrap()
}

fn owned((key, body): (&String, &String)) -> (String, String) {
    (key.clone(), body.clone())
}

#[tokio::test]
async fn other_columns_and_other_formats_are_other_requests() {
    let collector = Collector::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut keys = Vec::new();
    for (format, text) in [
        ("csv", "count,name,time\n7,shop.item.sold,1763787600\n"),
        (
            "ndjson",
            "{\"name\":\"shop.item.sold\",\"minute\":1763787600,\"count\":7}\n",
        ),
    ] {
        let file = dir.path().join(format);
        std::fs::write(&file, text).unwrap();
        let (is_clean, requests) = collector.import(format, &file, &[]).await;
        assert!(is_clean);
        let body = "{\"name\":\"shop.item.sold\",\"count\":7,\"timestamp\":1763787600}\n";
        assert!(requests.values().eq([body]), "{requests:?}");
        keys.extend(requests.into_keys());
    }
    // Computed with the xxhash package for Python.
    assert_eq!(
        keys,
        [
            "import-ba33580cda60bf8f24302504144dc9c4",
            "import-9d0ebec009b6ae2d35e48bc1a805297f"
        ]
    );
}

#[tokio::test]
async fn a_second_run_at_the_same_time_is_refused() {
    let collector = Collector::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.csv");
    std::fs::write(&file, "a,1735689600,1\n").unwrap();
    let running = File::open(&file).unwrap();
    running.lock().unwrap();
    let cli = Cli::parse_from([
        "import",
        "--format",
        "csv",
        "--collector",
        &collector.url,
        file.to_str().unwrap(),
    ]);
    let error = cli.import.run().await.unwrap_err().to_string();
    assert!(error.starts_with("another import of"), "{error}");
    drop(running);
    assert!(collector.import("csv", &file, &[]).await.0);
}

#[tokio::test]
async fn what_was_finished_is_believed_only_of_the_same_content() {
    let collector = Collector::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("beats.csv");
    std::fs::write(&file, "").unwrap();
    assert_eq!(collector.import("csv", &file, &[]).await, (true, Requests::new()));
    let first = "beat,1735689600,1\n".repeat(20_000);
    std::fs::write(&file, &first).unwrap();
    let (fine, requests) = collector.import("csv", &file, &[]).await;
    assert!(fine && !requests.is_empty(), "an empty file was not this one");
    assert_eq!(collector.import("csv", &file, &[]).await, (true, Requests::new()));

    // As large, and another one.
    std::fs::write(&file, first.replace("1735689600", "1735776000")).unwrap();
    let arguments = [
        "import",
        "--collector",
        &collector.url,
        "--format",
        "csv",
        file.to_str().unwrap(),
    ];
    let refusal = Cli::parse_from(arguments).import.run().await.unwrap_err();
    assert!(
        format!("{refusal:#}").contains("is not the one whose first 20000 lines"),
        "{refusal:#}"
    );
    assert!(collector.requests.lock().unwrap().is_empty());
}

fn access(line: &str) -> String {
    format!("h - - [17/May/2015:10:05:03 +0000] \"GET /{line} HTTP/1.1\" 200 1000\n")
}

fn counted(requests: &Requests) -> usize {
    let events = requests.values().flat_map(|body| body.lines());
    events.filter(|event| event.contains("web.requests")).count()
}

/// The same command again and again, as cron runs it every hour.
#[tokio::test]
async fn a_log_that_has_grown_counts_only_what_is_new() {
    let collector = Collector::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.log");
    let import = async |text: &str| {
        std::fs::write(&file, text).unwrap();
        let (is_clean, requests) = collector.import("combined", &file, &[]).await;
        (is_clean, counted(&requests))
    };
    let mut log: String = (0..5).map(|n| access(&n.to_string())).collect();
    assert_eq!(import(&log).await, (true, 5));
    log += &(5..8).map(|n| access(&n.to_string())).collect::<String>();
    assert_eq!(import(&log).await, (true, 3));
    assert_eq!(import(&log).await, (true, 0), "it has not grown");

    // A line that is being written is left until it is there.
    assert_eq!(
        import(&(log.clone() + "h - - [17/May/2015:10:05:03 +0000] \"GE")).await,
        (false, 0)
    );
    log += &access("8");
    assert_eq!(import(&log).await, (true, 1));
    // What could be read of one counts once.
    let last = access("9");
    assert_eq!(import(&(log.clone() + &last[..last.len() - 3])).await, (true, 1));
    log += &last;
    assert_eq!(
        import(&log).await,
        (false, 0),
        "its rest is passed over, and that is said"
    );
    log += &access("10");
    assert_eq!(import(&log).await, (false, 1));
    assert!(import(&log).await.1 == 0);

    // Through another collector it is another import.
    let other = Collector::start().await;
    assert_eq!(counted(&other.import("combined", &file, &[]).await.1), 11);

    // One that begins otherwise was rotated; one that begins the same was changed.
    assert_eq!(import(&access("new")).await, (true, 1));
    assert_eq!(import(&(access("new") + &access("newer"))).await, (true, 1));
    // The last lines of the one before, under its new name.
    let rotated = dir.path().join("access.log.1");
    log += &access("last");
    std::fs::write(&rotated, &log).unwrap();
    let address = collector.url.strip_prefix("http://").unwrap().replace(':', "_");
    let journal = dir
        .path()
        .join(format!("access.log.{address}.eventtracker-import"));
    let journal = ["--journal", journal.to_str().unwrap()];
    for expected in [1, 0] {
        assert_eq!(
            counted(&collector.import("combined", &rotated, &journal).await.1),
            expected
        );
    }
    std::fs::write(&file, access("new") + &access("other") + &access("newest")).unwrap();
    let arguments = ["import", "--collector", &collector.url, file.to_str().unwrap()];
    let refusal = Cli::parse_from(arguments).import.run().await.unwrap_err();
    assert!(
        format!("{refusal:#}").contains("is not the one whose first 2 lines"),
        "{refusal:#}"
    );
}

/// Requests that were in flight when an import was killed go out again under the same keys, although the log has grown meanwhile.
#[tokio::test]
async fn a_log_that_grew_after_a_crash_has_the_same_requests() {
    let collector = Collector::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.log");
    let before = log();
    std::fs::write(&file, &before).unwrap();
    let (_, whole) = collector.import("combined", &file, &["--no-journal"]).await;
    collector.refuse(Some("1021999"));
    let (is_clean, first) = collector.import("combined", &file, &[]).await;
    assert!(
        !is_clean && first.len() == whole.len() - 1,
        "the last request failed"
    );
    collector.refuse(None);
    std::fs::write(&file, before + &access("new")).unwrap();
    let (is_clean, rest) = collector.import("combined", &file, &[]).await;
    assert!(is_clean);
    let repeated: Requests = rest
        .iter()
        .filter(|(key, _)| whole.contains_key(*key))
        .map(owned)
        .collect();
    assert!(repeated.iter().all(|(key, body)| whole[key] == *body));
    let all: Requests = first.iter().chain(&repeated).map(owned).collect();
    assert!(all == whole, "nothing is missing, and nothing has another key");
    let new: Requests = rest
        .iter()
        .filter(|(key, _)| !whole.contains_key(*key))
        .map(owned)
        .collect();
    assert_eq!(counted(&new), 1);
}

#[tokio::test]
async fn refused_lines_can_be_put_right_and_imported() {
    let collector = Collector::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.csv");
    let rows: String = (0..4_000).map(|n| format!("{n},a,2025-01-01 5:00\n")).collect();
    std::fs::write(
        &file,
        format!("\u{feff}count,name,time\r\n{rows}7,b,2025-01-01 05:00\n,,\n"),
    )
    .unwrap();
    let refused = dir.path().join("refused.csv");
    let more = ["--refused", refused.to_str().unwrap()];
    let (is_clean, requests) = collector.import("csv", &file, &more).await;
    assert!(!is_clean && requests.len() == 1, "{requests:?}");
    let reasons = std::fs::read_to_string(dir.path().join("refused.csv.reasons")).unwrap();
    assert_eq!(reasons.lines().count(), 4_000);
    assert!(
        reasons.starts_with("line 2: minute is not unix seconds"),
        "{reasons:.200}"
    );
    let right = std::fs::read_to_string(&refused)
        .unwrap()
        .replace(" 5:00", " 05:00");
    std::fs::write(&file, right).unwrap();
    let (is_clean, requests) = collector.import("csv", &file, &["--no-journal"]).await;
    assert!(is_clean);
    assert_eq!(
        requests.values().map(|body| body.lines().count()).sum::<usize>(),
        3_999
    );
}

#[tokio::test]
async fn what_spreadsheets_of_other_languages_write_is_refused_in_a_sentence() {
    let collector = Collector::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.csv");
    for (text, sentence) in [
        (
            &b"\xef\xbb\xbfsep=;\r\nname;minute;count\r\n"[..],
            "the columns are separated by ';'",
        ),
        (b"a;22.11.2025 05:00;12\r\n", "the columns are separated by ';'"),
        (b"\xff\xfea\0,\0", "the file is UTF-16"),
        (
            b"\x1f\x8b\x08\0\0",
            "the file is compressed: unpack it into a pipe",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let arguments = [
            "import",
            "--format",
            "csv",
            "--collector",
            &collector.url,
            file.to_str().unwrap(),
        ];
        let refusal = Cli::parse_from(arguments).import.run().await.unwrap_err();
        assert!(format!("{refusal:#}").contains(sentence), "{refusal:#}");
    }
    std::fs::write(
        &file,
        "\u{feff}sep=,\r\nname,minute,count\r\na,2025-01-01 05:00,7\r\n",
    )
    .unwrap();
    let (is_clean, requests) = collector.import("csv", &file, &[]).await;
    assert!(is_clean && requests.len() == 1, "{requests:?}");
}
