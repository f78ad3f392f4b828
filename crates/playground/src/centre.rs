//! The files and ports that belong to a centre.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// The centre that the api prefers.
pub(crate) const CENTRAL: &str = "central";

/// The second centre.
pub(crate) const STANDBY: &str = "standby";

/// A central MariaDB with its keeper.
#[derive(Debug, Clone)]
pub(crate) struct Centre {
    /// The name by which the other centre's file, the processes and the directory call it.
    pub name: &'static str,
    pub dir: PathBuf,
    pub config: PathBuf,
    /// MariaDB's `server_id`, which no two centres share: a source ends the connection of a replica when another one comes with its id.
    pub server_id: u32,
    pub mariadb_port: u16,
    pub keeper_port: u16,
}

impl Centre {
    pub(crate) fn central(dir: &Path, api_port: u16) -> Self {
        Self::new(dir, CENTRAL, 100_000, api_port + 1)
    }

    pub(crate) fn standby(dir: &Path, api_port: u16) -> Self {
        Self::new(dir, STANDBY, 100_001, api_port + 3)
    }

    /// `port` is the MariaDB's; the keeper's follows.
    fn new(dir: &Path, name: &'static str, server_id: u32, port: u16) -> Self {
        Self {
            name,
            dir: dir.join(name),
            config: dir.join(format!("{name}.toml")),
            server_id,
            mariadb_port: port,
            keeper_port: port + 1,
        }
    }

    /// Checks that a second centre, once there, is started again: a keeper that is not told of it would purge what it has not applied yet.
    ///
    /// # Errors
    /// The data directory holds a second centre, and `standby` is none.
    pub(crate) fn check_none_is_left_out(dir: &Path, standby: Option<&Self>) -> Result<()> {
        let dir = dir.join(STANDBY);
        ensure!(
            standby.is_some() || !dir.exists(),
            "the data directory holds a second centre as well: pass --standby, too, or remove {} for good",
            dir.display()
        );
        Ok(())
    }
}
