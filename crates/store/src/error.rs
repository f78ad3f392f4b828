//! What can go wrong between us and MariaDB.

use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to {action} on {server}")]
    Query {
        action: &'static str,
        server: String,
        #[source]
        source: mysql_async::Error,
    },
    #[error("gave up after {}s trying to {action} on {server}", limit.as_secs())]
    TimedOut {
        action: &'static str,
        server: String,
        limit: Duration,
    },
    #[error("password file {path} cannot be read")]
    PasswordFile {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("environment variable {name} with the password of {user} is not set")]
    PasswordVariable { name: String, user: String },
    #[error(
        "{server} has {setting} = {is}, which loses counts: it must be {must_be} (see deploy/mariadb-region.cnf)"
    )]
    Setting {
        server: String,
        setting: &'static str,
        is: String,
        must_be: &'static str,
    },
    #[error(
        "{server} has bigdata tables that are not BLACKHOLE: is it a region's? 'eventtracker schema check' names them"
    )]
    NotAnOutbox { server: String },
    #[error("this machine's clock is {seconds} s ahead of that of {server}: set both by NTP")]
    Clock { server: String, seconds: i64 },
    #[error(
        "sources {one} and {other} both have {setting} = {value}, which doubles or loses counts: set another in each region"
    )]
    SameIdentity {
        one: String,
        other: String,
        setting: &'static str,
        value: u64,
    },
    #[error("host '{value}' may only have letters, digits, '.', '-' and ':'")]
    Host { value: String },
    #[error("no password is configured for {user}")]
    NoPassword { user: String },
    #[error("{what} '{value}' may only have letters, digits, '_' and '-', at most {limit} of them")]
    Word {
        what: &'static str,
        value: String,
        limit: usize,
    },
    #[error("password of {user} may only have printable ASCII other than quotes and backslashes")]
    PasswordText { user: String },
    #[error("the server's row has not the expected shape: {what}")]
    Shape { what: &'static str },
}

impl Error {
    /// The error and all its causes, in one sentence.
    #[must_use]
    pub fn with_causes(&self) -> String {
        let causes = std::iter::successors(Some(self as &dyn std::error::Error), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }
}
