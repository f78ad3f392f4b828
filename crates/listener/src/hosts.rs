//! The hosts that a server is reached by, and the pages that may make a browser write to it.
//!
//! A page can let a name of its own resolve to a loopback address (DNS rebinding): for the browser, whatever answers there is
//! then of the page's origin, and the page can read it. The name stays in the `Host` header, which no page can change, so a request for
//! a host that this server does not go by is refused.
//!
//! A browser also sends whatever any page likes, as plain text or as a form, without asking the server first (cross-site request
//! forgery). Such a request has an `Origin` header, which no page can change either.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::Json;
use axum::http::Request;
use axum::http::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

/// Most bytes of a host's name in DNS.
const NAME_BYTES_MAX: usize = 253;

/// The header in which a browser says how the page's site relates to the request's: `same-origin`, `same-site`, `cross-site` or `none`.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The paths that a load balancer asks for, by whatever name: neither tells of any count.
const ASKED_BY_ANY_NAME: [&str; 2] = ["/healthz", "/readyz"];

/// Whether only programs of this machine reach `address`.
#[must_use]
pub fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// A host without scheme and port: a name in lower case without a dot at its end, or an address, which is in brackets if it is IPv6.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Host(HostKind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostKind {
    Name(String),
    Address(IpAddr),
}

/// A text that is not a host.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a host: give a name such as events.example, or an address, without scheme and port")]
pub struct NotAHost(String);

impl TryFrom<String> for Host {
    type Error = NotAHost;

    fn try_from(text: String) -> Result<Self, NotAHost> {
        Self::parse(&text).ok_or(NotAHost(text))
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let address: Ipv6Addr = rest.strip_suffix(']')?.parse().ok()?;
            return Some(Self(HostKind::Address(IpAddr::V6(address).to_canonical())));
        }
        if let Ok(address) = text.parse() {
            return Some(Self(HostKind::Address(IpAddr::V4(address))));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let fine = (1..=NAME_BYTES_MAX).contains(&name.len())
            && name.split('.').all(|label| !label.is_empty())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        fine.then(|| Self(HostKind::Name(name.to_ascii_lowercase())))
    }

    fn is_loopback(&self) -> bool {
        match &self.0 {
            HostKind::Name(name) => name == "localhost",
            HostKind::Address(address) => address.is_loopback(),
        }
    }
}

/// A host and port as the headers `Host` and `Origin` write them. A text with a user in front of its host is none.
#[derive(Debug, PartialEq, Eq)]
struct Authority {
    host: Host,
    port: Option<u16>,
}

impl Authority {
    fn parse(text: &str) -> Option<Self> {
        let begin_of_port = match text.rfind(']') {
            Some(bracket) => bracket + 1,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (host, port) = text.split_at(begin_of_port);
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            Some("") => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            _ => return None,
        };
        Some(Self {
            host: Host::parse(host)?,
            port,
        })
    }

    /// The authority in a header that is given once.
    fn of(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        Self::parse(single_value(headers, name)?)
    }
}

/// The value of a header that is given once; `None` where it is missing, given again or not visible ASCII.
fn single_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut given = headers.get_all(name).iter();
    let value = given.next()?.to_str().ok()?;
    given.next().is_none().then_some(value)
}

/// Gives a request in HTTP/2 the `Host` header that one in HTTP/1.1 has: that of its target (RFC 9113, 8.3.1). One that has both keeps them,
/// and each is looked at.
pub(crate) fn name_host<B>(request: &mut Request<B>) {
    if request.version() != Version::HTTP_2 || request.headers().contains_key(HOST) {
        return;
    }
    let authority = request.uri().authority().map(|authority| authority.as_str());
    if let Some(host) = authority.and_then(|text| HeaderValue::from_str(text).ok()) {
        request.headers_mut().insert(HOST, host);
    }
}

/// Why a request is not answered, by its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostRefusal {
    /// The request has not exactly one `Host` header, or one that is no host.
    Unclear,
    /// The request is for a host that this server does not go by.
    Foreign,
}

