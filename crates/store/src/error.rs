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
