//! The configuration file, in TOML: one section per role or server, each owned by its crate.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use serde::Deserialize;
use store::Members;
use store::setup::{RegionAccounts, Site};

/// The section `[region]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegionSection {
    pub(crate) name: String,
}

/// A configuration file. A region's file has `region`, `queue`, `regional`, `replication`, `collector`, `worker`;
/// the centre's `central`, `central_server`, `replication`, `analyst`, `source`, `api`, `keeper`, `other_centre`. Both have `replication` and
/// `housekeeping`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) region: Option<RegionSection>,
    pub(crate) queue: Option<queue::Config>,
    pub(crate) regional: Option<store::Server>,
    pub(crate) collector: Option<collector::Config>,
    pub(crate) worker: Option<worker::Config>,
    pub(crate) central: Option<store::Server>,
    /// The servers that the centre consists of, under the account of `central`, where these are several.
    #[serde(default)]
    pub(crate) central_server: Vec<store::CentralServer>,
    pub(crate) analyst: Option<store::Account>,
    #[serde(default)]
    pub(crate) source: Vec<store::Source>,
    pub(crate) api: Option<api::Config>,
    pub(crate) keeper: Option<keeper::Config>,
    #[serde(default)]
    pub(crate) other_centre: Vec<store::OtherCentre>,
    /// The keeper's account: in every region, at its own centre and at others.
    pub(crate) housekeeping: Option<store::Account>,
    /// The account for replication. In a region: the one under which the centre reads the binlog. At the centre: the one it uses.
    pub(crate) replication: Option<store::Account>,
    /// What holds for every client of a role.
    #[serde(default)]
    pub(crate) limits: gate::Limits,
    #[serde(skip)]
    pub(crate) file: File,
}

/// The file that a configuration comes from, for sentences about what it lacks.
#[derive(Debug, Default)]
pub(crate) struct File {
    path: PathBuf,
    /// The site that its sections are about; `None` where they are about both, or only about what both have.
    site: Option<Site>,
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// A file that cannot be read, or has unknown keys or values that are not allowed; each names the file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("configuration {} cannot be read", path.display()))?;
        let mut config =
            Self::parse(&text).with_context(|| format!("configuration {} is wrong", path.display()))?;
        if let Some(queue) = &config.queue {
            queue
                .check()
                .with_context(|| format!("configuration {} is refused", path.display()))?;
        }
        if config.central.is_some() {
            config
                .members()
                .with_context(|| format!("configuration {} is refused", path.display()))?;
        }
        config.file = File {
            path: path.to_owned(),
            site: config.site(),
        };
        Ok(config)
    }

    /// The accounts that the centre has in its regions.
    ///
    /// # Errors
    /// A section that is missing.
    pub(crate) fn region_accounts(&self) -> anyhow::Result<RegionAccounts> {
        let account = |section: &Option<store::Account>, name| self.file.section(section.clone(), name);
        Ok(RegionAccounts {
            replication: account(&self.replication, "replication")?,
            housekeeping: account(&self.housekeeping, "housekeeping")?,
        })
    }

    /// The servers of the centre, under the account of `[central]`.
    ///
    /// # Errors
    /// No `[central]`; `[[central_server]]` sections that do not make one centre.
    pub(crate) fn members(&self) -> anyhow::Result<Members> {
        let central = self.file.section(self.central.as_ref(), "central")?;
        Ok(Members::of(central, &self.central_server)?)
    }

    /// The servers of the centre, under the keeper's account.
    ///
    /// # Errors
    /// As of [`Self::members`], or no `[housekeeping]`.
    pub(crate) fn members_as_keeper(&self) -> anyhow::Result<(Members, store::Account)> {
        let account = self.file.section(self.housekeeping.clone(), "housekeeping")?;
        let members = self.members()?.with_user(&account.user, Some(&account.password));
        Ok((members, account))
    }

    /// The site that the sections are about, if it is one.
    fn site(&self) -> Option<Site> {
        let of_region = self.region.is_some()
            || self.queue.is_some()
            || self.regional.is_some()
            || self.collector.is_some()
            || self.worker.is_some();
        let of_centre = self.central.is_some()
            || self.analyst.is_some()
            || self.api.is_some()
            || self.keeper.is_some()
            || !self.central_server.is_empty()
            || !self.source.is_empty();
        match (of_region, of_centre) {
            (true, false) => Some(Site::Regional),
            (false, true) => Some(Site::Central),
            _ => None,
        }
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = toml::from_str(text)?;
        if !config.central_server.is_empty() {
            let table: toml::Table = toml::from_str(text)?;
            let central = table.get("central").and_then(toml::Value::as_table);
            let central = central.context(
                "it has [[central_server]] and no [central], whose account is used on each server",
            )?;
            for key in ["socket", "host", "port"] {
                ensure!(
                    !central.contains_key(key),
                    "[central] has {key}, and there are [[central_server]] sections: these have the addresses then"
                );
            }
        }
        Ok(config)
    }
}

