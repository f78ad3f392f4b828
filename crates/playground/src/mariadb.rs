//! The MariaDB servers: installed, configured from `deploy/`, given schema and accounts.

use std::ffi::OsString;
use std::fmt::Write;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use store::setup::{Patience, Role, Site};
use tokio::process::Command;

use crate::accounts::Accounts;
use crate::authority::Authority;
use crate::centre::CentreServer;
use crate::claim::create_private_dir;
use crate::description::Database;
use crate::layout::{Layout, RegionLayout};
use crate::memory::Memory;
use crate::programs::Programs;

const REGION_OPTIONS: &str = include_str!("../../../deploy/mariadb-region.cnf");
const CENTRAL_OPTIONS: &str = include_str!("../../../deploy/mariadb-central.cnf");

/// The text in the region's file that an operator replaces by the region's number. MariaDB refuses to start with it.
const NUMBER_PLACEHOLDER: &str = "<number>";

/// The lines before the playground's own values: whatever section the file from `deploy/` ends with, these belong to the server.
const OWN_VALUES: &str = "\n# The playground's own values.\n[mariadbd]\n";

/// Longest wait for the system tables: writing them takes half a second, except on a machine with a very slow disk.
const INSTALL_LIMIT: Duration = Duration::from_secs(60);

/// Caches that are small, since several servers share a developer's machine.
const SMALL: &str = "aria_pagecache_buffer_size = 8M
key_buffer_size = 1M
table_open_cache = 400
";

/// The statement that leaves only root over the socket of the accounts that an installation comes with; `mariadb.sys` is locked and owns
/// the views of `sys`.
const SECURE: &str = "DELETE FROM mysql.global_priv
WHERE User <> 'mariadb.sys' AND NOT (User = 'root' AND Host = 'localhost');
";

/// A MariaDB server of a region or a centre.
#[derive(Debug)]
pub(crate) struct MariaDb {
    pub side: Site,
    /// The directory of its data and option file.
    dir: PathBuf,
    port: u16,
    /// The option file from `deploy/`, with values of its own.
    options: String,
    memory: Memory,
    is_for_people: bool,
    /// The authority of its certificate, if it has one.
    authority: Option<Authority>,
}

impl MariaDb {
    pub(crate) fn of_region(region: &RegionLayout) -> Self {
        let edited = REGION_OPTIONS.replace(NUMBER_PLACEHOLDER, &region.number.to_string());
        Self {
            side: Site::Regional,
            dir: region.dir.join("mariadb"),
            port: region.mariadb_port(),
            options: edited + OWN_VALUES,
            memory: Memory::SMALL,
            is_for_people: false,
            authority: None,
        }
    }

    pub(crate) fn of_centre(layout: &Layout, server: &CentreServer) -> Self {
        // The sample's filters are those of a centre that is one server; the server takes all that it is given.
        let sample = CENTRAL_OPTIONS
            .lines()
            .filter(|line| !line.contains(".replicate_wild_do_table"));
        let sample: String = sample.map(|line| format!("{line}\n")).collect();
        let mut options = format!("{sample}{OWN_VALUES}server_id = {}\n", server.server_id);
        for region in layout.attached() {
            for tables in store::wild_do_tables(server.shards) {
                options.push_str(&format!("{}.replicate_wild_do_table = {tables}\n", region.name));
            }
        }
        Self {
            side: Site::Central,
            dir: server.dir.clone(),
            port: server.port,
            options,
            memory: Memory::SMALL,
            is_for_people: false,
            authority: None,
        }
    }

    /// The same server with memory in proportion to the machine and time zones, if people use it.
    pub(crate) fn for_people(self, is_for_people: bool) -> Self {
        if !is_for_people {
            return self;
        }
        let memory = match self.side {
            Site::Regional => Memory::of_region(),
            Site::Central => Memory::of_centre(),
        };
        Self {
            memory,
            is_for_people: true,
            ..self
        }
    }

    /// The same server with a certificate of `authority`, and accounts that have to encrypt.
    pub(crate) fn encrypted(self, authority: Option<&Authority>) -> Self {
        Self {
            authority: authority.cloned(),
            ..self
        }
    }

    /// How it is reached, as a description has it.
    pub(crate) fn database(&self, pid: u32) -> Database {
        Database {
            socket: self.dir.join("mariadb.sock"),
            port: self.port,
            pid,
        }
    }

