//! The centre's MariaDB options: one line per region, a replication filter that says which tables of it are applied.

use anyhow::ensure;
use store::setup::WILD_DO_TABLE;

use super::files::line_ending;

const SETTING: &str = "replicate_wild_do_table";

/// The text with the region's line, after the last one of its kind, or at the end of `[mariadbd]`.
///
/// # Errors
/// Another filter for the region, which is not guessed at; no `[mariadbd]`.
pub(super) fn with_region(text: &str, region: &str) -> anyhow::Result<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let has_line = |line: &&str| region_of(line) == Some(region);
    if let Some(line) = lines.iter().find(|line| has_line(line)) {
        let value = line.split_once('=').map_or("", |(_, value)| value).trim();
        ensure!(
            value == WILD_DO_TABLE,
            "it has '{}' for region {region}, which must be {WILD_DO_TABLE}: correct it first",
            line.trim()
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
    let line = format!("{region}.{SETTING} = {WILD_DO_TABLE}");
    lines.insert(after + 1, &line);
    let ending = line_ending(text);
    Ok(lines.join(ending) + ending)
}

/// The text without the region's line, wherever that is.
pub(super) fn without_region(text: &str, region: &str) -> String {
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
        let with = with_region(sample, "asia-1").unwrap();
        let us = "us.replicate_wild_do_table = bigdata\\_%.%\n";
        assert!(with.contains(&format!("{us}asia-1.replicate_wild_do_table = bigdata\\_%.%\n\n")));
        assert_eq!(with_region(&with, "asia-1").unwrap(), with);
        assert_eq!(without_region(&with, "asia-1"), sample);
        let other = with.replace("asia-1.replicate_wild_do_table", "asia-1.replicate-wild-do-table");
        assert_eq!(with_region(&other, "asia-1").unwrap(), other);
        assert_eq!(without_region(&other, "asia-1"), sample);
    }

    #[test]
    fn a_file_keeps_its_line_ending() {
        let with = with_region("[mariadbd]\r\nport = 1\r\n", "eu").unwrap();
        assert_eq!(
            with,
            "[mariadbd]\r\nport = 1\r\neu.replicate_wild_do_table = bigdata\\_%.%\r\n"
        );
        assert_eq!(without_region(&with, "eu"), "[mariadbd]\r\nport = 1\r\n");
    }

    #[test]
    fn a_file_without_regions_gets_it_at_the_sections_end() {
        let with = with_region("[mariadbd]\nport = 1\n\n[client]\nport = 1\n", "eu").unwrap();
        assert_eq!(
            with,
            "[mariadbd]\nport = 1\neu.replicate_wild_do_table = bigdata\\_%.%\n\n[client]\nport = 1\n"
        );
        assert!(with_region("[client]\n", "eu").is_err());
    }

    #[test]
    fn another_filter_is_not_guessed_at() {
        let refusal = with_region("[mariadbd]\neu.replicate_wild_do_table = a.%\n", "eu").unwrap_err();
        assert!(refusal.to_string().contains("correct it first"), "{refusal}");
    }
}