impl File {
    /// The section that a command cannot do without.
    ///
    /// # Errors
    /// A sentence, where it is missing, with the file's name, and whether it is the other site's file.
    pub(crate) fn section<T>(&self, section: Option<T>, name: &str) -> anyhow::Result<T> {
        section.ok_or_else(|| self.lacks(&format!("no [{name}] section"), site_of(name)))
    }

    /// The error for a configuration that has `nothing` of what a command needs from `wanted`'s file.
    pub(crate) fn lacks(&self, nothing: &str, wanted: Option<Site>) -> anyhow::Error {
        let hint = match (self.site, wanted) {
            (Some(Site::Central), Some(Site::Regional)) => {
                ": this is a centre's file, and the command needs a region's"
            }
            (Some(Site::Regional), Some(Site::Central)) => {
                ": this is a region's file, and the command needs the centre's"
            }
            _ => "",
        };
        anyhow!("configuration {} has {nothing}{hint}", self.path.display())
    }
}

/// The site whose file has a section; `None` for `[replication]` and `[housekeeping]`, which both have.
fn site_of(section: &str) -> Option<Site> {
    match section {
        "region" | "queue" | "regional" | "collector" | "worker" => Some(Site::Regional),
        "central" | "central_server" | "analyst" | "source" | "api" | "keeper" => Some(Site::Central),
        _ => None,
    }
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
        let with_another = SAMPLE.replace("# [[other_centre]]", "[[other_centre]]");
        let with_another = ["name", "host", "port"].iter().fold(with_another, |text, key| {
            text.replacen(&format!("\n# {key} = "), &format!("\n{key} = "), 1)
        });
        assert_eq!(Config::parse(&with_another).unwrap().other_centre.len(), 1);
    }

    /// Each line that is commented out is a setting that exists, with its default; but for those that have none.
    #[test]
    fn the_sample_shows_the_defaults() {
        const WITHOUT_DEFAULT: [&str; 4] = ["#tokens_file", "#keep_months", "#tls =", "#tls_ca"];
        let shown: String = SAMPLE
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting)
                    if setting.starts_with(|c: char| c.is_ascii_lowercase())
                        && !WITHOUT_DEFAULT.iter().any(|name| line.starts_with(name)) =>
                {
                    format!("{setting}\n")
                }
                _ => format!("{line}\n"),
            })
            .collect();
        assert_ne!(shown, SAMPLE);
        let sections = |text| {
            let config = Config::parse(text).unwrap();
            let (collector, worker) = (config.collector.unwrap(), config.worker.unwrap());
            format!(
                "{:?} {collector:?} {worker:?} {:?} {:?}",
                config.queue, config.regional, config.keeper
            )
        };
        assert_eq!(sections(&shown), sections(SAMPLE));
        for name in WITHOUT_DEFAULT {
            Config::parse(&SAMPLE.replace(name, &name[1..])).unwrap();
        }
        let too_seldom = SAMPLE.replace("#pack_interval_s = 30", "pack_interval_s = 61");
        let refusal = format!("{:#}", Config::parse(&too_seldom).unwrap_err());
        assert!(
            refusal.contains("pack_interval_s is 61, and must be from 1 to 60"),
            "{refusal}"
        );
    }

    #[test]
    fn a_missing_section_is_missed_in_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = |file: &str, text: &str, name: &str| {
            let path = dir.path().join(file);
            std::fs::write(&path, text).unwrap();
            let config = Config::read(&path).unwrap();
            config.file.section(None::<()>, name).unwrap_err().to_string()
        };
        let central = refusal("central.toml", "[api]\nlisten = '127.0.0.1:7070'\n", "queue");
        assert!(
            central.ends_with(
                "central.toml has no [queue] section: this is a centre's file, and the command needs a region's"
            ),
            "{central}"
        );
        let region = refusal("eu.toml", "[region]\nname = 'eu'\n", "api");
        assert!(
            region.ends_with("this is a region's file, and the command needs the centre's"),
            "{region}"
        );
        let same_side = refusal("eu.toml", "[region]\nname = 'eu'\n", "queue");
        assert!(
            same_side.ends_with("eu.toml has no [queue] section"),
            "{same_side}"
        );
    }

    #[test]
    fn unknown_keys_are_refused() {
        let wrong = SAMPLE.replacen("[queue]", "[queue]\njobs_maximum = 1", 1);
        let error = format!("{:#}", Config::parse(&wrong).unwrap_err());
        assert!(error.contains("jobs_maximum"), "{error}");
    }
}
