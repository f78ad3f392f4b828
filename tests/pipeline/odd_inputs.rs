//! What other systems' users have reported as lost, doubled or silently wrong, sent as they send it: each counts as it should, or is refused in
//! words that reach the sender.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::ledger::Ledger;
use crate::rig::{LIMIT, Rig, eventtracker, one_region, wait_until};

const ODD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/odd");

/// 2025-11-22T05:00:00Z.
const MINUTE_S: i64 = 1_763_787_600;

struct Senders<'a> {
    rig: &'a Rig,
    dir: tempfile::TempDir,
    collector: String,
    ledger: Ledger,
}

/// A status and a body, as curl prints them.
type Curled = (String, Value);

impl Senders<'_> {
    async fn run(mut command: Command, input: &[u8]) -> Output {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let write = async {
            // A program may end before it has read everything.
            stdin.write_all(input).await.ok();
            drop(stdin);
        };
        let ended = async { tokio::join!(write, child.wait_with_output()).1 };
        tokio::time::timeout(LIMIT, ended).await.unwrap().unwrap()
    }

    async fn curl(&self, arguments: &[&str], body: &[u8]) -> Curled {
        let mut command = Command::new("curl");
        command
            .args([
                "--silent",
                "--show-error",
                "--write-out",
                "\n%{http_code}",
                "--data-binary",
                "@-",
            ])
            .args(arguments)
            .arg(format!("{}/v1/events", self.collector));
        let output = Self::run(command, body).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap();
        let body = serde_json::from_str(body).unwrap_or_else(|_| panic!("{arguments:?}: {output:?}"));
        (status.to_owned(), body)
    }

    async fn json(&self, body: impl AsRef<[u8]>) -> Curled {
        self.curl(&["-H", "Content-Type: application/json"], body.as_ref())
            .await
    }

    async fn lines(&self, more: &[&str], body: impl AsRef<[u8]>) -> Curled {
        let arguments = [&["-H", "Content-Type: application/x-ndjson"], more].concat();
        self.curl(&arguments, body.as_ref()).await
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Exit code and what is printed.
    async fn import(&self, format: &str, file: &Path, more: &[&str]) -> (Option<i32>, String) {
        let file = file.to_str().unwrap();
        let arguments = ["import", "--format", format, "--collector", &self.collector, file];
        let output = eventtracker(&[&arguments[..], more].concat()).await;
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.code(), text.concat())
    }

    fn counts(&mut self, name: &str, minute: i64, count: u64) {
        self.ledger.acknowledged(name, minute, count);
    }
}

