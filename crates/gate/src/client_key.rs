//! Who has a share of his own.

use std::net::IpAddr;

use model::Client;

/// A client that has a share of its own: that of a token, or, without tokens, of an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// The client with this token.
    Token(Client),
    /// Everybody at this address, or in this network of IPv6.
    Address(IpAddr),
}

impl ClientKey {
    /// The client at an address, which is its whole network where it is one of IPv6.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        Self::Address(listener::network(address))
    }
}
