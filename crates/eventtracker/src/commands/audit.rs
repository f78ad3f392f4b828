//! `eventtracker audit`: whether what was acknowledged is what is stored.

mod region;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use model::Timestamp;
use store::{Audit as Outcome, Range, RegionAudit, Verdict};

use super::send::Access;
use super::series::grouped;
use crate::config::Config;

/// Exit code where nothing is wrong as far as it can be known, but not all of it can.
const NOT_KNOWN: u8 = 2;

/// Checks that what was acknowledged, counted, replicated and stored is the same
///
/// With the centre's file: every minute's sum over the regions against the sum over the names, and every region's own total
/// against the centre's. With a region's file: what its collectors acknowledged against what its workers counted.
/// Exit code 0 where all is equal, 1 on a gap, 2 where something cannot be known.
#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    /// The centre's or a region's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// First instant to compare minutes from, as RFC 3339; two days ago where not given
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// First instant after; two days ahead where not given
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// In a region: where a collector serves its metrics, instead of collector.listen; may be repeated
    #[arg(long = "collector", value_name = "URL")]
    collectors: Vec<String>,
    /// In a region: where a worker serves its metrics, instead of worker.listen; may be repeated
    #[arg(long = "worker", value_name = "URL")]
    workers: Vec<String>,
    #[command(flatten)]
    access: Access,
}

impl Audit {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::read(&self.config)?;
        let (report, verdict) = if config.central.is_some() {
            self.of_centre(&config).await?
        } else {
            region::audit(config, self.collectors, self.workers, &self.access).await?
        };
        std::io::stdout()
            .write_all(report.as_bytes())
            .context("cannot write to standard output")?;
        Ok(match verdict {
            Verdict::Equal => ExitCode::SUCCESS,
            Verdict::Gap(_) => ExitCode::FAILURE,
            Verdict::NotKnown(_) => ExitCode::from(NOT_KNOWN),
        })
    }

    async fn of_centre(&self, config: &Config) -> anyhow::Result<(String, Verdict)> {
        let (centre, account) = config.members_as_keeper()?;
        let recent = Range::recent(SystemTime::now().into());
        let range = Range {
            from: time(self.from.as_deref())?.unwrap_or(recent.from),
            until: time(self.until.as_deref())?.unwrap_or(recent.until),
        };
        anyhow::ensure!(range.from < range.until, "--from is not before --until");
        let outcome = store::audit(&centre, &account, range).await?;
        let verdict = if outcome.has_gap() {
            Verdict::Gap(String::new())
        } else if outcome.is_known() {
            Verdict::Equal
        } else {
            Verdict::NotKnown(String::new())
        };
        Ok((report(&outcome), verdict))
    }
}

fn time(text: Option<&str>) -> anyhow::Result<Option<Timestamp>> {
    let parse = |text| Timestamp::from_rfc3339(text).with_context(|| format!("'{text}' is no RFC 3339 time"));
    text.map(parse).transpose()
}

fn report(outcome: &Outcome) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["region", "at the centre", "flushes", "verdict"]);
    for region in &outcome.regions {
        table.add_row(row(region));
    }
    for column in table.column_iter_mut().skip(1).take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let compared = u64::try_from(outcome.compared).unwrap_or(u64::MAX);
    let mut text = format!("{}\n\n{} minutes compared, ", table.trim_fmt(), grouped(compared));
    text += &match outcome.gaps_total {
        0 => "all equal\n".to_owned(),
        gaps => format!("{gaps} differ\n"),
    };
    for gap in &outcome.gaps {
        text += &format!("! {gap}\n");
    }
    if outcome.gaps_total > outcome.gaps.len() {
        text += &format!("! … and {} more\n", outcome.gaps_total - outcome.gaps.len());
    }
    for (database, rows) in &outcome.saturated {
        text += &format!("! {database}.EventMinute: {rows} counts are at their limit and no longer grow\n");
    }
    text
}

fn row(region: &RegionAudit) -> [String; 4] {
    let verdict = match &region.verdict {
        Verdict::Equal if region.is_source => "equal".to_owned(),
        Verdict::Equal => "equal; no source any more".to_owned(),
        Verdict::Gap(why) => format!("GAP: {why}"),
        Verdict::NotKnown(why) => format!("not known: {why}"),
    };
    [
        region.region.clone(),
        grouped(region.total),
        grouped(region.flushes),
        verdict,
    ]
}
