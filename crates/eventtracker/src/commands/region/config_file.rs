//! Edits of our own configuration files. They leave every comment and everything else as it is, except on and between the lines of a
//! `[[source]]` that is removed.

use std::ops::Range;

use anyhow::{Context, bail};
use model::Shards;
use store::Source;
use toml_edit::{ArrayOfTables, Document, DocumentMut, Item, Table, value};

use super::files::line_ending;

const NO_TOML: &str = "it is no TOML";
const NO_TABLES: &str = "its 'source' is not written as [[source]]";

/// The centre's file with `source` in a `[[source]]` of its own, or at its new address.
///
/// # Errors
/// A text that is no TOML, or whose sources are not written as tables.
pub(in crate::commands) fn with_source(text: &str, source: &Source) -> anyhow::Result<String> {
    let mut file: DocumentMut = text.parse().context(NO_TOML)?;
    let Source {
        region, host, port, ..
    } = source;
    let tls_ca = text_of(source)?;
    let sources = sources(&mut file)?;
    let is_it = |table: &&mut Table| table.get("region").and_then(Item::as_str) == Some(region);
    if let Some(table) = sources.iter_mut().find(is_it) {
        set(table, "host", host.as_str());
        set(table, "port", i64::from(*port));
        if let Some(tls_ca) = tls_ca {
            set(table, "tls_ca", tls_ca);
        }
    } else {
        let mut table = Table::new();
        table.insert("region", value(region.as_str()));
        table.insert("host", value(host.as_str()));
        table.insert("port", value(i64::from(*port)));
        if let Some(tls_ca) = tls_ca {
            table.insert("tls_ca", value(tls_ca));
        }
        table.decor_mut().set_prefix("\n");
        sources.push(table);
    }
    Ok(written_like(text, &file))
}

/// The centre's file without the region's `[[source]]`. Comments above it stay: they may be about more than this region.
///
/// # Errors
/// A text that is no TOML, or whose sources are not written as tables.
pub(in crate::commands) fn without_source(text: &str, region: &str) -> anyhow::Result<String> {
    let file = Document::parse(text).context(NO_TOML)?;
    let sources = match file.get("source") {
        None => return Ok(text.to_owned()),
        Some(item) if is_empty_array(item) => return Ok(text.to_owned()),
        Some(item) => item.as_array_of_tables().context(NO_TABLES)?,
    };
    let is_it = |table: &&Table| table.get("region").and_then(Item::as_str) == Some(region);
    let spans = sources.iter().filter(is_it).filter_map(span);
    // From the last: the earlier ones stay where they are.
    let spans = spans.collect::<Vec<_>>().into_iter().rev();
    Ok(spans.fold(text.to_owned(), |text, span| without_lines(&text, span)))
}

/// The region's file with `source`'s address in `[regional]`, and without a socket there.
///
/// # Errors
/// A text that is no TOML, another region's file, or one without `[regional]`.
pub(in crate::commands) fn with_regional(text: &str, source: &Source) -> anyhow::Result<String> {
    let mut file: DocumentMut = text.parse().context(NO_TOML)?;
    let name = file.get("region").and_then(|region| region.get("name"));
    if name.and_then(Item::as_str) != Some(&source.region) {
        bail!(
            "its [region] is not {}: it is another region's file",
            source.region
        );
    }
    let Some(regional) = file.get_mut("regional").and_then(Item::as_table_mut) else {
        bail!("it has no [regional] section");
    };
    set(regional, "host", source.host.as_str());
    set(regional, "port", i64::from(source.port));
    if let Some(tls_ca) = text_of(source)? {
        set(regional, "tls_ca", tls_ca);
    }
    without_socket(written_like(text, &file))
}

/// The centre's file with other shards for its servers, each given by its name.
///
/// # Errors
/// A text that is no TOML, or has no such `[[central_server]]`.
pub(in crate::commands) fn with_server_shards(
    text: &str,
    servers: &[(&str, Shards)],
) -> anyhow::Result<String> {
    let mut file: DocumentMut = text.parse().context(NO_TOML)?;
    let tables = file
        .get_mut("central_server")
        .and_then(Item::as_array_of_tables_mut);
    let tables = tables.context("its servers are not written as [[central_server]]")?;
    for (name, shards) in servers {
        let is_it = |table: &&mut Table| table.get("name").and_then(Item::as_str) == Some(name);
        let table = tables.iter_mut().find(is_it);
        let table = table.with_context(|| format!("it has no [[central_server]] called {name}"))?;
        set(table, "shards", shards.to_string());
    }
    Ok(written_like(text, &file))
}

