//! Who has a share of his own.

use std::net::{IpAddr, Ipv4Addr};

use model::Client;

/// A client that has a share of its own: that of a token, or, without tokens, of an address. Whoever has one address of a network of 64
/// bits of IPv6 has all of them, so such a network is one client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// The client with this token.
    Token(Client),
    /// Everybody at this address.
    Address(IpAddr),
    /// Everybody in this network of IPv6.
    Network([u8; 8]),
}

impl ClientKey {
    /// The client at an address.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) if address.is_loopback() => Self::Address(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(address) => {
                let mut network = [0; 8];
                network.copy_from_slice(&address.octets()[..8]);
                Self::Network(network)
            }
            address @ IpAddr::V4(_) => Self::Address(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let of = |text: &str| ClientKey::of_address(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("::1"), of("127.0.0.1"));
        assert_ne!(of("127.0.0.2"), of("127.0.0.1"));
    }
}
