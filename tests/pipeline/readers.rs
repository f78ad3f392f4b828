//! Clients of the api that read slowly, leave, or send much: others get their answers, and the centre its peace.

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use playground::Options;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::centre;
use crate::rig::{Rig, one_region, settings, wait_until};

const MINUTE: i64 = 1_763_787_600;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// Answers with as many points as all long ones may have together.
const SLOW: usize = 4;

/// Clients that leave, one after the other.
const LEAVING: usize = 60;

/// Connections of the api to the centre: those of its pool, and one that ends each of their statements.
const CONNECTIONS_MAX: u64 = 16;

/// Forms at once, and the memory that they may take of the api beside what it has.
const FORMS: usize = 100;
const FORMS_MIB_MAX: u64 = 300;

async fn start() -> Rig {
    let rig = Rig::start(Options {
        central_overrides: settings("[keeper]\npack_interval_s = 60\n[api]\nanswer_timeout_ms = 8000"),
        ..one_region()
    })
    .await;
    let events: Vec<_> = (0..5)
        .map(|n| json!({ "name": format!("wide.{n}"), "timestamp": MINUTE }))
        .collect();
    rig.post_until_accepted("eu", &json!(events)).await;
    wait_until("the names to be known", async || {
        let names = rig
            .get("/v1/series?name=wide.*&from=2025-11-22&until=2025-11-23&step=1d")
            .await;
        match names.json["series"].as_array().map(Vec::len) {
            Some(5) => Ok(()),
            _ => Err(format!("{names:?}")),
        }
    })
    .await;
    rig
}

fn address(rig: &Rig) -> String {
    rig.description().api.replace("http://", "")
}

async fn asked(rig: &Rig, path: &str) -> TcpStream {
    let address = address(rig);
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_ones_are_cut_off_and_short_answers_go_on() {
    let rig = start().await;
    let long = format!(
        "/v1/series?name=wide.*&from={}&until={}",
        MINUTE - 399_000 * 60,
        MINUTE + 990 * 60
    );
    let begun = tokio::time::Instant::now();
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut stream = asked(&rig, &long).await;
        let mut beginning = [0; 15];
        stream.read_exact(&mut beginning).await.unwrap();
        assert_eq!(&beginning, b"HTTP/1.1 200 OK");
        slow.push(stream);
    }
    let refused = rig.get(&long).await;
    assert_eq!(
        refused.status, 503,
        "all room for long answers is taken: {refused:?}"
    );
    let readers = slow.into_iter().map(|mut stream| async move {
        let mut byte = [0];
        // As fast as keeps it from standing still, and far too slow for its answer.
        while let Ok(1..) = stream.read(&mut byte).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if begun.elapsed() > 3 * ANSWER_TIMEOUT {
                return false;
            }
        }
        true
    });
    let all_slow = futures_util::future::join_all(readers);
    let short = async {
        while begun.elapsed() < ANSWER_TIMEOUT - Duration::from_secs(2) {
            let short = rig.get("/v1/series?name=wide.0&from=-1d").await;
            assert_eq!(short.status, 200, "{short:?}");
        }
        // What the connections of the slow ones hold is theirs until they are cut off.
        wait_until("long answers to have room again", async || {
            match rig
                .http
                .get(format!("{}{long}", rig.description().api))
                .send()
                .await
                .unwrap()
            {
                answer if answer.status() == 200 => Ok(()),
                answer => Err(answer.status().to_string()),
            }
        })
        .await;
        assert!(begun.elapsed() >= ANSWER_TIMEOUT / 2, "nobody was slow");
    };
    let (cut_off, ()) = tokio::join!(all_slow, short);
    // The kernel's buffers are theirs to read still.
    assert!(cut_off.len() == SLOW);
    let cut_off = rig
        .counter(&rig.description().api, "http_answers_cut_off_total")
        .await;
    assert_eq!(cut_off, SLOW as u64);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ends_with_its_client() {
    let rig = start().await;
    let mut root = centre::connect(&rig.description().central).await;
    // Whatever reads these waits, as it would for a scan of hours.
    root.query_drop("LOCK TABLES bigdata_0.RegionMinute WRITE, bigdata_0.EventTags WRITE")
        .await
        .unwrap();
    let mut watch = centre::connect(&rig.description().central).await;
    for path in [
        "/v1/audit",
        "/v1/series?name=wide.*&from=-1h",
        "/render?target=wide.*",
    ] {
        for _ in 0..LEAVING {
            let mut stream = asked(&rig, path).await;
            wait_until("its statement to begin", async || {
                match statements(&mut watch).await {
                    0 => {
                        // Refused, while the one before has its place still.
                        stream = asked(&rig, path).await;
                        Err(format!("none of {path}"))
                    }
                    _ => Ok(()),
                }
            })
            .await;
            drop(stream);
            assert!(connections(&mut watch).await <= CONNECTIONS_MAX, "they pile up");
        }
        wait_until("their statements to end", async || {
            match statements(&mut watch).await {
                0 => Ok(()),
                left => Err(format!("{left} of {path}")),
            }
        })
        .await;
    }
    root.query_drop("UNLOCK TABLES").await.unwrap();
    let answer = rig
        .get("/v1/series?name=wide.*&from=2025-11-22&until=2025-11-23&step=1d")
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    rig.stop().await;
}

/// Statements of the api's clients that wait at the centre; its own list of names waits, too.
async fn statements(watch: &mut Conn) -> u64 {
    const SQL: &str = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                       WHERE USER = 'eventtracker_api' AND STATE LIKE 'Waiting for table%' \
                       AND INFO NOT LIKE '%EventTags WHERE eventId BETWEEN%'";
    watch.query_first(SQL).await.unwrap().unwrap()
}

async fn connections(watch: &mut Conn) -> u64 {
    const SQL: &str = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'eventtracker_api'";
    watch.query_first(SQL).await.unwrap().unwrap()
}

/// A megabyte each, of calls within calls around a long text.
#[tokio::test(flavor = "multi_thread")]
async fn large_forms_take_bounded_memory() {
    let rig = start().await;
    let target = format!(
        "{}{}{}",
        "sumSeries(".repeat(32),
        "a".repeat(15_900),
        ")".repeat(32)
    );
    let form = format!("target={target}&").repeat(64);
    let before = peak_mib(&rig);
    let mut senders = JoinSet::new();
    for _ in 0..FORMS {
        let request = rig
            .http
            .post(format!("{}/render", rig.description().api))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.clone());
        senders.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    for status in senders.join_all().await {
        assert!([400, 503].contains(&status), "{status}");
    }
    let took = peak_mib(&rig) - before;
    assert!(took < FORMS_MIB_MAX, "{took} MiB");
    let answer = rig.get("/render?target=wide.0&from=-1h").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    rig.stop().await;
}

fn peak_mib(rig: &Rig) -> u64 {
    let pid = rig.description().pids.api.unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line.unwrap().split_whitespace().next().unwrap().parse().unwrap();
    kib / 1024
}