fn without_socket(text: String) -> anyhow::Result<String> {
    let file = Document::parse(text.as_str()).context(NO_TOML)?;
    let regional = file.get("regional").and_then(Item::as_table);
    let socket = regional.and_then(|regional| regional.get_key_value("socket"));
    let span = socket.and_then(|(key, value)| Some(key.span()?.start..value.span()?.end));
    Ok(match span {
        Some(span) => without_lines(&text, span),
        None => text,
    })
}

/// The bytes from a table's header to its last value.
fn span(table: &Table) -> Option<Range<usize>> {
    let header = table.span()?;
    let values = table.get_values();
    let ends = values.iter().filter_map(|(_, value)| Some(value.span()?.end));
    Some(header.start..ends.fold(header.end, usize::max))
}

/// The text without the lines that the span touches, and without one of the two empty lines that would then follow each other.
fn without_lines(text: &str, span: Range<usize>) -> String {
    let line_of = |offset: usize| text.as_bytes()[..offset].split(|byte| *byte == b'\n').count() - 1;
    let first = line_of(span.start);
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines.drain(first..=line_of(span.end));
    let is_empty = |at: usize| lines.get(at).is_some_and(|line| line.trim().is_empty());
    if first > 0 && is_empty(first - 1) {
        lines.remove(first - 1);
    } else if is_empty(first)
        && lines
            .get(first + 1)
            .is_some_and(|line| line.starts_with("[[source]]"))
    {
        // The heading of all sources is right above the next one.
        lines.remove(first);
    }
    lines.concat()
}

/// The edited file with the line ending that it had, since `toml_edit` knows one only.
fn written_like(text: &str, file: &DocumentMut) -> String {
    let edited = file.to_string().replace("\r\n", "\n");
    edited.replace('\n', line_ending(text))
}

/// The tables `[[source]]`; an empty array, as programs write it, becomes none of them.
fn sources(file: &mut DocumentMut) -> anyhow::Result<&mut ArrayOfTables> {
    let sources = file
        .entry("source")
        .or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    if is_empty_array(sources) {
        *sources = Item::ArrayOfTables(ArrayOfTables::new());
    }
    sources.as_array_of_tables_mut().context(NO_TABLES)
}

/// The authorities of a source, as a file has them.
fn text_of(source: &Source) -> anyhow::Result<Option<&str>> {
    let text = source
        .tls_ca
        .as_deref()
        .map(|path| path.to_str().context("tls_ca is not UTF-8"));
    text.transpose()
}

fn is_empty_array(item: &Item) -> bool {
    item.as_array().is_some_and(toml_edit::Array::is_empty)
}

