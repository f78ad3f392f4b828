//! The tokens of a playground that has some: one for each scope, the same at every start.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gate::{Entry, Scope, Secret};
use serde::{Deserialize, Serialize};

use crate::private_file;

/// Name of the file in the data directory that the roles read.
const TOKENS_FILE: &str = "tokens.toml";

/// Name of the file in the data directory that holds the secrets for the next start.
const SECRETS_FILE: &str = "token-secrets.json";

/// The secrets of the tokens, by their scopes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// That of the token that may send events and annotations.
    pub write: String,
    /// That of the token that may read every name.
    pub read: String,
    /// That of the token that may do everything.
    pub admin: String,
}

/// The file of tokens of the data directory `dir`.
pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join(TOKENS_FILE)
}

impl Secrets {
    /// The secrets of the data directory, made at its first start with tokens, and with them the file of tokens, which somebody may change then.
    pub(crate) fn in_dir(dir: &Path) -> Result<Self> {
        let kept = dir.join(SECRETS_FILE);
        if let Ok(text) = std::fs::read(&kept) {
            return serde_json::from_slice(&text)
                .with_context(|| format!("failed to understand {}", kept.display()));
        }
        let secret = || Secret::generate().map(|secret| secret.as_str().to_owned());
        let secrets = Self {
            write: secret()?,
            read: secret()?,
            admin: secret()?,
        };
        private_file::write(&path(dir), &secrets.entries()?)?;
        private_file::write(&kept, &serde_json::to_string(&secrets)?)?;
        Ok(secrets)
    }

    fn entries(&self) -> Result<String> {
        let entry = |name: &str, secret: &str, scopes: &[Scope]| -> Result<String> {
            let entry = Entry {
                name: name.to_owned(),
                sha256: Secret::new(secret)?.hash().to_string(),
                scopes: scopes.to_vec(),
                prefixes: None,
                weight: None,
                events_per_s: None,
                names_max: None,
                expires: None,
                origins: None,
            };
            Ok(entry.to_toml()?)
        };
        let all = [
            entry("write", &self.write, &[Scope::Write])?,
            entry("read", &self.read, &[Scope::Read])?,
            entry("admin", &self.admin, &[Scope::Write, Scope::Read, Scope::Admin])?,
        ];
        Ok(all.join("\n"))
    }
}
