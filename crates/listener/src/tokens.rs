//! Bearer tokens: who may send.

use std::fmt;
use std::path::Path;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

/// Fewest bytes of a secret: shorter ones can be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// Why a file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read, or is not UTF-8.
    #[error("tokens file {path} cannot be read")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A line holds no name and secret, or the secret is too short.
    #[error(
        "{path}, line {line}: expected 'name secret', the secret of {SECRET_BYTES_MIN} or more visible characters"
    )]
    Line {
        /// The file.
        path: String,
        /// The number of the line, from 1.
        line: usize,
    },
    /// A name or a secret was given before.
    #[error("{path}, line {line}: a token with this name or this secret stands above")]
    Twice {
        /// The file.
        path: String,
        /// The number of the later line, from 1.
        line: usize,
    },
    /// The file has no token, with which nobody could send.
    #[error("{path} has no token")]
    Empty {
        /// The file.
        path: String,
    },
}

/// The tokens of a role. Without any, everybody may send.
pub struct Tokens(pub(crate) Vec<Token>);

/// A client's token.
pub struct Token {
    /// The name of the client, by which logs and metrics call it.
    pub name: String,
    /// The secret that the client sends: at least 16 visible ASCII characters.
    pub secret: String,
}

/// The sender of a request.
pub enum Sender<'a> {
    /// The client that has this token.
    Token(&'a Token),
    /// Somebody, where the role has no tokens.
    Anonymous,
}

/// The names of the tokens only: a secret never reaches a log.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|token| &token.name))
            .finish()
    }
}

impl Tokens {
    /// No tokens: everybody may send.
    #[must_use]
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Whether there are no tokens, so that everybody may send.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a file with a line `name secret` for each client. Empty lines, and those that begin with `#`, are skipped.
    ///
    /// # Errors
    /// A file that cannot be read, has no token, or has a line that is no token or gives a name or a secret again.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let text = std::fs::read_to_string(path).map_err(|source| TokenError::Read {
            path: path.display().to_string(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Reads the text of the file at `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, TokenError> {
        let shown = path.display().to_string();
        let mut tokens = Vec::new();
        // An editor's byte order mark is no part of a name.
        for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let token = parse(line).ok_or_else(|| TokenError::Line {
                path: shown.clone(),
                line: at + 1,
            })?;
            let is_taken = |other: &Token| other.name == token.name || other.secret == token.secret;
            if tokens.iter().any(is_taken) {
                return Err(TokenError::Twice {
                    path: shown,
                    line: at + 1,
                });
            }
            tokens.push(token);
        }
        if tokens.is_empty() {
            return Err(TokenError::Empty { path: shown });
        }
        Ok(Self(tokens))
    }

    /// The sender of a request by its `Authorization: Bearer` header (RFC 6750); `None` where a token is needed and none fits.
    #[must_use]
    pub fn sender(&self, headers: &HeaderMap) -> Option<Sender<'_>> {
        if self.are_none() {
            return Some(Sender::Anonymous);
        }
        let (scheme, given) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        // Every token is compared, in constant time, so that the answer's delay tells nothing.
        self.0
            .iter()
            .fold(None, |found, token| {
                if bool::from(token.secret.as_bytes().ct_eq(given.as_bytes())) {
                    Some(token)
                } else {
                    found
                }
            })
            .map(Sender::Token)
    }
}

/// The token on a line `name secret`; `None` where it is none.
fn parse(line: &str) -> Option<Token> {
    let (name, secret) = line.trim().split_once(char::is_whitespace)?;
    let secret = secret.trim_start();
    let fine = secret.len() >= SECRET_BYTES_MIN && secret.bytes().all(|b| b.is_ascii_graphic());
    fine.then(|| Token {
        name: name.to_owned(),
        secret: secret.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_a_known_token_may_send() {
        let tokens = Tokens(vec![
            parse("shop 0123456789abcdef").unwrap(),
            parse("app fedcba9876543210").unwrap(),
        ]);
        let sender = |value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            match tokens.sender(&headers) {
                Some(Sender::Token(token)) => Some(token.name.clone()),
                _ => None,
            }
        };
        assert_eq!(sender("Bearer 0123456789abcdef").as_deref(), Some("shop"));
        assert_eq!(sender("Bearer 0123456789abcdeg"), None);
        assert_eq!(sender("bearer fedcba9876543210").as_deref(), Some("app"));
        assert_eq!(sender("Basic 0123456789abcdef"), None);
        assert!(tokens.sender(&HeaderMap::new()).is_none());
        assert!(parse("shop short").is_none());
    }
}
