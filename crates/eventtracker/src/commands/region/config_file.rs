//! Edits of our own configuration files that leave every comment and everything else as it is.

use anyhow::{Context, bail};
use store::Source;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

/// The centre's file with `source` in a `[[source]]` of its own, or at its new address.
pub(super) fn with_source(text: &str, source: &Source) -> anyhow::Result<String> {
    let mut file: DocumentMut = text.parse().context("it is no TOML")?;
    let Source { region, host, port } = source;
    let sources = sources(&mut file)?;
    let is_it = |table: &&mut Table| table.get("region").and_then(Item::as_str) == Some(region);
    if let Some(table) = sources.iter_mut().find(is_it) {
        set(table, "host", host.as_str());
        set(table, "port", i64::from(*port));
    } else {
        let mut table = Table::new();
        table.insert("region", value(region.as_str()));
        table.insert("host", value(host.as_str()));
        table.insert("port", value(i64::from(*port)));
        table.decor_mut().set_prefix("\n");
        sources.push(table);
    }
    Ok(file.to_string())
}

/// The centre's file without the region's `[[source]]`.
pub(super) fn without_source(text: &str, region: &str) -> anyhow::Result<String> {
    let mut file: DocumentMut = text.parse().context("it is no TOML")?;
    sources(&mut file)?.retain(|table| table.get("region").and_then(Item::as_str) != Some(region));
    Ok(file.to_string())
}

/// A region's file whose `[regional]` is reached at `source`'s address, by no socket.
pub(super) fn with_regional(text: &str, source: &Source) -> anyhow::Result<String> {
    let mut file: DocumentMut = text.parse().context("it is no TOML")?;
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
    regional.remove("socket");
    set(regional, "host", source.host.as_str());
    set(regional, "port", i64::from(source.port));
    Ok(file.to_string())
}

/// `[[source]]`, which may be an empty array in a file that a program wrote.
fn sources(file: &mut DocumentMut) -> anyhow::Result<&mut ArrayOfTables> {
    let sources = file
        .entry("source")
        .or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    if sources.as_array().is_some_and(toml_edit::Array::is_empty) {
        *sources = Item::ArrayOfTables(ArrayOfTables::new());
    }
    sources
        .as_array_of_tables_mut()
        .context("its 'source' is not written as [[source]]")
}

/// Keeps the comment behind a value.
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
}
