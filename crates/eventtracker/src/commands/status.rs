//! `eventtracker status`: the health of all regions, for people and for monitoring.

mod centres;
mod regions;
mod shards;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use api::status::Status as Document;

use super::send::{Api, ApiAddress};
use super::series::{grouped, utc};

/// Kinds of alarms that the regions' own figures show, and sooner.
const SAID_HERE: [&str; 4] = ["replication", "silent", "buried", "source"];

/// Shows the health of all regions and what the centre stores
///
/// Exit code 1 when an operator should look at something.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Prints the API's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiAddress,
}

impl Status {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let response = Api::new(&self.api)?.get("/v1/status", &[]).await?;
        let body = response.bytes().await.context("the API's answer broke off")?;
        let document: Document =
            serde_json::from_slice(&body).context("the API's answer is not understood")?;
        let faults = faults(&document);
        let text = if self.json {
            [&body[..], b"\n"].concat()
        } else {
            report(&document, &faults).into_bytes()
        };
        std::io::stdout()
            .write_all(&text)
            .context("cannot write to standard output")?;
        Ok(if faults.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// A sentence for each thing that an operator should look at.
fn faults(document: &Document) -> Vec<String> {
    if document.regions.is_empty() {
        return vec![
            "no region is known to the centre: none has been added, or none has reported yet".to_owned(),
        ];
    }
    let alarms = document
        .alarms
        .iter()
        .filter(|alarm| !SAID_HERE.contains(&&*alarm.kind));
    let alarms = alarms.map(|alarm| match &*alarm.region {
        "" => format!("centre: {}", alarm.sentence),
        region => format!("region {region}: {}", alarm.sentence),
    });
    let regions = document.regions.iter().flat_map(regions::faults);
    regions
        .chain(alarms)
        .chain(centres::faults(&document.centres))
        .chain(centres::server_faults(&document.servers))
        .collect()
}

fn report(document: &Document, faults: &[String]) -> String {
    let complete = match document.complete_until {
        Some(unix_s) => utc(unix_s).map_or("?".to_owned(), |text| format!("{text} UTC")),
        None => "not known yet".to_owned(),
    };
    let mut report = format!("complete until {complete}");
    if document.centres.len() > 1 {
        let table = centres::table(&document.centres);
        report += &format!(", by centre {}\n\n{table}", document.centre);
    }
    if !document.servers.is_empty() {
        report += &format!("\n\n{}", centres::servers_table(&document.servers));
    }
    report += &format!("\n\n{}\n\n", regions::table(&document.regions));
    report += &shards::sentence(&document.shards);
    if let Some(taken) = document.oldest_backup.and_then(|unix_s| utc(unix_s).ok()) {
        report += &format!("a backup of the centre taken after {taken} UTC can be attached again\n");
    }
    report.push('\n');
    if faults.is_empty() {
        report += "nothing is wrong\n";
    }
    for fault in faults {
        report += &format!("! {fault}\n");
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: &str = r#"{"complete_until":1763787600,"regions":[{"region":"eu",
        "queue":{"ready":1200,"reserved":3,"delayed":0,"buried":0,"oldest_job_age_s":1,"age_s":2},
        "replication":{"running":true,"io":"Yes","sql":"Yes","error":null},"lag_s":0.5,"hold_s":2.5,"clock":1763787600.5}],
        "shards":[{"shard":0,"rows":1000,"bytes":16384,"packed_days":3,"packed_bytes":8192},{"shard":31,"rows":5,"bytes":1048576}]}"#;

