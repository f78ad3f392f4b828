//! Why the api does not start.

use std::net::SocketAddr;

use listener::TokenError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "api.listen = {address} can be reached from other machines, and whoever reaches it reads every count \
         (api.tokens_file is for annotations only): listen on loopback, behind a proxy that checks who asks, \
         or set api.allow_anonymous_on_any_address = true if the network itself keeps strangers out"
    )]
    Open { address: SocketAddr },
    #[error("the API cannot start")]
    Listen(#[from] listener::Error),
    #[error(
        "two centres are called '{0}': give each [[other_centre]] a name of its own; api.centre is that of [central]"
    )]
    SameName(String),
    #[error("api.{key} must be at least 1")]
    Zero { key: &'static str },
    #[error(transparent)]
    Tokens(#[from] TokenError),
    #[error(transparent)]
    Store(#[from] store::Error),
}
