//! The centre's MariaDB options: a replication filter for each region, which says which tables of it are applied, one line for each pattern.

use std::collections::BTreeSet;

use anyhow::ensure;
use model::Shards;
use store::wild_do_tables;

use super::files::line_ending;

const SETTING: &str = "replicate_wild_do_table";

/// The text with the region's lines for a server with these shards, after the last one of their kind, or at the end of `[mariadbd]`.
///
/// # Errors
/// Another filter for the region, which is not guessed at; no `[mariadbd]`.
pub(in crate::commands) fn with_region(text: &str, region: &str, shards: Shards) -> anyhow::Result<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let patterns = wild_do_tables(shards);
    let own: Vec<&&str> = lines
        .iter()
        .filter(|line| region_of(line) == Some(region))
        .collect();
    if !own.is_empty() {
        let values = own
            .iter()
            .flat_map(|line| values_of(line))
            .collect::<BTreeSet<_>>();
        ensure!(
            values == patterns.iter().map(String::as_str).collect(),
            "it has '{}' for region {region}, which must be {}: correct it first",
            own.iter()
                .map(|line| line.trim())
                .collect::<Vec<_>>()
                .join("', '"),
            patterns.join(", ")
        );
        return Ok(text.to_owned());
    }
    let last_of_its_kind = lines.iter().rposition(|line| region_of(line).is_some());
    let after = match last_of_its_kind {
        Some(at) => Some(at),
        None => end_of_section(&lines),
    };
    let Some(after) = after else {
        anyhow::bail!("it has no [mariadbd] section: is it the centre's option file?");
    };
    let new = patterns
        .iter()
        .map(|pattern| format!("{region}.{SETTING} = {pattern}"));
    let new: Vec<String> = new.collect();
    lines.splice(after + 1..after + 1, new.iter().map(String::as_str));
    let ending = line_ending(text);
    Ok(lines.join(ending) + ending)
}

/// Whether the text says exactly what a server with these shards needs of a region.
pub(in crate::commands) fn says(text: &str, region: &str, shards: Shards) -> bool {
    let lines = text.lines().filter(|line| region_of(line) == Some(region));
    let values: BTreeSet<&str> = lines.flat_map(values_of).collect();
    values == wild_do_tables(shards).iter().map(String::as_str).collect()
}

/// The text with exactly what a server with these shards needs of each of these regions, whatever it had.
///
/// # Errors
/// A region without a line: then it is no option file of a server that replicates from it.
pub(in crate::commands) fn with_shards(
    text: &str,
    regions: &[String],
    shards: Shards,
) -> anyhow::Result<String> {
    let ending = line_ending(text);
    let mut text = text.to_owned();
    for region in regions {
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.iter().position(|line| region_of(line) == Some(region));
        let Some(first) = first else {
            anyhow::bail!("it has no line of region {region}: is it the server's option file?");
        };
        let new = wild_do_tables(shards).into_iter();
        let new = new.map(|pattern| format!("{region}.{SETTING} = {pattern}"));
        let others = |lines: &[&str]| -> Vec<String> {
            let is_other = |line: &&&str| region_of(line) != Some(region);
            lines
                .iter()
                .filter(is_other)
                .map(|&line| line.to_owned())
                .collect()
        };
        let (before, after) = (others(&lines[..first]), others(&lines[first..]));
        let lines: Vec<String> = before.into_iter().chain(new).chain(after).collect();
        text = lines.join(ending) + ending;
    }
    Ok(text)
}

/// The patterns of a filter's line.
fn values_of(line: &str) -> impl Iterator<Item = &str> {
    let value = line.split_once('=').map_or("", |(_, value)| value);
    value.split(',').map(str::trim)
}

/// The text without the region's lines, wherever they are.
pub(in crate::commands) fn without_region(text: &str, region: &str) -> String {
    text.split_inclusive('\n')
        .filter(|line| region_of(line) != Some(region))
        .collect()
}

/// The region whose filter the line is; `None` for any other line.
fn region_of(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('=')?;
    let (region, setting) = name.trim().rsplit_once('.')?;
    // MariaDB takes dashes and underscores alike.
    (setting.replace('-', "_") == SETTING).then_some(region)
}