impl fmt::Display for HostRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unclear => {
                "the request does not name one host: send one Host header, such as Host: localhost"
            }
            Self::Foreign => {
                "this server does not go by the request's Host: use localhost or a loopback address, \
                 or list the name in the setting allowed_hosts of this role"
            }
        })
    }
}

/// The answer to a refused request. 421 says what is wrong, "directed at a server that is unable or unwilling to produce an authoritative
/// response for the target URI" (RFC 9110, 15.5.20), and it is no word on what the sender may do, as 403 would be. 400 is from RFC 9112,
/// 3.2.
impl IntoResponse for HostRefusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Unclear => StatusCode::BAD_REQUEST,
            Self::Foreign => StatusCode::MISDIRECTED_REQUEST,
        };
        (status, Json(serde_json::json!({ "error": self.to_string() }))).into_response()
    }
}

/// The hosts that a role goes by. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Hosts(Arc<HostRules>);

#[derive(Debug)]
struct HostRules {
    /// Whether a request's host is looked at.
    guarded: bool,
    /// The hosts beside loopback ones.
    allowed: Vec<Host>,
}

impl Hosts {
    /// The hosts of a role that listens on `listen`. On loopback, only requests for `localhost`, loopback addresses and the hosts
    /// `allowed` are answered. On another address the same holds once any host is allowed; without a list, nobody knows by which names
    /// the role is reached, and all are answered.
    #[must_use]
    pub fn of(listen: SocketAddr, allowed: &[Host]) -> Self {
        Self(Arc::new(HostRules {
            guarded: is_loopback(listen) || !allowed.is_empty(),
            allowed: allowed.to_vec(),
        }))
    }

    fn has(&self, host: &Host) -> bool {
        host.is_loopback() || self.0.allowed.contains(host)
    }

    /// Whether a request is for a host that this role goes by.
    ///
    /// # Errors
    /// The refusal to answer with instead.
    pub(crate) fn admit<B>(&self, request: &Request<B>) -> Result<(), HostRefusal> {
        if !self.0.guarded || ASKED_BY_ANY_NAME.contains(&request.uri().path()) {
            return Ok(());
        }
        // `GET http://evil.example/ HTTP/1.1`: the host of the target counts, and that of the header, too.
        if let Some(target) = request.uri().authority() {
            self.check(Authority::parse(target.as_str()))?;
        }
        if request.version() == Version::HTTP_10 && !request.headers().contains_key(HOST) {
            // No browser sends a request like this; load balancers do.
            return Ok(());
        }
        self.check(Authority::of(request.headers(), &HOST))
    }

    fn check(&self, authority: Option<Authority>) -> Result<(), HostRefusal> {
        match authority {
            None => Err(HostRefusal::Unclear),
            Some(authority) if self.has(&authority.host) => Ok(()),
            Some(_) => Err(HostRefusal::Foreign),
        }
    }

    /// Whether a browser sends a request with these headers for a foreign page: a page of another origin than the request's, and of a
    /// host that this role does not go by. Browsers say so in `Origin`, and in `Sec-Fetch-Site` where a page hides its origin.
    #[must_use]
    pub fn is_of_foreign_page(&self, headers: &HeaderMap) -> bool {
        match single_value(headers, &ORIGIN) {
            None if headers.contains_key(ORIGIN) => true,
            None => headers.contains_key(SEC_FETCH_SITE) && !is_of_same_origin(headers),
            // Hidden by the page's referrer policy, or a sandboxed frame, which is of no origin.
            Some("null") => !is_of_same_origin(headers),
            Some(origin) => !self.is_ours(origin, headers),
        }
    }