fn expect(answer: &Curled, status: &str, error: &str) {
    assert!(
        answer.0 == status && answer.1["error"].as_str().unwrap().contains(error),
        "{error}: {answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_counts_as_it_should_or_says_why_not() {
    let rig = Rig::start(one_region()).await;
    let mut senders = Senders {
        rig: &rig,
        dir: tempfile::tempdir().unwrap(),
        collector: rig.collectors("eu")[0].clone(),
        ledger: Ledger::default(),
    };
    byte_order_marks(&mut senders).await;
    numbers_and_types(&mut senders).await;
    leap_seconds(&mut senders).await;
    spreadsheets(&mut senders).await;
    odd_logs(&mut senders).await;
    a_log_that_cron_imports(&mut senders).await;
    three_equal_requests(&mut senders).await;
    senders.ledger.expect_at_centre(&rig).await;
    padded_gzip(&senders).await;
    refusals_reach_who_is_still_sending(&senders).await;
    hours_of_new_york(&senders).await;
    marks_with_commas(&senders).await;
    let names = rig.get("/metrics/index.json").await.json;
    let names: Vec<&str> = names
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert!(
        names.is_sorted() && names.contains(&"bom.json") && names.contains(&"web.requests"),
        "{names:?}"
    );
    rig.stop().await;
}

async fn byte_order_marks(senders: &mut Senders<'_>) {
    let event = |name: &str| format!("{{\"name\":\"{name}\",\"timestamp\":{MINUTE_S}}}");
    let (status, _) = senders.json(format!("\u{feff}[{}]", event("bom.json"))).await;
    assert_eq!(status, "202");
    let body = format!(
        "\u{feff}{}\r\n\u{feff}{}\r\n",
        event("bom.lines"),
        event("bom.lines")
    );
    let (status, answer) = senders.lines(&[], body).await;
    assert_eq!(
        (status.as_str(), &answer["accepted"]),
        ("202", &json!(2)),
        "{answer}"
    );
    senders.counts("bom.json", MINUTE_S, 1);
    senders.counts("bom.lines", MINUTE_S, 2);
    expect(
        &senders
            .json(
                "\u{feff}"
                    .encode_utf16()
                    .flat_map(u16::to_le_bytes)
                    .collect::<Vec<_>>(),
            )
            .await,
        "400",
        "UTF-16",
    );

    let odd = std::fs::read_to_string(format!("{ODD}/ndjson-odd.ndjson")).unwrap();
    let (status, answer) = senders
        .lines(&[], odd.replace("@T@", &MINUTE_S.to_string()))
        .await;
    assert_eq!(
        (status.as_str(), &answer["accepted"], &answer["rejected_total"]),
        ("202", &json!(3), &json!(5)),
        "{answer}"
    );
    for (name, count) in [("br.nd.a", 1), ("br.nd.b", 2), ("br.nd.h", 8)] {
        senders.counts(name, MINUTE_S, count);
    }
    let row = format!("\u{feff}{{\"name\":\"bom.import\",\"minute\":{MINUTE_S},\"count\":4}}\n");
    let file = senders.file("bom.ndjson", row.repeat(2));
    let (code, shown) = senders.import("ndjson", &file, &[]).await;
    assert_eq!(code, Some(0), "{shown}");
    senders.counts("bom.import", MINUTE_S, 8);
}

async fn numbers_and_types(senders: &mut Senders<'_>) {
    expect(
        &senders.json(r#"{"name":"x","count":3.0000000000000001}"#).await,
        "400",
        "all events were rejected",
    );
    let late = format!(
        r#"{{"name":"edge","timestamp":{}.9999999999999999}}"#,
        MINUTE_S + 59
    );
    assert_eq!(senders.json(late).await.0, "202");
    senders.counts("edge", MINUTE_S, 1);
    // As curl -d says by itself, and two formats taken for each other.
    expect(
        &senders.curl(&[], br#"{"name":"x"}"#).await,
        "415",
        "send application/json for an event",
    );
    let two = "{\"name\":\"x\"}\n{\"name\":\"y\"}\n";
    expect(
        &senders.json(two).await,
        "400",
        "Content-Type: application/x-ndjson",
    );
    expect(
        &senders.lines(&[], "[\n{\"name\":\"x\"}\n]").await,
        "400",
        "Content-Type: application/json",
    );
}

/// Zeros behind the end are gzip's own padding. Of now, in whichever minute that is.
async fn padded_gzip(senders: &Senders<'_>) {
    let padded = std::fs::read(format!("{ODD}/gz-zero-padded.ndjson.gz")).unwrap();
    let (status, answer) = senders.lines(&["-H", "Content-Encoding: gzip"], padded).await;
    assert_eq!(
        (status.as_str(), &answer["accepted"]),
        ("202", &json!(2)),
        "{answer}"
    );
    wait_until("both names", async || {
        let answer = senders
            .rig
            .get("/v1/series?name=br.gz.*&from=-1h&step=1h")
            .await
            .json;
        let series = answer["series"].as_array().unwrap();
        let totals: Vec<_> = series.iter().map(|one| (&one["name"], &one["total"])).collect();
        let expected = [(&json!("br.gz.one"), &json!(1)), (&json!("br.gz.two"), &json!(2))];
        if totals == expected {
            Ok(())
        } else {
            Err(answer.to_string())
        }
    })
    .await;
}

async fn leap_seconds(senders: &mut Senders<'_>) {
    const LEAP_MINUTE_S: i64 = 1_483_228_740;
    let leap = "2016-12-31T23:59:60Z";
    assert_eq!(
        senders
            .json(format!(r#"{{"name":"leap","timestamp":"{leap}"}}"#))
            .await
            .0,
        "202"
    );
    let csv = senders.file("leap.csv", format!("leap,{leap},2\nleap,2016-12-31 23:59:60,4\nleap,2017-01-01T08:59:60+09:00,8\nleap,2016-12-31 11:59:60,1\n"));
    let (code, shown) = senders.import("csv", &csv, &[]).await;
    assert!(code == Some(1) && shown.contains("line 4 refused"), "{shown}");
    let log = senders.file(
        "leap.log",
        "h - - [31/Dec/2016:23:59:60 +0000] \"GET / HTTP/1.1\" 404 7\n",
    );
    assert_eq!(senders.import("combined", &log, &[]).await.0, Some(0));
    senders.counts("leap", LEAP_MINUTE_S, 1 + 2 + 4 + 8);
    for (name, count) in [
        ("web.requests", 1),
        ("web.status.404", 1),
        ("web.method.GET", 1),
        ("web.bytes", 7),
    ] {
        senders.counts(name, LEAP_MINUTE_S, count);
    }
    expect(
        &senders
            .json(r#"{"name":"leap","timestamp":"2016-12-31T11:31:60Z"}"#)
            .await,
        "400",
        "all events were rejected",
    );
}

async fn spreadsheets(senders: &mut Senders<'_>) {
    let english = format!("{ODD}/excel-english.csv");
    let (code, shown) = senders
        .import("csv", Path::new(&english), &["--no-journal"])
        .await;
    let refused = |line: u32| shown.contains(&format!("line {line} refused"));
    assert!(
        code == Some(1)
            && (3..=7).all(refused)
            && !refused(8)
            && shown.contains("lines refused                 5"),
        "{shown}"
    );
    senders.counts("br.excel.e", MINUTE_S, 12);
    senders.counts("br.excel.k", MINUTE_S, 4);
    let german = format!("{ODD}/excel-german.csv");
    let (code, shown) = senders.import("csv", Path::new(&german), &["--no-journal"]).await;
    assert!(
        code == Some(1) && shown.contains("the columns are separated by ';'") && shown.lines().count() < 6,
        "{shown}"
    );
}

/// By what stands beside the log: `number verdict minute status bytes method`.
async fn odd_logs(senders: &mut Senders<'_>) {
    let log = senders.dir.path().join("access-odd.log");
    std::fs::copy(format!("{ODD}/access-odd.log"), &log).unwrap();
    let (code, shown) = senders.import("combined", &log, &[]).await;
    assert_eq!(code, Some(1), "{shown}");
    for verdict in std::fs::read_to_string(format!("{ODD}/access-odd.expected"))
        .unwrap()
        .lines()
    {
        let words: Vec<&str> = verdict.split(' ').collect();
        match words[..] {
            ["#", ..] => {}
            [line, "refused"] => assert!(shown.contains(&format!("line {line} refused")), "{shown}"),
            [_, _, minute, status, bytes, method] => {
                let minute = minute.replace('Z', ":00Z");
                let minute = model::Timestamp::from_rfc3339(&minute).unwrap().unix_ms() / 1000;
                for name in [
                    "web.requests".to_owned(),
                    format!("web.status.{status}"),
                    format!("web.method.{method}"),
                ] {
                    senders.counts(&name, minute, 1);
                }
                let bytes: u64 = bytes.parse().unwrap();
                if bytes > 0 {
                    senders.counts("web.bytes", minute, bytes);
                }
            }
            _ => panic!("{verdict}"),
        }
    }
    assert!(shown.contains("lines refused                 2"), "{shown}");
}

async fn a_log_that_cron_imports(senders: &mut Senders<'_>) {
    let line = |n: i64| {
        senders.counts("web.requests", MINUTE_S, 1);
        senders.counts("web.status.200", MINUTE_S, 1);
        senders.counts("web.method.GET", MINUTE_S, 1);
        format!("h - - [22/Nov/2025:05:00:{n:02} +0000] \"GET /{n} HTTP/1.1\" 200 -\n")
    };
    let lines: Vec<String> = (0..8).map(line).collect();
    for (length, events) in [(5, 15), (8, 24), (8, 24)] {
        let file = senders.file("g.log", lines[..length].concat());
        let (code, shown) = senders.import("combined", &file, &[]).await;
        assert!(code == Some(0) && shown.contains(&events.to_string()), "{shown}");
    }
}

/// Equal is not a repetition.
async fn three_equal_requests(senders: &mut Senders<'_>) {
    for _ in 0..3 {
        assert_eq!(
            senders
                .json(format!(r#"{{"name":"equal","timestamp":{MINUTE_S}}}"#))
                .await
                .0,
            "202"
        );
    }
    senders.counts("equal", MINUTE_S, 3);
}

/// Sends everything before it reads, as simple clients do.
const SENDS_FIRST: &str = "
import http.client, sys
host, path, length = sys.argv[1], sys.argv[2], int(sys.argv[3])
connection = http.client.HTTPConnection(host)
body = (b' ' * 65536 for _ in range(length // 65536))
connection.request('POST', path, body, {'Content-Type': 'application/json'}, encode_chunked=True)
answer = connection.getresponse()
print(answer.status, answer.read().decode())
";

async fn refusals_reach_who_is_still_sending(senders: &Senders<'_>) {
    let chunked = [
        "-H",
        "Content-Type: application/json",
        "-H",
        "Transfer-Encoding: chunked",
        "-H",
        "Expect:",
    ];
    let blanks = vec![b' '; 8 << 20];
    for _ in 0..10 {
        expect(&senders.curl(&chunked, &blanks).await, "413", "1048576 bytes");
    }
    let collector = senders.collector.strip_prefix("http://").unwrap().to_owned();
    let api = senders.rig.description().api;
    let api = api.strip_prefix("http://").unwrap();
    let length = blanks.len().to_string();
    for (host, path, status) in [
        (collector.as_str(), "/v1/events", "413"),
        (&collector, "/v1/elsewhere", "404"),
        (api, "/v1/annotations", "413"),
        (api, "/render", "413"),
    ] {
        for _ in 0..5 {
            let mut command = Command::new("/usr/bin/python3");
            command.args(["-c", SENDS_FIRST, host, path, &length]);
            let output = Senders::run(command, b"").await;
            let shown = String::from_utf8_lossy(&output.stdout);
            assert!(shown.starts_with(status), "{path}: {output:?}");
        }
    }
}

/// Midnight to two in New York.
async fn hours_of_new_york(senders: &Senders<'_>) {
    let query = "/render?target=constantLine(1)&from=00:00_20251122&until=02:00_20251122&format=json";
    let ends = |answer: &Value| {
        let points = answer[0]["datapoints"].as_array().unwrap();
        (points[0][1].as_i64().unwrap(), points[2][1].as_i64().unwrap())
    };
    let utc = ends(&senders.rig.get(query).await.json);
    let new_york = ends(
        &senders
            .rig
            .get(&format!("{query}&tz=America/New_York"))
            .await
            .json,
    );
    assert_eq!(utc, (1_763_769_600, 1_763_776_800));
    assert_eq!(new_york, (MINUTE_S, MINUTE_S + 7_200));
    let nowhere = senders.rig.get(&format!("{query}&tz=Mars/Olympus")).await;
    assert_eq!(
        (
            nowhere.status,
            nowhere.json["error"]
                .as_str()
                .unwrap()
                .contains("tz is no time zone")
        ),
        (400, true)
    );
}

async fn marks_with_commas(senders: &Senders<'_>) {
    let url = format!("{}/events/", senders.rig.description().api);
    let mark = json!({ "what": "deploy", "when": MINUTE_S, "tags": "deploy,stage" });
    let sent = senders.rig.http.post(url).json(&mark).send().await.unwrap();
    assert_eq!(sent.status(), 200);
    for tags in ["deploy%20stage", "deploy,stage", "stage"] {
        let found = senders
            .rig
            .get(&format!(
                "/events/get_data?tags={tags}&from={}&until={}",
                MINUTE_S - 60,
                MINUTE_S
            ))
            .await
            .json;
        assert_eq!(found[0]["tags"], json!(["deploy", "stage"]), "{tags}: {found}");
    }
}
