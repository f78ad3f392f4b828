//! The Debian programs that the playground runs.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Directories where Debian keeps servers, which are often not on the `PATH` of an ordinary account.
const FURTHER_DIRECTORIES: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// Paths of the programs.
#[derive(Debug)]
pub(crate) struct Programs {
    pub mariadbd: PathBuf,
    pub mariadb_install_db: PathBuf,
    pub beanstalkd: PathBuf,
    pub setpriv: PathBuf,
}

impl Programs {
    /// Looks for the programs on the `PATH` and in [`FURTHER_DIRECTORIES`].
    ///
    /// # Errors
    /// One sentence that names every package to install.
    pub(crate) fn find() -> Result<Self> {
        let path = std::env::var("PATH").unwrap_or_default();
        Self::find_on(&format!("{path}:{FURTHER_DIRECTORIES}"))
    }

    fn find_on(path: &str) -> Result<Self> {
        let mut missing = Vec::new();
        let mut find = |program: &'static str, package: &'static str| {
            let found = std::env::split_paths(path)
                .map(|dir| dir.join(program))
                .find(|file| is_program(file));
            if found.is_none() {
                missing.push((program, package));
            }
            found.unwrap_or_default()
        };
        let programs = Self {
            mariadbd: find("mariadbd", "mariadb-server"),
            mariadb_install_db: find("mariadb-install-db", "mariadb-server"),
            beanstalkd: find("beanstalkd", "beanstalkd"),
            setpriv: find("setpriv", "util-linux"),
        };
        if missing.is_empty() {
            return Ok(programs);
        }
        let names: Vec<_> = missing.iter().map(|&(program, _)| program).collect();
        let mut packages: Vec<_> = missing.iter().map(|&(_, package)| package).collect();
        packages.dedup();
        let verb = if names.len() == 1 { "is" } else { "are" };
        bail!(
            "{} {verb} not installed: apt-get install {}",
            names.join(", "),
            packages.join(" ")
        );
    }
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_name_their_packages() {
        let error = Programs::find_on("/nowhere").unwrap_err().to_string();
        assert_eq!(
            error,
            "mariadbd, mariadb-install-db, beanstalkd, setpriv are not installed: \
             apt-get install mariadb-server beanstalkd util-linux"
        );
    }
}
