//! The regions in a status report.

use std::time::Duration;

use api::status::{Queue, RegionStatus, Replication};
use comfy_table::{CellAlignment, Table, presets};
use store::SILENCE_S_MAX;

use super::{grouped, utc};

pub(super) fn table(regions: &[RegionStatus]) -> String {
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
    for region in regions {
        table.add_row(row(region));
    }
    for column in table.column_iter_mut().skip(1).take(8) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

fn row(region: &RegionStatus) -> Vec<String> {
    let count = |figure: fn(&Queue) -> u64| {
        region
            .queue
            .as_ref()
            .map_or("–".to_owned(), |queue| grouped(figure(queue)))
    };
    let oldest_s = region.queue.as_ref().and_then(|queue| queue.oldest_job_age_s);
    let oldest = oldest_s.map(|age_s| Duration::from_secs(age_s).as_secs_f64());
    let seen = region.queue.as_ref().map(|queue| queue.age_s);
    vec![
        region.region.clone(),
        count(|q| q.ready),
        count(|q| q.reserved),
        count(|q| q.delayed),
        count(|q| q.buried),
        seconds(oldest),
        seconds(region.lag_s),
        seconds(region.hold_s),
        seen.map_or("never".to_owned(), |age_s| format!("{age_s:.0} s ago")),
        region
            .replication
            .as_ref()
            .map_or("none".to_owned(), replication_state),
    ]
}

/// A sentence for each thing about a region that an operator should look at.
pub(super) fn faults(region: &RegionStatus) -> Vec<String> {
    let mut faults = Vec::new();
    match &region.replication {
        None => faults.push("the centre does not replicate it, and nothing is complete without it: `eventtracker region add` lets it; if it is gone for good, `eventtracker region remove` forgets it".to_owned()),
        Some(replication) if !replication.running => {
            let error = replication.error.as_deref().filter(|error| !error.is_empty());
            let error = error.map_or(String::new(), |error| format!(": {error}"));
            faults.push(format!("replication is {}{error}", replication_state(replication)));
        }
        Some(_) => {}
    }
    match &region.queue {
        None => faults.push("it has never reported: are its workers running?".to_owned()),
        Some(queue) => faults.extend(queue_faults(queue)),
    }
    if let Some(reason) = region.held_back.as_ref().filter(|_| faults.is_empty()) {
        faults.push(match region.clock.and_then(|unix_s| utc(unix_s).ok()) {
            Some(until) => format!("complete only until {until} UTC: {reason}"),
            None => format!("not known until when it is complete: {reason}"),
        });
    }
    faults
        .into_iter()
        .map(|fault| format!("region {}: {fault}", region.region))
        .collect()
}

fn queue_faults(queue: &Queue) -> Vec<String> {
    let mut faults = Vec::new();
    if queue.buried > 0 {
        let buried = grouped(queue.buried);
        faults.push(format!(
            "{buried} buried jobs hold events that are not counted: see `eventtracker queue list`"
        ));
    }
    if queue.age_s > f64::from(SILENCE_S_MAX) {
        faults.push(format!(
            "silent for {:.0} s: its workers or the link are down, or replication lags",
            queue.age_s
        ));
    }
    faults
}

fn replication_state(replication: &Replication) -> String {
    if replication.running {
        return "running".to_owned();
    }
    format!("not running (io {}, sql {})", replication.io, replication.sql)
}

fn seconds(figure: Option<f64>) -> String {
    figure.map_or("–".to_owned(), |figure| format!("{figure:.1} s"))
}
