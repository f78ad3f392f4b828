//! Proxies in front: who a request is of, where another server passes it on.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The header in which proxies list the addresses that a request came from, each adding the one before it.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Bytes of the longest header of the PROXY protocol's first version.
const V1_BYTES_MAX: usize = 107;

/// Bytes of the head of the second version, which says how long the rest is.
const V2_HEAD_BYTES: usize = 16;

/// Bytes of the rest of the second version that are taken: addresses, and what proxies add to them.
const V2_REST_BYTES_MAX: usize = 4_096;

/// Why a connection is not served that has to begin with a header of the PROXY protocol.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyHeaderError {
    #[error("the proxy closed the connection before its header")]
    Read(#[from] std::io::Error),
    #[error(
        "the connection does not begin with a header of the PROXY protocol, which proxy_protocol = true expects of trusted_proxies"
    )]
    NoHeader,
}

/// The proxies in front of a role, whose word on whom a request is of counts. Nobody else's does.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    trusted: Vec<IpAddr>,
    with_header: bool,
}

impl Proxies {
    /// The proxies at these addresses. `with_protocol`: their connections begin with a header of the PROXY protocol (HAProxy's
    /// `send-proxy` or `send-proxy-v2`, <https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt>).
    #[must_use]
    pub fn new(trusted: &[IpAddr], with_protocol: bool) -> Self {
        Self {
            trusted: trusted.iter().map(IpAddr::to_canonical).collect(),
            with_header: with_protocol,
        }
    }

    /// Whether one of these proxies is at an address.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.contains(&address.to_canonical())
    }

    /// Whether a connection from `peer` has to begin with a header of the PROXY protocol.
    pub(crate) fn expects_header(&self, peer: SocketAddr) -> bool {
        self.with_header && self.trusts(peer.ip())
    }

    /// The address that a request of `peer` is of: the last hop that is not one of these proxies.
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        if self.trusted.is_empty() || !self.trusts(peer.ip()) {
            return peer;
        }
        let mut client = peer;
        let values = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let texts = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
        for text in texts {
            // What a trusted proxy has added is an address; before something else nobody is known.
            let Some(address) = hop(text.trim()) else { break };
            client = SocketAddr::new(address, 0);
            if !self.trusts(address) {
                break;
            }
        }
        client
    }
}

/// The address of a hop, which some proxies write with its port.
fn hop(text: &str) -> Option<IpAddr> {
    let of_socket = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(of_socket).or_else(bracketed)
}

