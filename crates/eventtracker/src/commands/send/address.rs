//! Addresses: where an operator command finds its server, and the token that it sends.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::ensure;
use reqwest::Url;
use reqwest::header::{HeaderValue, InvalidHeaderValue};
use twox_hash::XxHash3_64;

use crate::config::Config;

/// A bearer token; never printed.
#[derive(Clone)]
pub(crate) struct Token(pub(super) HeaderValue);

impl FromStr for Token {
    type Err = InvalidHeaderValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut value = HeaderValue::from_str(&format!("Bearer {text}"))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Token {
    /// A mark that is the same for the same token, and mostly another for another one: 16 bits of its XXH3-64, too few to find the token
    /// by.
    fn mark(&self) -> String {
        format!("{:04x}", XxHash3_64::oneshot(self.0.as_bytes()) & 0xffff)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// What a command shows to a server, and what it wants to see of it.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Access {
    /// Bearer token; better in the environment than in the list of processes
    #[arg(long, env = "EVENTTRACKER_TOKEN", hide_env_values = true)]
    pub(super) token: Option<Token>,
    /// The authorities of the server's certificate, a file in PEM, instead of those that this machine knows
    #[arg(long, env = "EVENTTRACKER_CA", value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CollectorAddress {
    /// Base URL of the region's collector
    #[arg(
        long,
        value_name = "URL",
        env = "EVENTTRACKER_COLLECTOR",
        default_value = "http://127.0.0.1:7080"
    )]
    collector: String,
    /// A region's configuration: its `[collector] listen` is used instead of the URL
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) access: Access,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ApiAddress {
    /// Base URL of the API
    #[arg(
        long,
        value_name = "URL",
        env = "EVENTTRACKER_API",
        default_value = "http://127.0.0.1:7070"
    )]
    api: String,
    /// The centre's configuration: its `[api] listen` is used instead of the URL
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) access: Access,
}

impl CollectorAddress {
    /// A mark of the token, by which requests under one token are told from those under another: to a collector, their keys are other
    /// keys.
    pub(crate) fn token_mark(&self) -> String {
        self.access.token.as_ref().map_or("none".to_owned(), Token::mark)
    }

    /// The collector's base URL, without a slash at its end.
    ///
    /// # Errors
    /// A URL that is none of `http://` or `https://`; a configuration without the section.
    pub(crate) fn base(&self) -> anyhow::Result<String> {
        base_url(&self.collector, self.config.as_deref(), |config| {
            let collector = config.file.section(config.collector, "collector")?;
            Ok(url_of(collector.listen, collector.tls.is_some()))
        })
    }
}

impl ApiAddress {
    /// The API's base URL, without a slash at its end.
    ///
    /// # Errors
    /// A URL that is none of `http://` or `https://`; a configuration without the section.
    pub(super) fn base(&self) -> anyhow::Result<String> {
        base_url(&self.api, self.config.as_deref(), |config| {
            let api = config.file.section(config.api, "api")?;
            Ok(url_of(api.listen, api.tls.is_some()))
        })
    }
}

/// The URL of the configuration's address if there is one, else `url`, without a slash at its end.
fn base_url(
    url: &str,
    config: Option<&Path>,
    of_config: impl Fn(Config) -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    if let Some(path) = config {
        return of_config(Config::read(path)?);
    }
    let is_http =
        Url::parse(url).is_ok_and(|parsed| ["http", "https"].contains(&parsed.scheme()) && parsed.has_host());
    ensure!(
        is_http,
        "'{url}' is not an http:// or https:// URL, such as http://127.0.0.1:7080"
    );
    Ok(url.trim_end_matches('/').to_owned())
}

/// The base URL of a server that listens on `listen`, from its own machine. Where it shows a certificate, that has to name the address.
pub(crate) fn url_of(listen: SocketAddr, is_encrypted: bool) -> String {
    let scheme = if is_encrypted { "https" } else { "http" };
    format!("{scheme}://{}", reachable(listen))
}

/// The address at which a server that listens on `listen` can be reached from its own machine.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_checked() {
        let base = |url: &str| base_url(url, None, |_| unreachable!("no file was given"));
        for url in ["http://eu.example:7080", "https://eu.example"] {
            assert_eq!(base(&format!("{url}/")).unwrap(), url);
        }
        for wrong in ["127.0.0.1:7080", "ftp://eu.example", "localhost"] {
            assert!(base(wrong).unwrap_err().to_string().contains(wrong));
        }
    }

    #[test]
    fn a_server_on_every_address_is_reached_on_loopback() {
        let shown = |listen: &str| reachable(listen.parse().unwrap()).to_string();
        assert_eq!(shown("0.0.0.0:7080"), "127.0.0.1:7080");
        assert_eq!(shown("[::]:7080"), "[::1]:7080");
        assert_eq!(shown("10.0.0.7:7080"), "10.0.0.7:7080");
        assert_eq!(
            url_of("0.0.0.0:7080".parse().unwrap(), true),
            "https://127.0.0.1:7080"
        );
    }

    #[test]
    fn a_token_is_not_printed() {
        assert!(!format!("{:?}", "secret".parse::<Token>().unwrap()).contains("secret"));
    }
}