    fn document(json: &str) -> Document {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_healthy_answer_has_no_faults() {
        let document = document(HEALTHY);
        assert_eq!(faults(&document), Vec::<String>::new());
        let report = report(&document, &[]);
        assert!(
            report.starts_with("complete until 2025-11-22 05:00 UTC"),
            "{report}"
        );
        for line in [
            " region  ready  reserved  delayed  buried  oldest job    lag   held     seen  replication",
            " eu      1,200         3        0       0       1.0 s  0.5 s  2.5 s  2 s ago  running",
        ] {
            assert!(report.contains(line), "{line} is missing in:\n{report}");
        }
        for part in [
            "2 shards: 1,005 minutes in 1,064,960 bytes, 3 packed days in 8,192 bytes; the largest is bigdata_31 with 1,048,576",
            "bigdata_31",
        ] {
            assert!(report.contains(part), "{part} is missing in:\n{report}");
        }
        assert!(report.ends_with("nothing is wrong\n"));
    }

    #[test]
    fn every_fault_is_a_sentence() {
        let json = HEALTHY
            .replace(r#""buried":0"#, r#""buried":2"#)
            .replace(r#""age_s":2"#, r#""age_s":61"#)
            .replace(
                r#""running":true,"io":"Yes""#,
                r#""running":false,"io":"Connecting""#,
            )
            .replace(r#""error":null"#, r#""error":"error connecting to source""#);
        let faults = faults(&document(&json));
        assert_eq!(faults.len(), 3, "{faults:?}");
        let expected =
            "region eu: replication is not running (io Connecting, sql Yes): error connecting to source";
        assert_eq!(faults[0], expected);
        assert!(faults[1].starts_with("region eu: 2 buried jobs"));
        assert!(faults[2].starts_with("region eu: silent for 61 s"));
    }

    #[test]
    fn what_holds_the_clock_back_and_what_the_keeper_says_is_told() {
        let json = HEALTHY
            .replace(
                r#""clock":1763787600.5"#,
                r#""clock":1763787600.5,"held_back":"a job waits""#,
            )
            .replace(
                r#""shards":["#,
                r#""alarms":[{"region":"eu","kind":"disk","sentence":"a disk is nearly full","since":1}],
                   "oldest_backup":1763787600,"shards":["#,
            );
        let document = document(&json);
        let faults = faults(&document);
        assert_eq!(
            faults,
            [
                "region eu: complete only until 2025-11-22 05:00:00 UTC: a job waits",
                "region eu: a disk is nearly full"
            ]
        );
        assert!(report(&document, &faults).contains("taken after 2025-11-22 05:00 UTC can be attached"));
    }

    #[test]
    fn several_centres_are_shown_with_their_faults() {
        let json = HEALTHY.replacen(
            '{',
            r#"{"centre":"central","centres":[{"name":"central","answers":true,"complete_until":1763787600},
                {"name":"standby","answers":false,"complete_until":null}],"#,
            1,
        );
        let document = document(&json);
        let faults = faults(&document);
        assert!(
            faults[0].starts_with("centre standby does not answer"),
            "{faults:?}"
        );
        let report = report(&document, &faults);
        assert!(report.contains("UTC, by centre central\n\n centre "), "{report}");
    }

    #[test]
    fn several_servers_are_shown_with_their_faults() {
        let json = HEALTHY.replacen(
            '{',
            r#"{"servers":[{"name":"c1","shards":"0-15","complete_until":1763787600,"trouble":null},
                {"name":"c2","shards":"16-31","complete_until":null,"trouble":"it was not there"}],"#,
            1,
        );
        let document = document(&json);
        let faults = faults(&document);
        assert!(
            faults[0].starts_with("central server c2 does not answer, so counts of shards 16-31"),
            "{faults:?}"
        );
        let report = report(&document, &faults);
        assert!(
            report.contains(" c1      0-15    yes      2025-11-22 05:00 UTC"),
            "{report}"
        );
    }

    #[test]
    fn what_is_missing_is_a_fault() {
        let silent = r#"{"complete_until":null,"regions":[{"region":"us","queue":null,"replication":null,"lag_s":null,"clock":null}],"shards":[]}"#;
        assert_eq!(faults(&document(silent)).len(), 2);
        let report = report(&document(silent), &faults(&document(silent)));
        assert!(
            report.contains("not known yet") && report.contains("never"),
            "{report}"
        );
        assert_eq!(
            faults(&document(r#"{"complete_until":null,"regions":[],"shards":[]}"#)).len(),
            1
        );
    }
}