    fn is_ours(&self, origin: &str, headers: &HeaderMap) -> bool {
        let (default_port, rest) = match origin.split_once("://") {
            Some(("http", rest)) => (80, rest),
            Some(("https", rest)) => (443, rest),
            _ => return false,
        };
        let Some(page) = Authority::parse(rest) else {
            return false;
        };
        let is_same = |asked: Authority| {
            asked.host == page.host && asked.port.unwrap_or(default_port) == page.port.unwrap_or(default_port)
        };
        self.has(&page.host) || Authority::of(headers, &HOST).is_some_and(is_same)
    }
}

/// Whether the browser says that the page is of the request's own origin. `none` is a request that a person made, as by typing an address.
fn is_of_same_origin(headers: &HeaderMap) -> bool {
    matches!(
        single_value(headers, &SEC_FETCH_SITE),
        Some("same-origin" | "none")
    )
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    const LOOPBACK: &str = "127.0.0.1:7080";
    const OPEN: &str = "0.0.0.0:7080";

    fn hosts(listen: &str, allowed: &[&str]) -> Hosts {
        let allowed: Vec<Host> = allowed.iter().map(|host| Host::parse(host).unwrap()).collect();
        Hosts::of(listen.parse().unwrap(), &allowed)
    }

    fn request(version: Version, target: &str, headers: &[&str]) -> Request<Body> {
        let request = Request::get(target).version(version);
        headers
            .iter()
            .fold(request, |request, host| request.header(HOST, *host))
            .body(Body::empty())
            .unwrap()
    }

    fn admitted(hosts: &Hosts, host: &str) -> Result<(), HostRefusal> {
        hosts.admit(&request(Version::HTTP_11, "/v1/series", &[host]))
    }

    #[test]
    fn loopback_goes_by_loopback_names() {
        let hosts = hosts(LOOPBACK, &[]);
        for host in [
            "localhost",
            "LocalHost:7080",
            "localhost.",
            "127.0.0.1",
            "127.9.8.7:80",
            "127.0.0.1:",
            "[::1]",
            "[::1]:7080",
            "[0:0::1]",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(admitted(&hosts, host), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example.",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.localhost",
            "0.0.0.0:7080",
            "10.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "[::]",
            "[::2]:7080",
        ] {
            assert_eq!(admitted(&hosts, host), Err(HostRefusal::Foreign), "{host}");
        }
        for host in [
            "",
            ".",
            ":7080",
            "localhost..",
            "localhost@evil.example",
            "evil.example@localhost",
            "evil.example:80@localhost:7080",
            "localhost/evil.example",
            "localhost, evil.example",
            "localhost:evil.example",
            "localhost:7080:7080",
            "localhost:+80",
            "localhost:65536",
            "::1",
            "[::1",
            "[::1%25lo]",
            "[::1]evil.example",
            "evil.example[::1]",
            "http://localhost",
        ] {
            assert_eq!(admitted(&hosts, host), Err(HostRefusal::Unclear), "{host}");
        }
    }

    #[test]
    fn what_is_allowed_is_answered_and_guards_open_addresses() {
        for listen in [LOOPBACK, "[::1]:1", "[::ffff:127.0.0.1]:1", OPEN] {
            let hosts = hosts(listen, &["Events.Example.", "[fd00::7]"]);
            for host in [
                "events.example:8080",
                "EVENTS.example.",
                "[FD00:0::7]",
                "localhost",
            ] {
                assert_eq!(admitted(&hosts, host), Ok(()), "{listen} {host}");
            }
            assert_eq!(
                admitted(&hosts, "a.events.example"),
                Err(HostRefusal::Foreign),
                "{listen}"
            );
        }
        assert_eq!(admitted(&hosts(OPEN, &[]), "any.example"), Ok(()));
        for wrong in ["http://a", "a:80", "a b", "*.example", "fd00::7", ""] {
            let refusal = Host::try_from(wrong.to_owned()).unwrap_err().to_string();
            assert!(refusal.contains("without scheme and port"), "{refusal}");
        }
    }

    #[test]
    fn the_target_and_the_number_of_headers() {
        let hosts = hosts(LOOPBACK, &[]);
        let admit = |version, target, headers: &[&str]| hosts.admit(&request(version, target, headers));
        let http_11 = Version::HTTP_11;
        assert_eq!(admit(Version::HTTP_10, "/metrics", &[]), Ok(()));
        assert_eq!(
            admit(Version::HTTP_10, "/metrics", &["evil.example"]),
            Err(HostRefusal::Foreign)
        );
        assert_eq!(admit(http_11, "/metrics", &[]), Err(HostRefusal::Unclear));
        let twice = ["localhost", "evil.example"];
        assert_eq!(admit(http_11, "/metrics", &twice), Err(HostRefusal::Unclear));
        assert_eq!(
            admit(http_11, "http://evil.example/metrics", &["localhost"]),
            Err(HostRefusal::Foreign)
        );
        assert_eq!(
            admit(http_11, "http://localhost/metrics", &["evil.example"]),
            Err(HostRefusal::Foreign)
        );
        assert_eq!(
            admit(Version::HTTP_10, "http://evil.example/metrics", &[]),
            Err(HostRefusal::Foreign)
        );
        assert_eq!(
            admit(http_11, "http://localhost:7080/metrics", &["localhost:7080"]),
            Ok(())
        );
        for path in ["/healthz", "/readyz?a=b", "http://evil.example/healthz"] {
            assert_eq!(admit(http_11, path, &["evil.example"]), Ok(()), "{path}");
        }
        for path in ["//healthz", "/healthz/", "/Healthz", "/metrics?/healthz"] {
            assert_eq!(
                admit(http_11, path, &["evil.example"]),
                Err(HostRefusal::Foreign),
                "{path}"
            );
        }
    }

    #[test]
    fn pages_of_others_are_told_by_what_browsers_say() {
        let is_foreign = |hosts: &Hosts, headers: &[(&str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            hosts.is_of_foreign_page(&map)
        };
        let ours = hosts(LOOPBACK, &["shop.example"]);
        for headers in [
            [("host", "localhost:7080"), ("accept", "*/*")],
            [
                ("origin", "http://localhost:3000"),
                ("sec-fetch-site", "same-site"),
            ],
            [("origin", "http://[::1]:3000"), ("host", "127.0.0.1")],
            [
                ("origin", "https://shop.example"),
                ("sec-fetch-site", "cross-site"),
            ],
            [("origin", "null"), ("sec-fetch-site", "same-origin")],
            [("host", "localhost"), ("sec-fetch-site", "same-origin")],
            [("host", "localhost"), ("sec-fetch-site", "none")],
        ] {
            assert!(!is_foreign(&ours, &headers), "{headers:?}");
        }
        for headers in [
            [("origin", "http://evil.example"), ("host", "localhost")],
            [
                ("origin", "http://evil.example"),
                ("sec-fetch-site", "same-origin"),
            ],
            [
                ("origin", "http://shop.example@evil.example"),
                ("host", "localhost"),
            ],
            [("origin", "http://a.shop.example"), ("host", "localhost")],
            [("origin", "chrome-extension://localhost"), ("host", "localhost")],
            [("origin", ""), ("host", "localhost")],
            [("origin", "null"), ("host", "localhost")],
            [("origin", "null"), ("sec-fetch-site", "cross-site")],
            [("host", "localhost"), ("sec-fetch-site", "cross-site")],
            [("origin", "http://localhost"), ("origin", "http://localhost")],
        ] {
            assert!(is_foreign(&ours, &headers), "{headers:?}");
        }
        let open = hosts(OPEN, &[]);
        for (origin, host, foreign) in [
            ("http://api.example:7070", "api.example:7070", false),
            ("https://api.example", "API.example", false),
            ("https://api.example", "api.example:443", false),
            ("http://api.example:7071", "api.example:7070", true),
            ("http://evil.example:7070", "api.example:7070", true),
        ] {
            let headers = [("origin", origin), ("host", host)];
            assert_eq!(is_foreign(&open, &headers), foreign, "{headers:?}");
        }
    }
}