    /// Writes the option file and, at the first start, the system tables. These are made under another name, which is changed at the end:
    /// a data directory that is there is complete.
    ///
    /// # Errors
    /// `mariadb-install-db` failed; what it wrote is thrown away at the next try.
    pub(crate) async fn install(&self, programs: &Programs) -> Result<()> {
        create_private_dir(&self.temporary())?;
        self.write_options()?;
        let data = self.data();
        if data.exists() {
            return Ok(());
        }
        let unfinished = self.dir.join("data.new");
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished)
                .with_context(|| format!("failed to remove {}", unfinished.display()))?;
        }
        let secure = self.dir.join("secure.sql");
        std::fs::write(&secure, SECURE).with_context(|| format!("failed to write {}", secure.display()))?;
        let mut command = Command::new(&programs.mariadb_install_db);
        command
            .args([
                "--no-defaults",
                "--force",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
            ])
            .args(["--skip-name-resolve", "--innodb-log-file-size=32M"])
            .arg(option("--datadir=", &unfinished))
            .arg(option("--tmpdir=", &self.temporary()))
            .arg(option("--extra-file=", &secure))
            .args(is_root()?.then_some("--user=root"))
            .kill_on_drop(true);
        let output = tokio::time::timeout(INSTALL_LIMIT, command.output())
            .await
            .with_context(|| format!("mariadb-install-db took more than {}s", INSTALL_LIMIT.as_secs()))?
            .context("failed to run mariadb-install-db")?;
        ensure!(
            output.status.success(),
            "mariadb-install-db failed for {} ({}):\n{}{}",
            data.display(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        std::fs::rename(&unfinished, &data).with_context(|| format!("failed to name {}", data.display()))
    }

    /// Arguments of `mariadbd`.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        vec![
            option("--defaults-file=", &self.option_file()),
            option("--datadir=", &self.data()),
        ]
    }

    /// Succeeds once the server answers over its socket.
    pub(crate) async fn answers(&self) -> Result<()> {
        Ok(self.database(0).root().connect().await?.disconnect().await?)
    }

    /// Puts the schema and the roles' accounts in place.
    pub(crate) async fn set_up(&self, accounts: &Accounts) -> Result<()> {
        let root = store::Server {
            tls_ca: self.authority.as_ref().map(Authority::ca),
            ..self.database(0).root()
        };
        store::setup::apply(&root, self.side, Patience::EMPTY, |_| {}, pending()).await?;
        let roles = match self.side {
            Site::Regional => [
                (&accounts.worker, Role::Worker),
                (&accounts.replication, Role::Replication),
                (&accounts.housekeeping, Role::RegionalKeeper),
            ],
            Site::Central => [
                (&accounts.api, Role::Api),
                (&accounts.analyst, Role::Analyst),
                (&accounts.housekeeping, Role::CentralKeeper),
            ],
        };
        for (account, role) in roles {
            role.ensure(account, &root).await?;
        }
        if self.is_for_people
            && self.side == Site::Central
            && let Err(error) = store::setup::load_zones(&root).await
        {
            // Whatever is in UTC does without time zones.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "MariaDB has no time zones"
            );
        }
        Ok(())
    }

    fn write_options(&self) -> Result<()> {
        let mut text = self.options.clone();
        let files = [
            ("datadir", self.data()),
            ("tmpdir", self.temporary()),
            ("socket", self.dir.join("mariadb.sock")),
            ("pid_file", self.dir.join("mariadb.pid")),
        ];
        for (name, path) in files {
            writeln!(text, "{name} = {}", path.display())?;
        }
        if let Some(authority) = &self.authority {
            let (certificate, key) = (authority.certificate(), authority.key());
            writeln!(
                text,
                "ssl_cert = {}\nssl_key = {}",
                certificate.display(),
                key.display()
            )?;
        }
        writeln!(text, "bind_address = 127.0.0.1\nport = {}", self.port)?;
        let Memory { buffer_pool, log } = self.memory;
        writeln!(
            text,
            "innodb_buffer_pool_size = {buffer_pool}\ninnodb_log_file_size = {log}"
        )?;
        text.push_str(SMALL);
        if is_root()? {
            text.push_str("user = root\n");
        }
        let path = self.option_file();
        std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))
    }

    fn option_file(&self) -> PathBuf {
        self.dir.join("my.cnf")
    }

    /// The directory for temporary tables. Each server has its own: at its start it deletes every such table there, whoever uses it.
    fn temporary(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }
}

fn option(name: &str, path: &Path) -> OsString {
    let mut text = OsString::from(name);
    text.push(path);
    text
}

/// Whether this runs as root: then `mariadbd` has to be told to, too.
fn is_root() -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata("/proc/self")
        .context("failed to find out who runs this")?
        .uid()
        == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two regions with the same ids would be counted twice or not at all, without a word.
    #[tokio::test]
    async fn a_regions_file_that_nobody_edited_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("my.cnf");
        let programs = Programs::find().unwrap();
        let explain = async |options: &str| {
            std::fs::write(&file, options).unwrap();
            let mut command = Command::new(&programs.mariadbd);
            command
                .arg(option("--defaults-file=", &file))
                .args(["--verbose", "--help"]);
            command.output().await.unwrap()
        };
        let refused = explain(REGION_OPTIONS).await;
        assert!(!refused.status.success());
        let log = String::from_utf8_lossy(&refused.stderr);
        assert!(
            log.contains("'server_id'") && log.contains(NUMBER_PLACEHOLDER),
            "{log}"
        );
        let edited = explain(&REGION_OPTIONS.replace(NUMBER_PLACEHOLDER, "7")).await;
        assert!(
            edited.status.success(),
            "{}",
            String::from_utf8_lossy(&edited.stderr)
        );
    }
}
