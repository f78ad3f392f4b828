//! `eventtracker status`: the health of all regions, for people and for monitoring.

mod centres;
mod shards;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use serde::Deserialize;

use self::centres::Centre;
use self::shards::Shard;
use super::send::{Api, ApiAddress};
use super::series::{grouped, utc};

/// A worker states its queue's status every second and with each flush; silence for this long is a fault.
const SILENCE_S_MAX: f64 = 60.0;

/// Kinds of alarms that the regions' own figures show, and sooner.
const SAID_HERE: [&str; 3] = ["replication", "silent", "buried"];

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

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    centre: String,
    #[serde(default)]
    centres: Vec<Centre>,
    complete_until: Option<f64>,
    regions: Vec<Region>,
    shards: Vec<Shard>,
    #[serde(default)]
    alarms: Vec<Alarm>,
    oldest_backup: Option<f64>,
}

/// What the keeper says is wrong; the region is empty for the centre itself.
#[derive(Debug, Deserialize)]
struct Alarm {
    region: String,
    kind: String,
    sentence: String,
}

#[derive(Debug, Deserialize)]
struct Region {
    region: String,
    queue: Option<Queue>,
    replication: Option<Replication>,
    lag_s: Option<f64>,
    hold_s: Option<f64>,
    held_back: Option<String>,
    clock: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Queue {
    ready: u64,
    reserved: u64,
    delayed: u64,
    buried: u64,
    oldest_job_age_s: Option<f64>,
    /// How long ago the region wrote these figures.
    age_s: f64,
}

#[derive(Debug, Deserialize)]
struct Replication {
    running: bool,
    io: Option<String>,
    sql: Option<String>,
    error: Option<String>,
}

impl Status {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let response = Api::new(&self.api)?.get("/v1/status", &[]).await?;
        let body = response.bytes().await.context("the API's answer broke off")?;
        let answer: Answer = serde_json::from_slice(&body).context("the API's answer is not understood")?;
        let faults = answer.faults();
        let text = if self.json {
            [&body[..], b"\n"].concat()
        } else {
            answer.report(&faults).into_bytes()
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

impl Answer {
    /// A sentence for each thing that an operator should look at.
    fn faults(&self) -> Vec<String> {
        if self.regions.is_empty() {
            return vec![
                "no region is known to the centre: none has been added, or none has reported yet".to_owned(),
            ];
        }
        let alarms = self
            .alarms
            .iter()
            .filter(|alarm| !SAID_HERE.contains(&&*alarm.kind));
        let alarms = alarms.map(|alarm| match &*alarm.region {
            "" => format!("centre: {}", alarm.sentence),
            region => format!("region {region}: {}", alarm.sentence),
        });
        let regions = self.regions.iter().flat_map(Region::faults);
        regions
            .chain(alarms)
            .chain(centres::faults(&self.centres))
            .collect()
    }

    fn report(&self, faults: &[String]) -> String {
        let complete = match self.complete_until {
            Some(unix_s) => utc(unix_s).map_or("?".to_owned(), |text| format!("{text} UTC")),
            None => "not known yet".to_owned(),
        };
        let mut report = format!("complete until {complete}");
        if self.centres.len() > 1 {
            report += &format!(", by centre {}\n\n{}", self.centre, centres::table(&self.centres));
        }
        report += &format!("\n\n{}\n\n", self.region_table());
        report += &shards::sentence(&self.shards);
        if let Some(taken) = self.oldest_backup.and_then(|unix_s| utc(unix_s).ok()) {
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

    fn region_table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([
            "region",
            "ready",
            "reserved",
            "delayed",
            "buried",
            "oldest job",
            "lag",
            "held",
            "seen",
            "replication",
        ]);
        for region in &self.regions {
            table.add_row(region.row());
        }
        for column in table.column_iter_mut().skip(1).take(8) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.trim_fmt()
    }
}

impl Region {
    fn row(&self) -> Vec<String> {
        let count =
            |figure: fn(&Queue) -> u64| self.queue.as_ref().map_or("–".to_owned(), |q| grouped(figure(q)));
        let oldest = self.queue.as_ref().and_then(|queue| queue.oldest_job_age_s);
        let seen = self.queue.as_ref().map(|queue| queue.age_s);
        vec![
            self.region.clone(),
            count(|q| q.ready),
            count(|q| q.reserved),
            count(|q| q.delayed),
            count(|q| q.buried),
            seconds(oldest),
            seconds(self.lag_s),
            seconds(self.hold_s),
            seen.map_or("never".to_owned(), |age_s| format!("{age_s:.0} s ago")),
            self.replication
                .as_ref()
                .map_or("none".to_owned(), Replication::state),
        ]
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        match &self.replication {
            None => faults.push("the centre does not replicate it: `eventtracker region add` lets it, `eventtracker region remove` forgets it".to_owned()),
            Some(replication) if !replication.running => {
                let error = replication.error.as_deref().filter(|error| !error.is_empty());
                let error = error.map_or(String::new(), |error| format!(": {error}"));
                faults.push(format!("replication is {}{error}", replication.state()));
            }
            Some(_) => {}
        }
        match &self.queue {
            None => faults.push("it has never reported: are its workers running?".to_owned()),
            Some(queue) => faults.extend(queue.faults()),
        }
        if let Some(reason) = self.held_back.as_ref().filter(|_| faults.is_empty()) {
            faults.push(match self.clock.and_then(|unix_s| utc(unix_s).ok()) {
                Some(until) => format!("complete only until {until} UTC: {reason}"),
                None => format!("not known until when it is complete: {reason}"),
            });
        }
        faults
            .into_iter()
            .map(|fault| format!("region {}: {fault}", self.region))
            .collect()
    }
}

impl Queue {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.buried > 0 {
            let buried = grouped(self.buried);
            faults.push(format!(
                "{buried} buried jobs hold events that are not counted: see `eventtracker queue list`"
            ));
        }
        if self.age_s > SILENCE_S_MAX {
            faults.push(format!(
                "silent for {:.0} s: its workers or the link are down, or replication lags",
                self.age_s
            ));
        }
        faults
    }
}

impl Replication {
    fn state(&self) -> String {
        if self.running {
            return "running".to_owned();
        }
        let thread = |state: &Option<String>| state.clone().unwrap_or("?".to_owned());
        format!("not running (io {}, sql {})", thread(&self.io), thread(&self.sql))
    }
}

fn seconds(figure: Option<f64>) -> String {
    figure.map_or("–".to_owned(), |figure| format!("{figure:.1} s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: &str = r#"{"complete_until":1763787600,"regions":[{"region":"eu",
        "queue":{"ready":1200,"reserved":3,"delayed":0,"buried":0,"oldest_job_age_s":1.25,"age_s":2},
        "replication":{"running":true,"io":"Yes","sql":"Yes","error":null},"lag_s":0.5,"hold_s":2.5,"clock":1763787600.5}],
        "shards":[{"shard":0,"rows":1000,"bytes":16384,"packed_days":3,"packed_bytes":8192},{"shard":31,"rows":5,"bytes":1048576}]}"#;

    fn answer(json: &str) -> Answer {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_healthy_answer_has_no_faults() {
        let answer = answer(HEALTHY);
        assert_eq!(answer.faults(), Vec::<String>::new());
        let report = answer.report(&[]);
        assert!(
            report.starts_with("complete until 2025-11-22 05:00 UTC"),
            "{report}"
        );
        for line in [
            " region  ready  reserved  delayed  buried  oldest job    lag   held     seen  replication",
            " eu      1,200         3        0       0       1.2 s  0.5 s  2.5 s  2 s ago  running",
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
        let faults = answer(&json).faults();
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
        let answer = answer(&json);
        let faults = answer.faults();
        assert_eq!(
            faults,
            [
                "region eu: complete only until 2025-11-22 05:00:00 UTC: a job waits",
                "region eu: a disk is nearly full"
            ]
        );
        assert!(
            answer
                .report(&faults)
                .contains("taken after 2025-11-22 05:00 UTC can be attached")
        );
    }

    #[test]
    fn several_centres_are_shown_with_their_faults() {
        let json = HEALTHY.replacen(
            '{',
            r#"{"centre":"central","centres":[{"name":"central","answers":true,"complete_until":1763787600},
                {"name":"standby","answers":false,"complete_until":null}],"#,
            1,
        );
        let answer = answer(&json);
        let faults = answer.faults();
        assert!(
            faults[0].starts_with("centre standby does not answer"),
            "{faults:?}"
        );
        let report = answer.report(&faults);
        assert!(report.contains("UTC, by centre central\n\n centre "), "{report}");
    }

    #[test]
    fn what_is_missing_is_a_fault() {
        let silent = r#"{"complete_until":null,"regions":[{"region":"us","queue":null,"replication":null,"lag_s":null,"clock":null}],"shards":[]}"#;
        assert_eq!(answer(silent).faults().len(), 2);
        let report = answer(silent).report(&answer(silent).faults());
        assert!(
            report.contains("not known yet") && report.contains("never"),
            "{report}"
        );
        assert_eq!(
            answer(r#"{"complete_until":null,"regions":[],"shards":[]}"#)
                .faults()
                .len(),
            1
        );
    }
}
