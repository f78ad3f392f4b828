//! Who is one client, by its address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The bits by which a host in IPv6 chooses its own address.
const OWN_BITS: u32 = 64;

/// The address of a client's network: whoever has one address of a network of 64 bits of IPv6 has all of them. An address of IPv4 is one
/// client, however it is written, and so is this machine.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if address.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> OWN_BITS << OWN_BITS).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("::1"), of("127.0.0.1"));
        assert_ne!(of("127.0.0.2"), of("127.0.0.1"));
    }
}
