//! The centres in a status report.

use api::status::{CentreStatus, ServerStatus};
use comfy_table::{Table, presets};
use model::Timestamp;

use super::utc;

fn complete_until(centre: &CentreStatus) -> Option<Timestamp> {
    Timestamp::from_unix_s(centre.complete_until?).ok()
}

/// What is wrong with a centre. `newest` is the most that any centre has.
fn fault(centre: &CentreStatus, newest: Option<Timestamp>) -> Option<String> {
    if centre.answers == Some(false) {
        let remedy = "look after its MariaDB, for which the regions keep their binlogs";
        return Some(format!("does not answer: {remedy}"));
    }
    let (newest, Some(until)) = (newest?, complete_until(centre)) else {
        return Some("does not know until when it is complete: does its keeper run, and does it replicate from all of its regions?".to_owned());
    };
    let behind_ms = newest.ms_since(until);
    (behind_ms > api::BEHIND_MS_MAX).then(|| {
        format!(
            "is {} s behind: SHOW ALL SLAVES STATUS there says whether it catches up",
            behind_ms / 1000
        )
    })
}

/// A sentence for each centre that an operator should look at.
pub(super) fn faults(centres: &[CentreStatus]) -> Vec<String> {
    let newest = centres.iter().filter_map(complete_until).max();
    let faults = centres
        .iter()
        .filter_map(|centre| Some((&centre.name, fault(centre, newest)?)));
    faults
        .map(|(name, fault)| format!("centre {name} {fault}"))
        .collect()
}

pub(super) fn table(centres: &[CentreStatus]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["centre", "answers", "complete until"]);
    for centre in centres {
        let answers = match centre.answers {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not asked yet",
        };
        let until = centre.complete_until.and_then(|unix_s| utc(unix_s).ok());
        let until = until.map_or("not known".to_owned(), |until| format!("{until} UTC"));
        table.add_row([centre.name.as_str(), answers, &until]);
    }
    table.trim_fmt()
}

/// The servers of the centre that answers, where it has several.
pub(super) fn servers_table(servers: &[ServerStatus]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["server", "shards", "answers", "complete until"]);
    for server in servers {
        let answers = if server.trouble.is_none() { "yes" } else { "no" };
        let until = server.complete_until.and_then(|unix_s| utc(unix_s).ok());
        let until = until.map_or("not known".to_owned(), |until| format!("{until} UTC"));
        table.add_row([&*server.name, &server.shards, answers, &until]);
    }
    table.trim_fmt()
}

/// A sentence for each server that does not answer.
pub(super) fn server_faults(servers: &[ServerStatus]) -> impl Iterator<Item = String> {
    servers.iter().filter_map(|server| {
        let trouble = server.trouble.as_ref()?;
        Some(format!(
            "central server {} does not answer, so counts of shards {} are not to be had: {trouble}",
            server.name, server.shards
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_line_and_its_fault() {
        let centres = |answers, complete_until| {
            let centre = |name: &str, answers, complete_until| CentreStatus {
                name: name.to_owned(),
                answers: Some(answers),
                complete_until,
            };
            [
                centre("central", true, Some(1_763_787_600.0)),
                centre("standby", answers, complete_until),
            ]
        };
        let well = centres(true, Some(1_763_787_570.0));
        assert_eq!(faults(&well), Vec::<String>::new());
        let table = table(&well);
        assert!(
            table.contains("standby  yes      2025-11-22 04:59:30 UTC"),
            "{table}"
        );
        for (ill, fault) in [
            (centres(false, None), "does not answer"),
            (centres(true, None), "does its keeper run, and"),
            (centres(true, Some(1_763_787_569.0)), "is 31 s behind"),
        ] {
            let faults = faults(&ill);
            assert!(
                faults[0].starts_with("centre standby") && faults[0].contains(fault),
                "{faults:?}"
            );
        }
    }
}
