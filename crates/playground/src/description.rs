//! `playground.json`: where everything is, for programs that use a playground.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use model::Shards;
use serde::{Deserialize, Serialize};

use crate::{Secrets, private_file};

/// Name of the file in the data directory that holds the [`Description`] as JSON.
pub const DESCRIPTION_FILE: &str = "playground.json";

/// A description of what runs where. It is written when everything is ready and again after each restart, and removed when the
/// playground stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Base address of the api, as `http://127.0.0.1:7070`, or `https://` with a [`Description::ca`].
    pub api: String,
    /// The preferred centre's MariaDB, the first where it has several.
    pub central: Database,
    /// The servers of the preferred centre by name, where it has several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub central_servers: BTreeMap<String, CentralServer>,
    /// The second centre, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<Standby>,
    /// The regions by name.
    pub regions: BTreeMap<String, RegionDescription>,
    /// The secrets of the tokens, where clients need one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Secrets>,
    /// The file of the authority of all certificates, where what is said is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Process ids of the preferred centre's roles.
    pub pids: CentrePids,
}

/// A MariaDB server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Path of its Unix socket.
    pub socket: PathBuf,
    /// Its port on loopback.
    pub port: u16,
    /// Its process id; 0 where it is not known.
    pub pid: u32,
}

/// One of the servers of a centre.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CentralServer {
    /// Its MariaDB.
    #[serde(flatten)]
    pub database: Database,
    /// The shards that it has, such as `0-15`.
    pub shards: Shards,
}

/// The second centre.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standby {
    /// Its MariaDB.
    #[serde(flatten)]
    pub database: Database,
    /// Process id of its keeper; missing where only the servers were started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeper: Option<u32>,
}

/// A region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionDescription {
    /// Base address of the first collector, as `http://127.0.0.1:7080`.
    pub collector: String,
    /// Base addresses of all collectors, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collectors: Vec<String>,
    /// Host and port of its beanstalkd.
    pub beanstalkd: String,
    /// Its MariaDB.
    pub mariadb: Database,
    /// Process ids of its roles and of its beanstalkd.
    pub pids: RegionPids,
}

/// Process ids of a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionPids {
    /// Its collectors.
    pub collector: Pids,
    /// Its workers.
    pub worker: Pids,
    /// Its beanstalkd.
    pub beanstalkd: u32,
}

/// Process ids of a role: a number for one process, a list for any other count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pids {
    /// The only process.
    One(u32),
    /// None, or more than one.
    Several(Vec<u32>),
}

/// Process ids of the preferred centre's roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CentrePids {
    /// The api; missing where only the servers were started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<u32>,
    /// The keeper; missing where only the servers were started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeper: Option<u32>,
}

