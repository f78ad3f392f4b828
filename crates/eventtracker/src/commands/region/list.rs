//! `eventtracker region list`: the regions in the file and at the centre, and where these disagree.

use std::collections::BTreeSet;
use std::process::ExitCode;

use comfy_table::{Table, presets};
use model::Shards;
use store::{Source, SourceState, wild_do_tables};

use super::{Centre, Operator};

/// Prints the table of each server, then every fault; exit code 1 if there is one.
pub(super) async fn run(centre: &Centre) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for mut operator in Operator::open_all(centre).await? {
        if let Some(name) = &operator.centre.server().name {
            println!("{name}: shards {}", operator.centre.shards());
        }
        if !list(&mut operator).await? {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// Prints the table of one server. Returns whether there is no fault.
async fn list(operator: &mut Operator) -> anyhow::Result<bool> {
    let states = operator.centre.upkeep().sources().await?;
    let position = operator.centre.upkeep().gtid_slave_pos().await?;
    let clocks = operator.centre.upkeep().clocks().await?;
    let shards = operator.centre.shards();
    let lines = lines(
        &operator.config.source,
        (&states, shards),
        clocks.keys(),
        &position,
    );
    let faults: Vec<&String> = lines.iter().flat_map(|line| &line.faults).collect();
    if lines.is_empty() {
        println!("no region: add one with 'eventtracker region add'");
    } else {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["region", "address", "in", "reading", "applying", "applied up to"]);
        for line in &lines {
            table.add_row(&line.cells);
        }
        println!("{}", table.trim_fmt());
    }
    for fault in &faults {
        println!("! {fault}");
    }
    Ok(faults.is_empty())
}

/// A region's row of the table, and a sentence for each thing that is wrong with it.
#[derive(Debug, PartialEq)]
struct Line {
    cells: [String; 6],
    faults: Vec<String>,
}

/// The lines of all regions in the file or at the centre, by name: `claimed` are those that a claim of completeness is known of, and `position`
/// is the `gtid_slave_pos` of the server, which has these shards.
fn lines<'a>(
    file: &'a [Source],
    (states, shards): (&'a [SourceState], Shards),
    claimed: impl Iterator<Item = &'a String>,
    position: &str,
) -> Vec<Line> {
    let in_file = file.iter().map(|source| &source.region);
    let replicated = states.iter().map(|state| &state.source.region);
    let names: BTreeSet<&String> = in_file.chain(replicated).chain(claimed).collect();
    let line = |name: &String| {
        let source = file.iter().find(|source| source.region == *name);
        let state = states.iter().find(|state| state.source.region == *name);
        line(name, source, state, (position, shards))
    };
    names.into_iter().map(line).collect()
}

fn line(
    name: &str,
    in_file: Option<&Source>,
    state: Option<&SourceState>,
    (position, shards): (&str, Shards),
) -> Line {
    let mut faults = Vec::new();
    let mut fault = |sentence: String| faults.push(format!("{name}: {sentence}"));
    match (in_file, state) {
        (Some(source), None) => fault(format!(
            "it is in the file, but the centre does not replicate it: 'eventtracker region add {name} --host {} --port {}' completes it",
            source.host, source.port
        )),
        (None, Some(_)) => {
            fault("the centre replicates it, but the file has no [[source]] of it: 'eventtracker region add' completes it".to_owned());
        }
        (Some(source), Some(state)) if !source.is_at_same_place(&state.source) => fault(format!(
            "the file has it at {}, but the centre replicates it from there: {}; correct the file",
            source.address(),
            state.source.address()
        )),
        (Some(source), Some(state)) if !source.is_kept_by(&state.source) => fault(format!(
            "the file has tls_ca = {}, but the centre replicates with {}: 'eventtracker schema apply' sets it",
            authorities(source),
            authorities(&state.source)
        )),
        (None, None) => fault(
            "it belongs to the centre, which does not replicate it, so nothing is complete: 'eventtracker region add' attaches it, and \
             'eventtracker region remove' lets it go for good"
                .to_owned(),
        ),
        (Some(_), Some(_)) => {}
    }
    if let Some(state) = state {
        if !state.is_running() {
            fault(format!(
                "replication does not run: {}",
                super::replication::why_not(state)
            ));
        }
        let expected = || wild_do_tables(shards).join(", ");
        if !state.has_all_of(shards) {
            fault(format!(
                "the centre applies only '{}' of it instead of {}, so counts are missing there",
                state.wild_do_table,
                expected()
            ));
        } else if !state.is_limited_to(shards) {
            fault(format!(
                "the centre applies '{}' of it instead of {}, and so what it should not: 'eventtracker region add' completes it",
                state.wild_do_table,
                expected()
            ));
        }
    }
    let address = state.map(|state| &state.source).or(in_file).map(Source::address);
    let place = match (in_file.is_some(), state.is_some()) {
        (true, true) => "file, centre",
        (true, false) => "file",
        (false, true) => "centre",
        (false, false) => "claims",
    };
    let or_dash = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or("–".to_owned());
    Line {
        cells: [
            name.to_owned(),
            or_dash(address),
            place.to_owned(),
            or_dash(state.map(|state| state.io_running.clone())),
            or_dash(state.map(|state| state.sql_running.clone())),
            or_dash(state.and_then(|state| gtid_of(position, state.server_id))),
        ],
        faults,
    }
}

/// The authorities of a source, as a sentence names them.
fn authorities(source: &Source) -> String {
    match &source.tls_ca {
        Some(path) => path.display().to_string(),
        None => "none, or without verifying the name".to_owned(),
    }
}

/// The last transaction that a server wrote, out of a GTID position such as `1-1-100,2-2-50`: domain, server, sequence number.
pub(super) fn gtid_of(position: &str, server_id: u64) -> Option<String> {
    let is_its = |gtid: &&str| {
        gtid.trim().split('-').nth(1).and_then(|id| id.parse().ok()) == Some(server_id) && server_id > 0
    };
    position
        .split(',')
        .find(is_its)
        .map(|gtid| gtid.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use store::setup::WILD_DO_TABLE;

    use super::*;

    fn source(region: &str) -> Source {
        Source {
            region: region.to_owned(),
            host: "10.1.0.10".to_owned(),
            port: 3306,
            tls_ca: None,
        }
    }

    fn state(region: &str) -> SourceState {
        SourceState {
            source: source(region),
            io_running: "Yes".to_owned(),
            sql_running: "Yes".to_owned(),
            last_error: String::new(),
            wild_do_table: WILD_DO_TABLE.to_owned(),
            server_id: 7,
            received: std::collections::BTreeMap::new(),
        }
    }

    fn faults(file: &[Source], states: &[SourceState]) -> Vec<String> {
        let lines = lines(file, (states, Shards::ALL), [].iter(), "");
        lines.into_iter().flat_map(|line| line.faults).collect()
    }

    #[test]
    fn a_region_in_order_has_a_line_and_no_fault() {
        let lines = lines(
            &[source("eu")],
            (&[state("eu")], Shards::ALL),
            ["eu".to_owned()].iter(),
            "1-1-100, 2-7-50",
        );
        let expected = ["eu", "10.1.0.10:3306", "file, centre", "Yes", "Yes", "2-7-50"];
        assert_eq!(
            (
                lines[0].cells.each_ref().map(String::as_str),
                lines[0].faults.len()
            ),
            (expected, 0)
        );
    }

    #[test]
    fn a_region_of_which_there_are_claims_alone_is_listed() {
        let lines = lines(&[], (&[], Shards::ALL), ["us".to_owned()].iter(), "");
        let expected = ["us", "–", "claims", "–", "–", "–"];
        assert_eq!(lines[0].cells.each_ref().map(String::as_str), expected);
        assert!(lines[0].faults[0].contains("region remove"));
    }

    #[test]
    fn what_disagrees_is_named_with_the_remedy() {
        assert!(faults(&[source("eu")], &[])[0].contains("region add eu --host 10.1.0.10 --port 3306"));
        assert!(faults(&[], &[state("eu")])[0].contains("no [[source]]"));
        let moved = Source {
            port: 3307,
            ..source("eu")
        };
        assert!(faults(&[moved], &[state("eu")])[0].contains("10.1.0.10:3307"));
        let encrypted = Source {
            tls_ca: Some("/ca.pem".into()),
            ..source("eu")
        };
        let fault = &faults(&[encrypted], &[state("eu")])[0];
        assert!(
            fault.contains("tls_ca = /ca.pem") && fault.contains("with none"),
            "{fault}"
        );
        let stopped = SourceState {
            sql_running: "No".to_owned(),
            last_error: "error 1062".to_owned(),
            wild_do_table: String::new(),
            ..state("eu")
        };
        let faults = faults(&[source("eu")], &[stopped]);
        assert!(faults[0].contains("error 1062") && faults[1].contains("what it should not"));
    }
}
