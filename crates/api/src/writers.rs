//! Who may write annotations.

use axum::http::HeaderMap;
use listener::{Hosts, Sender, Tokens};

use crate::refusal::Refusal;

/// Clients with a token; without tokens everybody, but no page of another site.
pub(crate) struct Writers {
    tokens: Tokens,
    hosts: Hosts,
}

impl Writers {
    pub(crate) fn new(tokens: Tokens, hosts: Hosts) -> Self {
        Self { tokens, hosts }
    }

    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        match self.tokens.sender(headers) {
            None => Err(Refusal::Unauthorized),
            Some(Sender::Anonymous) if self.hosts.is_of_foreign_page(headers) => Err(Refusal::ForeignPage),
            Some(_) => Ok(()),
        }
    }
}