/// Sets a value, and keeps the comment behind it.
fn set(table: &mut Table, key: &str, new: impl Into<toml_edit::Value>) {
    let mut new = new.into();
    if let Some(old) = table.get(key).and_then(Item::as_value) {
        *new.decor_mut() = old.decor().clone();
    }
    table.insert(key, Item::Value(new));
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../../../../deploy/eventtracker.toml");

    fn source(region: &str, host: &str, port: u16) -> Source {
        Source {
            region: region.to_owned(),
            host: host.to_owned(),
            port,
            tls_ca: None,
        }
    }

    #[test]
    fn a_source_comes_after_the_others_and_goes_again() {
        let asia = source("asia", "10.3.0.10", 3307);
        let with = with_source(SAMPLE, &asia).unwrap();
        let us = "[[source]]\nregion = \"us\"\nhost = \"10.2.0.10\"\nport = 3306\n";
        let expected = format!(
            "{us}\n[[source]]\nregion = \"asia\"\nhost = \"10.3.0.10\"\nport = 3307\n\n# ---- On both sides"
        );
        assert!(with.contains(&expected), "{with}");
        assert_eq!(with_source(&with, &asia).unwrap(), with);
        assert_eq!(without_source(&with, "asia").unwrap(), SAMPLE);
        assert_eq!(without_source(SAMPLE, "asia").unwrap(), SAMPLE);
    }

    #[test]
    fn a_source_has_its_authorities() {
        let asia = Source {
            tls_ca: Some("/etc/eventtracker/ca.pem".into()),
            ..source("asia", "10.3.0.10", 3307)
        };
        let with = with_source(SAMPLE, &asia).unwrap();
        assert!(
            with.contains("port = 3307\ntls_ca = \"/etc/eventtracker/ca.pem\"\n"),
            "{with}"
        );
        let encrypted = with_source(
            SAMPLE,
            &Source {
                region: "us".to_owned(),
                ..asia
            },
        );
        let config: toml::Table = encrypted.unwrap().parse().unwrap();
        assert_eq!(
            config["source"][1]["tls_ca"].as_str(),
            Some("/etc/eventtracker/ca.pem")
        );
    }

    #[test]
    fn the_first_source_of_a_file() {
        for text in ["[central]\nuser = 'a'\n", "source = []\n[central]\nuser = 'a'\n"] {
            let with = with_source(text, &source("eu", "h", 1)).unwrap();
            let config: toml::Table = with.parse().unwrap();
            assert_eq!(config["source"][0]["region"].as_str(), Some("eu"), "{with}");
            assert_eq!(config["central"]["user"].as_str(), Some("a"), "{with}");
        }
    }

    #[test]
    fn a_source_moves_and_its_comment_stays() {
        let text = SAMPLE.replacen("host = \"10.1.0.10\"", "host = \"10.1.0.10\" # rack 7", 1);
        let moved = with_source(&text, &source("eu", "10.9.0.1", 3306)).unwrap();
        assert_eq!(moved, text.replacen("10.1.0.10", "10.9.0.1", 1));
    }

    #[test]
    fn a_regions_file_gets_the_new_address() {
        let moved = with_regional(SAMPLE, &source("eu", "10.1.0.11", 3310)).unwrap();
        let config: toml::Table = moved.parse().unwrap();
        let regional = config["regional"].as_table().unwrap();
        assert!(!regional.contains_key("socket"));
        assert_eq!(
            (regional["host"].as_str(), regional["port"].as_integer()),
            (Some("10.1.0.11"), Some(3310))
        );
        assert!(config["central"].get("socket").is_some(), "{moved}");
        let refusal = with_regional(SAMPLE, &source("us", "h", 1)).unwrap_err();
        assert!(refusal.to_string().contains("another region's file"), "{refusal}");
    }

    fn comments(text: &str) -> Vec<&str> {
        text.lines().filter(|line| line.starts_with('#')).collect()
    }

    /// The sample with what `edit` does to its values.
    fn sample_with(edit: impl FnOnce(&mut toml::Table)) -> toml::Table {
        let mut config = SAMPLE.parse().unwrap();
        edit(&mut config);
        config
    }

    #[test]
    fn a_source_goes_and_every_comment_stays() {
        let eu = "[[source]]\nregion = \"eu\"\nhost = \"10.1.0.10\"\nport = 3306\n\n";
        let us = eu.replace("eu", "us").replace("10.1.", "10.2.");
        let without_eu = without_source(SAMPLE, "eu").unwrap();
        assert_eq!(without_eu, SAMPLE.replacen(eu, "", 1));
        let without_us = without_source(SAMPLE, "us").unwrap();
        assert_eq!(without_us, SAMPLE.replacen(&us, "", 1));
        for without_both in [
            without_source(&without_eu, "us").unwrap(),
            without_source(&without_us, "eu").unwrap(),
        ] {
            assert_eq!(comments(&without_both), comments(SAMPLE));
            let expected = sample_with(|config| drop(config.remove("source")));
            assert_eq!(without_both.parse::<toml::Table>().unwrap(), expected);
        }
    }

    #[test]
    fn a_source_at_a_files_end_goes_and_every_comment_stays() {
        let text = "[api]\nlisten = 'a'\n\n# All.\n[[source]]\nregion = 'eu' # rack 7\nhost = 'h'\nport = 1\n# End.\n";
        let without = without_source(text, "eu").unwrap();
        assert_eq!(without, "[api]\nlisten = 'a'\n\n# All.\n# End.\n");
        let with = with_source(&without, &source("us", "h", 1)).unwrap();
        assert_eq!(without_source(&with, "us").unwrap(), without);
        let refusal = without_source("source = [{ region = 'eu' }]\n", "eu").unwrap_err();
        assert!(refusal.to_string().contains("not written as"), "{refusal}");
    }

    #[test]
    fn a_socket_goes_and_every_comment_stays() {
        let moved = with_regional(SAMPLE, &source("eu", "10.1.0.11", 3310)).unwrap();
        assert_eq!(comments(&moved), comments(SAMPLE));
        let expected = sample_with(|config| {
            let regional = config["regional"].as_table_mut().unwrap();
            regional.remove("socket");
            regional.insert("host".to_owned(), "10.1.0.11".into());
            regional.insert("port".to_owned(), 3310.into());
        });
        assert_eq!(moved.parse::<toml::Table>().unwrap(), expected);
    }

    #[test]
    fn a_file_keeps_its_line_ending() {
        let crlf = |text: &str| text.replace('\n', "\r\n");
        let (asia, eu) = (source("asia", "h", 1), source("eu", "h", 1));
        let with = with_source(SAMPLE, &asia).unwrap();
        assert_eq!(with_source(&crlf(SAMPLE), &asia).unwrap(), crlf(&with));
        let without = without_source(SAMPLE, "eu").unwrap();
        assert_eq!(without_source(&crlf(SAMPLE), "eu").unwrap(), crlf(&without));
        let moved = with_regional(SAMPLE, &eu).unwrap();
        assert_eq!(with_regional(&crlf(SAMPLE), &eu).unwrap(), crlf(&moved));
    }
}