/// Reads the header of the PROXY protocol, and no byte more; the client's address, or `None` where the proxy speaks for itself, as for its
/// checks.
///
/// # Errors
/// `NoHeader` where the connection begins otherwise, `Read` where it ends before.
pub(crate) async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let mut bytes = vec![stream.read_u8().await?];
    if bytes[0] == b'P' {
        while bytes.last() != Some(&b'\n') {
            if bytes.len() == V1_BYTES_MAX {
                return Err(ProxyHeaderError::NoHeader);
            }
            bytes.push(stream.read_u8().await?);
        }
        let header = ppp::v1::Header::try_from(bytes.as_slice()).map_err(|_| ProxyHeaderError::NoHeader)?;
        return Ok(match header.addresses {
            ppp::v1::Addresses::Tcp4(of) => Some((of.source_address, of.source_port).into()),
            ppp::v1::Addresses::Tcp6(of) => Some((of.source_address, of.source_port).into()),
            ppp::v1::Addresses::Unknown => None,
        });
    }
    bytes.resize(V2_HEAD_BYTES, 0);
    stream.read_exact(&mut bytes[1..]).await?;
    let rest = usize::from(u16::from_be_bytes([
        bytes[V2_HEAD_BYTES - 2],
        bytes[V2_HEAD_BYTES - 1],
    ]));
    if !bytes.starts_with(ppp::v2::PROTOCOL_PREFIX) || rest > V2_REST_BYTES_MAX {
        return Err(ProxyHeaderError::NoHeader);
    }
    bytes.resize(V2_HEAD_BYTES + rest, 0);
    stream.read_exact(&mut bytes[V2_HEAD_BYTES..]).await?;
    let header = ppp::v2::Header::try_from(bytes.as_slice()).map_err(|_| ProxyHeaderError::NoHeader)?;
    Ok(match (header.command, header.addresses) {
        (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv4(of)) => {
            Some((of.source_address, of.source_port).into())
        }
        (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv6(of)) => {
            Some((of.source_address, of.source_port).into())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> Proxies {
        let trusted = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap());
        Proxies::new(&trusted, true)
    }

    fn client(peer: &str, headers: &[&str]) -> String {
        let headers = headers
            .iter()
            .map(|value| (X_FORWARDED_FOR, value.parse().unwrap()));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 7);
        proxies().client(peer, &map).ip().to_string()
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_is_the_client() {
        for (peer, headers, expected) in [
            ("192.0.2.1", &["203.0.113.9"][..], "203.0.113.9"),
            ("192.0.2.1", &["10.9.9.9, 203.0.113.9"], "203.0.113.9"),
            ("192.0.2.1", &["203.0.113.9, 2001:db8::1"], "203.0.113.9"),
            ("192.0.2.1", &["10.9.9.9", "203.0.113.9"], "203.0.113.9"),
            ("192.0.2.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("2001:db8::1", &["[2001:db8::9]:4711"], "2001:db8::9"),
            ("::ffff:192.0.2.1", &["203.0.113.9"], "203.0.113.9"),
            // A word from anybody else, or none that is an address, changes nothing.
            ("203.0.113.7", &["203.0.113.9"], "203.0.113.7"),
            ("192.0.2.1", &[], "192.0.2.1"),
            ("192.0.2.1", &["unknown"], "192.0.2.1"),
            ("192.0.2.1", &["203.0.113.9, evil, 2001:db8::1"], "2001:db8::1"),
            ("192.0.2.1", &["2001:db8::1"], "2001:db8::1"),
        ] {
            assert_eq!(client(peer, headers), expected, "{peer} {headers:?}");
        }
        let nobody = Proxies::default();
        let peer: SocketAddr = "192.0.2.1:7".parse().unwrap();
        let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, "203.0.113.9".parse().unwrap())]);
        assert_eq!(nobody.client(peer, &headers), peer);
        assert!(proxies().expects_header(peer) && !nobody.expects_header(peer));
        assert!(!proxies().expects_header("203.0.113.9:7".parse().unwrap()));
    }

    async fn read(mut bytes: &[u8]) -> Result<Option<String>, String> {
        let read = read_header(&mut bytes).await.map_err(|error| error.to_string())?;
        assert_eq!(bytes, b"GET", "no byte more");
        Ok(read.map(|client| client.to_string()))
    }

    #[tokio::test]
    async fn a_header_is_read_and_no_byte_more() {
        let v1 = b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 7080\r\nGET";
        assert_eq!(read(v1).await.unwrap().as_deref(), Some("203.0.113.9:4711"));
        let v6 = b"PROXY TCP6 2001:db8::9 2001:db8::2 4711 7080\r\nGET";
        assert_eq!(read(v6).await.unwrap().as_deref(), Some("[2001:db8::9]:4711"));
        assert_eq!(read(b"PROXY UNKNOWN\r\nGET").await.unwrap(), None);
        let addresses = (([203, 0, 113, 9], 4711), ([192, 0, 2, 2], 7080));
        let ((source, source_port), (to, to_port)) = addresses;
        let v2 = |command| {
            let of = ppp::v2::IPv4::new(source, to, source_port, to_port);
            let version = ppp::v2::Version::Two | command;
            let built = ppp::v2::Builder::with_addresses(version, ppp::v2::Protocol::Stream, of)
                .build()
                .unwrap();
            [built, b"GET".to_vec()].concat()
        };
        assert_eq!(
            read(&v2(ppp::v2::Command::Proxy)).await.unwrap().as_deref(),
            Some("203.0.113.9:4711")
        );
        assert_eq!(
            read(&v2(ppp::v2::Command::Local)).await.unwrap(),
            None,
            "the proxy's own check"
        );
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
        for wrong in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"POST / HTTP/1.1\r\nHost: a\r\n",
            b"PROXY TCP4 a b 1 2\r\n",
            &long,
        ] {
            let refusal = read(wrong).await.unwrap_err();
            assert!(refusal.contains("PROXY protocol"), "{refusal}");
        }
        assert!(
            read(b"PROXY TCP4")
                .await
                .unwrap_err()
                .contains("closed the connection")
        );
        let mut huge = ppp::v2::PROTOCOL_PREFIX.to_vec();
        huge.extend([0x21, 0x11, 0xff, 0xff]);
        assert!(read(&huge).await.unwrap_err().contains("PROXY protocol"));
    }
}
