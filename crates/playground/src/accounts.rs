//! The roles' accounts in the databases, with passwords that are made once and kept in files.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rand::RngExt;
use rand::distr::Alphanumeric;
use store::setup::RegionAccounts;
use store::{Account, Password};

use crate::claim::create_private_dir;
use crate::private_file;

/// Characters of a password: about 190 bits.
const PASSWORD_LENGTH: usize = 32;

/// The accounts, one for each role.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub worker: Account,
    pub replication: Account,
    pub api: Account,
    pub analyst: Account,
    pub housekeeping: Account,
}

impl Accounts {
    /// The accounts of a data directory; passwords that are missing are made.
    pub(crate) fn in_dir(data_dir: &Path) -> Result<Self> {
        let dir = data_dir.join("passwords");
        create_private_dir(&dir)?;
        let account = |role: &str| -> Result<Account> {
            let user = format!("eventtracker_{role}");
            Ok(Account {
                password: Password::File(password_file(&dir.join(&user))?),
                user,
            })
        };
        Ok(Self {
            worker: account("worker")?,
            replication: account("replication")?,
            api: account("api")?,
            analyst: account("analyst")?,
            housekeeping: account("keeper")?,
        })
    }
}

impl Accounts {
    /// The accounts that a centre has in its regions.
    pub(crate) fn of_regions(&self) -> RegionAccounts {
        RegionAccounts {
            replication: self.replication.clone(),
            housekeeping: self.housekeeping.clone(),
        }
    }
}

/// Makes a password if there is none, readable for nobody else, and in one step, so that it is never half of one.
fn password_file(path: &Path) -> Result<PathBuf> {
    if !path.exists() {
        let password: String = rand::rng()
            .sample_iter(Alphanumeric)
            .take(PASSWORD_LENGTH)
            .map(char::from)
            .collect();
        private_file::write(path, &format!("{password}\n"))?;
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_password_is_made_once_and_for_nobody_else_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eventtracker_api");
        password_file(&path).unwrap();
        let first = std::fs::read_to_string(&path).unwrap();
        password_file(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
        assert_eq!(first.trim().len(), PASSWORD_LENGTH);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
