//! Errors with which the api does not start.

use std::net::SocketAddr;

use gate::FileError;
use listener::TlsError;

/// Reasons for which [`crate::run`] ends before it serves anything.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `listen` is not loopback, there are no tokens, and `allow_anonymous_on_any_address` is not set.
    #[error(
        "api.listen = {address} can be reached from other machines, and there are no tokens: \
         set api.tokens_file, or api.allow_anonymous_on_any_address = true if the network itself keeps strangers out"
    )]
    Open {
        /// The address that `listen` names.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("the API cannot start")]
    Listen(#[from] listener::Error),
    /// Two centres have this name.
    #[error(
        "two centres are called '{0}': give each [[other_centre]] a name of its own; api.centre is that of [central]"
    )]
    SameName(String),
    /// A limit with which nothing could be served.
    #[error("api.{key} must be at least 1")]
    Zero {
        /// The limit's key in the configuration, without its table.
        key: &'static str,
    },
    /// The tokens file cannot be read, or is malformed.
    #[error(transparent)]
    Tokens(#[from] FileError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A centre's password cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
}
