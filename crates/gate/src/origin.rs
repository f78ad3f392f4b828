//! Origins of browsers' pages.

/// Most bytes of an origin: a scheme, a host's name as long as DNS has them, and a port.
const ORIGIN_BYTES_MAX: usize = 300;

/// The origin of a page, as the header `Origin` writes it (RFC 6454): scheme, host and, where it is not the scheme's own, port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// The origin that `text` writes; `None` where it has a path, a user or another scheme than `http` and `https`. A port that is the
    /// scheme's own is left out, as browsers do.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let own_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return None,
        };
        let rest = rest.strip_suffix(own_port).unwrap_or(rest);
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        let is_host = !rest.is_empty() && rest.len() <= ORIGIN_BYTES_MAX && rest.bytes().all(fine);
        is_host.then(|| Self(format!("{scheme}://{}", rest.to_ascii_lowercase())))
    }

    /// The text, as a browser sends it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        let shown = |text| Origin::parse(text).map(|origin| origin.as_str().to_owned());
        assert_eq!(
            shown("https://Shop.example:443").as_deref(),
            Some("https://shop.example")
        );
        assert_eq!(shown("http://[::1]:8080").as_deref(), Some("http://[::1]:8080"));
        for other in [
            "null",
            "*",
            "shop.example",
            "https://",
            "https://a/",
            "https://u@a",
            "ftp://a",
            "https://*.a",
        ] {
            assert_eq!(shown(other), None, "{other}");
        }
    }
}
