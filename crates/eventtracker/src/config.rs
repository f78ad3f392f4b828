//! The configuration file: one section per role or server, each owned by its crate.

use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Region {
    pub(crate) name: String,
}

/// A region's file has `region`, `queue`, `regional`, `replication`, `collector`, `worker`;
/// the centre's `central`, `replication`, `analyst`, `source`, `api`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) region: Option<Region>,
    pub(crate) queue: Option<queue::Config>,
    pub(crate) regional: Option<store::Server>,
    pub(crate) collector: Option<collector::Config>,
    pub(crate) worker: Option<worker::Config>,
    pub(crate) central: Option<store::Server>,
    pub(crate) analyst: Option<store::Account>,
    #[serde(default)]
    pub(crate) source: Vec<store::Source>,
    pub(crate) api: Option<api::Config>,
    /// In a region: the account under which the centre reads the binlog. At the centre: the account it uses.
    pub(crate) replication: Option<store::Account>,
}

impl Config {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("configuration {} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| format!("configuration {} is wrong", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(toml::from_str(text)?)
    }
}

/// The section that a command cannot do without.
pub(crate) fn section<T>(section: Option<T>, name: &str) -> anyhow::Result<T> {
    section.with_context(|| format!("the configuration has no [{name}] section"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../../deploy/eventtracker.toml");

    #[test]
    fn the_sample_configuration_is_complete() {
        let config = Config::parse(SAMPLE).unwrap();
        assert!(config.region.is_some() && config.queue.is_some() && config.regional.is_some());
        assert!(config.collector.is_some() && config.worker.is_some() && config.replication.is_some());
        assert!(config.central.is_some() && config.analyst.is_some() && config.api.is_some());
        assert!(!config.source.is_empty());
    }

    #[test]
    fn unknown_keys_are_refused() {
        let wrong = SAMPLE.replacen("[queue]", "[queue]\njobs_maximum = 1", 1);
        let error = format!("{:#}", Config::parse(&wrong).unwrap_err());
        assert!(error.contains("jobs_maximum"), "{error}");
    }
}
