//! The address of one MariaDB server, and connections to it.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::utf8;
use mysql_async::{Conn, OptsBuilder};
use serde::Deserialize;

use crate::limits::{CONNECT, CONNECT_LIMIT};
use crate::{Account, Error, tls};

/// Most ids in one `IN`. From a thousand on (`in_predicate_conversion_threshold`), MariaDB joins with a table of them instead of looking
/// each up in the index, and locks rows that nobody asked for.
pub(crate) const IDS_PER_STATEMENT: usize = 500;

/// The statements that every session begins with: UTC, so that TIMESTAMP means unix time; strict, so that nothing is cut silently.
const SESSION_SETUP: [&str; 2] = [
    "SET time_zone = '+00:00'",
    "SET sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
];

/// The place where a password is kept; it is never in the configuration itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Password {
    /// The environment variable of this name.
    #[serde(rename = "env")]
    Env(String),
    /// The file at this path, whose first line is the password.
    #[serde(rename = "file")]
    File(PathBuf),
}

/// One account on one server, which is reached by socket, or by host and port.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// What it is called among the servers of its centre, where that has several; sentences name it.
    #[serde(skip)]
    pub name: Option<String>,
    /// Path of the Unix socket; preferred over `host` where given.
    pub socket: Option<PathBuf>,
    /// Host name or address; `127.0.0.1` by default.
    #[serde(default = "default_host")]
    pub host: String,
    /// TCP port; 3306 by default.
    #[serde(default = "default_port")]
    pub port: u16,
    /// The account's name in MariaDB.
    pub user: String,
    /// The account's password; `None` for an account that needs none, over the socket.
    pub password: Option<Password>,
    /// A file in PEM with the certificates of the authorities that the server's own may be of. With it, connections by host and port are
    /// encrypted, and only a server whose certificate names `host` is spoken to. Over the socket nothing is encrypted.
    pub tls_ca: Option<PathBuf>,
}

fn default_host() -> String {
    "127.0.0.1".to_owned()
}

/// MariaDB's port.
pub(crate) const DEFAULT_PORT: u16 = 3306;

fn default_port() -> u16 {
    DEFAULT_PORT
}

impl Server {
    /// The server at an address, under `account`.
    #[must_use]
    pub fn at(host: &str, port: u16, tls_ca: Option<&Path>, account: &Account) -> Self {
        Self {
            name: None,
            socket: None,
            host: host.to_owned(),
            port,
            user: account.user.clone(),
            password: Some(account.password.clone()),
            tls_ca: tls_ca.map(Path::to_owned),
        }
    }

    /// Whether another one has the same address.
    pub(crate) fn is_at_same_place(&self, other: &Self) -> bool {
        let place = |server: &Self| match &server.socket {
            Some(socket) => (Some(socket.clone()), String::new(), 0),
            None => (None, server.host.clone(), server.port),
        };
        place(self) == place(other)
    }

    /// The same server under another account.
    #[must_use]
    pub fn with_user(&self, user: &str, password: Option<Password>) -> Self {
        Self {
            user: user.to_owned(),
            password,
            ..self.clone()
        }
    }

    /// The account, for an administrator to set it up.
    ///
    /// # Errors
    /// `NoPassword`: an account that anybody could use is never set up.
    pub fn account(&self) -> Result<Account, Error> {
        let password = self.password.clone().ok_or_else(|| Error::NoPassword {
            user: self.user.clone(),
        })?;
        Ok(Account {
            user: self.user.clone(),
            password,
        })
    }

    /// A new connection in UTC and strict mode.
    ///
    /// # Errors
    /// `PasswordVariable` or `PasswordFile` for a password that cannot be read, `Authorities` for a `tls_ca` that cannot be used; `Query`
    /// where the server refused, is not there or has a certificate that is not accepted, `TimedOut` after 5 s.
    pub async fn connect(&self) -> Result<Conn, Error> {
        self.connect_with(&[]).await
    }

    /// A new connection on which `further_setup` was run, too.
    pub(crate) async fn connect_with(&self, further_setup: &[String]) -> Result<Conn, Error> {
        let options = self.options(further_setup)?;
        self.limited(CONNECT, CONNECT_LIMIT, Conn::new(options)).await
    }

    /// The driver's options of a connection. Reads the password and the authorities.
    pub(crate) fn options(&self, further_setup: &[String]) -> Result<OptsBuilder, Error> {
        let setup = SESSION_SETUP
            .iter()
            .map(|&s| s.to_owned())
            .chain(further_setup.iter().cloned());
        // Over a socket nothing is encrypted.
        let tls_ca = self.tls_ca.as_deref().filter(|_| self.socket.is_none());
        Ok(OptsBuilder::default()
            .ssl_opts(tls_ca.map(tls::authorities).transpose()?)
            .ip_or_hostname(self.host.clone())
            .tcp_port(self.port)
            .socket(self.socket.as_ref().map(|path| path.display().to_string()))
            .prefer_socket(false)
            .user(Some(self.user.clone()))
            .pass(self.password.as_ref().map(|p| p.read(&self.user)).transpose()?)
            .setup(setup.collect::<Vec<_>>()))
    }

    /// Runs `call` within `limit`. After an error the connection that `call` used must be dropped.
    pub(crate) async fn limited<T>(
        &self,
        action: &'static str,
        limit: Duration,
        call: impl Future<Output = Result<T, mysql_async::Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(match certificate::refusal(&source) {
                Some(reason) => Error::Certificate {
                    server: self.to_string(),
                    reason,
                },
                None => Error::Query {
                    action,
                    server: self.to_string(),
                    source,
                },
            }),
            Err(_) => Err(Error::TimedOut {
                action,
                server: self.to_string(),
                limit,
            }),
        }
    }
}

impl Password {
    /// Reads the password of account `user`.
    ///
    /// # Errors
    /// `PasswordVariable` or `PasswordFile` where there is none to read.
    pub fn read(&self, user: &str) -> Result<String, Error> {
        match self {
            Self::Env(name) => std::env::var(name).map_err(|_| Error::PasswordVariable {
                name: name.clone(),
                user: user.to_owned(),
            }),
            Self::File(path) => std::fs::read_to_string(path)
                .map(|text| {
                    let line = text.lines().next().unwrap_or_default();
                    // An editor's byte order mark is no part of a password.
                    line.trim_start_matches(utf8::MARK).to_owned()
                })
                .map_err(|source| Error::PasswordFile {
                    path: path.display().to_string(),
                    source,
                }),
        }
    }
}

/// Name and address only: an account's password never reaches a log.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = match &self.socket {
            Some(path) => path.display().to_string(),
            None => format!("{}:{}", self.host, self.port),
        };
        match &self.name {
            Some(name) => write!(f, "{name}{BEFORE_ADDRESS}{address})"),
            None => write!(f, "MariaDB at {address}"),
        }
    }
}

/// The text between a server's name and its address in sentences. No name has a blank.
const BEFORE_ADDRESS: &str = " (MariaDB at ";

/// The name of a server as sentences have it, if it has one.
pub(crate) fn name_of(shown: &str) -> Option<&str> {
    shown.split_once(BEFORE_ADDRESS).map(|(name, _)| name)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} as {}", self.user)
    }
}
