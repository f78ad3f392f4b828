//! Writers: the clients that may write annotations.

use axum::http::HeaderMap;
use listener::{Hosts, Sender, Tokens};

/// Reasons for which a client may not write.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "a token is needed to write, and there is none or another one: send Authorization: Bearer SECRET"
    )]
    Unauthorized,
    #[error(
        "the page that sends this is of another site: list its host in api.allowed_hosts, or write with a program"
    )]
    ForeignPage,
}

/// The clients that may write: those with a token; where there are no tokens everybody, but no page of another site.
pub(crate) struct Writers {
    tokens: Tokens,
    hosts: Hosts,
}

impl Writers {
    pub(crate) fn new(tokens: Tokens, hosts: Hosts) -> Self {
        Self { tokens, hosts }
    }

    /// Checks the headers of a request that writes.
    ///
    /// # Errors
    /// `Unauthorized` where there are tokens and it has none of them; `ForeignPage` where there are none and another site's page sends it.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Error> {
        match self.tokens.sender(headers) {
            None => Err(Error::Unauthorized),
            Some(Sender::Anonymous) if self.hosts.is_of_foreign_page(headers) => Err(Error::ForeignPage),
            Some(_) => Ok(()),
        }
    }
}