/// Index of the last line of `[mariadbd]` that is not empty.
fn end_of_section(lines: &[&str]) -> Option<usize> {
    let begin = lines.iter().position(|line| line.trim() == "[mariadbd]")?;
    let next = lines[begin + 1..]
        .iter()
        .position(|line| line.trim_start().starts_with('['));
    let end = next.map_or(lines.len(), |length| begin + 1 + length);
    (begin..end).rev().find(|&at| !lines[at].trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_gets_its_line_once_and_beside_the_others() {
        let sample = include_str!("../../../../../deploy/mariadb-central.cnf");
        let with = with_region(sample, "asia-1", Shards::ALL).unwrap();
        let us = "us.replicate_wild_do_table = bigdata\\_%.%\n";
        assert!(with.contains(&format!("{us}asia-1.replicate_wild_do_table = bigdata\\_%.%\n\n")));
        assert_eq!(with_region(&with, "asia-1", Shards::ALL).unwrap(), with);
        assert_eq!(without_region(&with, "asia-1"), sample);
        let other = with.replace("asia-1.replicate_wild_do_table", "asia-1.replicate-wild-do-table");
        assert_eq!(with_region(&other, "asia-1", Shards::ALL).unwrap(), other);
        assert_eq!(without_region(&other, "asia-1"), sample);
    }

    #[test]
    fn a_file_keeps_its_line_ending() {
        let with = with_region("[mariadbd]\r\nport = 1\r\n", "eu", Shards::ALL).unwrap();
        assert_eq!(
            with,
            "[mariadbd]\r\nport = 1\r\neu.replicate_wild_do_table = bigdata\\_%.%\r\n"
        );
        assert_eq!(without_region(&with, "eu"), "[mariadbd]\r\nport = 1\r\n");
    }

    #[test]
    fn a_file_without_regions_gets_it_at_the_sections_end() {
        let with = with_region("[mariadbd]\nport = 1\n\n[client]\nport = 1\n", "eu", Shards::ALL).unwrap();
        assert_eq!(
            with,
            "[mariadbd]\nport = 1\neu.replicate_wild_do_table = bigdata\\_%.%\n\n[client]\nport = 1\n"
        );
        assert!(with_region("[client]\n", "eu", Shards::ALL).is_err());
    }

    #[test]
    fn a_server_with_some_shards_gets_a_line_for_each() {
        let shards = "0,7".parse().unwrap();
        let with = with_region("[mariadbd]\n", "eu", shards).unwrap();
        let lines =
            "eu.replicate_wild_do_table = bigdata\\_0.%\neu.replicate_wild_do_table = bigdata\\_7.%\n";
        assert_eq!(with, format!("[mariadbd]\n{lines}"));
        assert_eq!(with_region(&with, "eu", shards).unwrap(), with);
        let in_one = "[mariadbd]\neu.replicate_wild_do_table = bigdata\\_7.%, bigdata\\_0.%\n";
        assert_eq!(with_region(in_one, "eu", shards).unwrap(), in_one);
        assert_eq!(without_region(&with, "eu"), "[mariadbd]\n");
        assert!(with_region(&with, "eu", Shards::ALL).is_err());
        let of_one = with_region("[mariadbd]\n", "eu", "7".parse().unwrap()).unwrap();
        assert_eq!(
            of_one.lines().count(),
            5,
            "clocks, sums and names are everywhere: {of_one}"
        );
    }

    #[test]
    fn shards_come_and_go_where_the_lines_stand() {
        let shards = |text: &str| text.parse::<Shards>().unwrap();
        let with = with_region("[mariadbd]\nport = 1\n", "eu", shards("0,7")).unwrap();
        let with = with_region(&with, "us", shards("0,7")).unwrap() + "skip_log_bin\n";
        let regions = ["eu".to_owned(), "us".to_owned()];
        let less = with_shards(&with, &regions, shards("0")).unwrap();
        let line = |region| format!("{region}.replicate_wild_do_table = bigdata\\_0.%\n");
        assert_eq!(
            less,
            format!("[mariadbd]\nport = 1\n{}{}skip_log_bin\n", line("eu"), line("us"))
        );
        assert_eq!(with_shards(&less, &regions, shards("0,7")).unwrap(), with);
        assert!(with_shards(&less, &["asia".to_owned()], shards("0")).is_err());
    }

    #[test]
    fn another_filter_is_not_guessed_at() {
        let refusal = with_region(
            "[mariadbd]\neu.replicate_wild_do_table = a.%\n",
            "eu",
            Shards::ALL,
        )
        .unwrap_err();
        assert!(refusal.to_string().contains("correct it first"), "{refusal}");
    }
}
