//! A series in each format and encoding, read by clients that nobody here wrote.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::ledger::Ledger;
use crate::python::printed;
use crate::rig::{Rig, one_region};

const FIRST_S: i64 = 1_763_787_600;

/// Minutes asked for: points of all names that make several pieces of an answer.
const MINUTES: i64 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_format_has_the_same_points() {
    let rig = Rig::start(one_region()).await;
    let mut ledger = Ledger::default();
    for (name, apart) in [("shop.item.sold", 3), ("web.load", 7), ("a/b", 1_900)] {
        let minutes = (0..MINUTES).step_by(apart).map(|minute| FIRST_S + 60 * minute);
        let counted: Vec<(i64, u64)> = minutes.zip(1..).collect();
        let events = counted
            .iter()
            .map(|(at, count)| json!({ "name": name, "count": count, "timestamp": at }));
        rig.post_until_accepted("eu", &events.collect()).await;
        for (at, count) in counted {
            ledger.acknowledged(name, at, count);
        }
    }
    ledger.expect_at_centre(&rig).await;
    // A part of it is to come, and not known.
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    for (from, step, points) in [
        (FIRST_S, "1m", MINUTES),
        (i64::try_from(now).unwrap() - 60, "1h", 3),
    ] {
        let until = from + points * if step == "1m" { 60 } else { 3_600 };
        let url = format!(
            "{}/v1/series?name=web.load&name=shop.item.sold&name=a/b&name=never.counted&from={from}&until={until}&step={step}",
            rig.description().api
        );
        let csv = fetched(&format!("{url}&format=csv"), &[]).await;
        compressed(&format!("{url}&format=csv"), &csv).await;
        let json: Value = serde_json::from_str(&fetched(&url, &[]).await).unwrap();
        as_arrow(&url, &csv, &json).await;
    }
    rig.stop().await;
}

async fn fetched(url: &str, options: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--fail", "--write-out", "%header{content-encoding}"]);
    let output = curl.args(options).arg(url).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What is short is not compressed.
async fn compressed(url: &str, plain: &str) {
    let is_long = plain.len() > 4_096;
    for encoding in ["gzip", "zstd"] {
        let asks = format!("accept-encoding: {encoding}");
        let decoded = fetched(url, &["--compressed", "--header", &asks]).await;
        let expected = format!("{plain}{}", if is_long { encoding } else { "" });
        assert_eq!(decoded, expected);
    }
}

async fn as_arrow(url: &str, csv: &str, json: &Value) {
    let read = printed("arrow_client.py", &[url]).await;
    assert_eq!(read["content_type"], "application/vnd.apache.arrow.stream");
    let columns = json!({
        "name": "dictionary<values=string, indices=int32, ordered=0>",
        "time": "timestamp[s, tz=UTC]",
        "count": "uint64",
    });
    assert_eq!(read["columns"], columns);
    for key in ["from", "until", "step"] {
        assert_eq!(read["metadata"][key], json[key].to_string(), "{key}");
    }
    // Another answer, which may be complete up to later.
    let complete_until = read["metadata"]["complete_until"].as_str().unwrap();
    assert!(complete_until.parse::<f64>().unwrap() >= json["complete_until"].as_f64().unwrap());
    let rows = read["rows"].as_array().unwrap();
    let lines: Vec<&str> = csv.lines().skip(1).collect();
    assert!(!rows.is_empty() && rows.len() == lines.len());
    for (row, line) in rows.iter().zip(lines) {
        let [name, time, count] = <[&str; 3]>::try_from(line.split(',').collect::<Vec<_>>()).unwrap();
        let at = model::Timestamp::from_rfc3339(time).unwrap().unix_ms() / 1_000;
        let count = count.parse::<u64>().ok();
        assert_eq!(*row, json!([name, at, count]));
    }
}