impl Description {
    /// Reads the description of the playground that runs in `data_dir`.
    ///
    /// # Errors
    /// No playground is ready in `data_dir`, or its file cannot be understood.
    pub fn read(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join(DESCRIPTION_FILE);
        let text = std::fs::read(&path)
            .with_context(|| format!("failed to read {}: is the playground running?", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("failed to understand {}", path.display()))
    }

    /// The databases of all centres, the preferred one first.
    pub fn centres(&self) -> impl Iterator<Item = &Database> {
        let standby = self.standby.as_ref().map(|standby| &standby.database);
        std::iter::once(&self.central).chain(standby)
    }

    /// The servers of each centre with their shards, the preferred centre first.
    pub fn servers_of_centres(&self) -> impl Iterator<Item = Vec<(&Database, Shards)>> {
        let several = self.central_servers.values();
        let several: Vec<_> = several.map(|server| (&server.database, server.shards)).collect();
        let central = if several.is_empty() {
            vec![(&self.central, Shards::ALL)]
        } else {
            several
        };
        let standby = self.standby.as_ref();
        let standby = standby.map(|standby| vec![(&standby.database, Shards::ALL)]);
        std::iter::once(central).chain(standby)
    }

    /// Replaces the file as a whole, so that nobody reads half of it.
    pub(crate) fn write(&self, data_dir: &Path) -> Result<()> {
        let path = data_dir.join(DESCRIPTION_FILE);
        let text = serde_json::to_string_pretty(self).context("failed to describe the playground")?;
        // Secrets of tokens may be in it.
        private_file::write(&path, &(text + "\n"))
    }

    /// Removes the file, if it is there.
    pub(crate) fn remove(data_dir: &Path) -> Result<()> {
        let path = data_dir.join(DESCRIPTION_FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("failed to remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

impl Database {
    /// The server under `root`, which has no password over the socket and no access from elsewhere.
    #[must_use]
    pub fn root(&self) -> store::Server {
        store::Server {
            name: None,
            socket: Some(self.socket.clone()),
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: "root".to_owned(),
            password: None,
            tls_ca: None,
        }
    }
}

impl RegionDescription {
    /// Base addresses of all collectors.
    #[must_use]
    pub fn all_collectors(&self) -> &[String] {
        if self.collectors.is_empty() {
            std::slice::from_ref(&self.collector)
        } else {
            &self.collectors
        }
    }
}

impl Pids {
    /// All of them, in the order of the processes' numbers.
    #[must_use]
    pub fn all(&self) -> &[u32] {
        match self {
            Self::One(pid) => std::slice::from_ref(pid),
            Self::Several(pids) => pids,
        }
    }
}

impl From<Vec<u32>> for Pids {
    fn from(pids: Vec<u32>) -> Self {
        match *pids {
            [pid] => Self::One(pid),
            _ => Self::Several(pids),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented form.
    const EXAMPLE: &str = r#"{"api":"http://127.0.0.1:7070",
        "central":{"socket":"/d/central/mariadb.sock","port":7071,"pid":1},
        "regions":{"eu":{"collector":"http://127.0.0.1:7080","beanstalkd":"127.0.0.1:7081",
            "mariadb":{"socket":"/d/eu/mariadb/mariadb.sock","port":7082,"pid":2},
            "pids":{"collector":3,"worker":[4,8],"beanstalkd":5}}},
        "pids":{"api":6,"keeper":7}}"#;

    #[test]
    fn reads_and_writes_the_documented_form() {
        let description: Description = serde_json::from_str(EXAMPLE).unwrap();
        let eu = &description.regions["eu"];
        assert_eq!(
            (eu.pids.collector.all(), eu.pids.worker.all()),
            (&[3][..], &[4, 8][..])
        );
        let written = serde_json::to_value(&description).unwrap();
        assert_eq!(
            written,
            serde_json::from_str::<serde_json::Value>(EXAMPLE).unwrap()
        );
    }

    #[test]
    fn a_second_centre_is_one_field_more() {
        const STANDBY: &str = r#"{"socket":"/d/standby/mariadb.sock","port":7073,"pid":9,"keeper":10}"#;
        let text = EXAMPLE.replacen(r#""regions""#, &format!(r#""standby":{STANDBY},"regions""#), 1);
        let description: Description = serde_json::from_str(&text).unwrap();
        assert_eq!(
            description
                .centres()
                .map(|centre| centre.port)
                .collect::<Vec<_>>(),
            [7071, 7073]
        );
        let written = serde_json::to_value(&description).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }

    #[test]
    fn several_servers_are_one_field_more() {
        const SERVERS: &str = r#"{"c1":{"socket":"/d/c1/mariadb.sock","port":7071,"pid":1,"shards":"0-31"}}"#;
        let text = EXAMPLE.replacen(
            r#""regions""#,
            &format!(r#""central_servers":{SERVERS},"regions""#),
            1,
        );
        let description: Description = serde_json::from_str(&text).unwrap();
        assert_eq!(description.central_servers["c1"].shards, Shards::ALL);
        let written = serde_json::to_value(&description).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }

    #[test]
    fn tokens_are_one_field_more() {
        const TOKENS: &str = r#"{"write":"et_w","read":"et_r","admin":"et_a"}"#;
        let text = EXAMPLE.replacen(r#""regions""#, &format!(r#""tokens":{TOKENS},"regions""#), 1);
        let description: Description = serde_json::from_str(&text).unwrap();
        assert_eq!(description.tokens.as_ref().unwrap().read, "et_r");
        let written = serde_json::to_value(&description).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }

    #[test]
    fn replaced_as_a_whole_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let description: Description = serde_json::from_str(EXAMPLE).unwrap();
        description.write(dir.path()).unwrap();
        description.write(dir.path()).unwrap();
        assert_eq!(Description::read(dir.path()).unwrap(), description);
        Description::remove(dir.path()).unwrap();
        Description::remove(dir.path()).unwrap();
        assert!(
            Description::read(dir.path())
                .unwrap_err()
                .to_string()
                .contains("is the playground running?")
        );
    }
}
