//! The secret of a token: what a client sends, and the hash by which it is known.

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand::TryRng;
use rand::rngs::{SysError, SysRng};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Fewest bytes of a secret: shorter ones can be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// Most bytes of a secret; longer ones are no secret of ours.
const SECRET_BYTES_MAX: usize = 512;

/// What every new secret begins with, so that one that leaked is recognised.
const MARK: &str = "et_";

/// Random bytes of a new secret.
const RANDOM_BYTES: usize = 32;

/// Why a text is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} visible ASCII characters")]
pub struct SecretError;

/// The system has no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes for a secret")]
pub struct NoRandomBytes(#[source] SysError);

/// The secret of a token, as its holder has it. It is never stored, and never printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A secret never reaches a log.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl Secret {
    /// A new secret: `et_` and 32 random bytes in base64url (RFC 4648, 5).
    ///
    /// # Errors
    /// `NoRandomBytes` where the system has none.
    pub fn generate() -> Result<Self, NoRandomBytes> {
        let mut bytes = [0; RANDOM_BYTES];
        SysRng.try_fill_bytes(&mut bytes).map_err(NoRandomBytes)?;
        Ok(Self(format!("{MARK}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// The secret that is all of `text`.
    ///
    /// # Errors
    /// `SecretError` for a text that is too short, too long or not of visible ASCII characters.
    pub fn new(text: &str) -> Result<Self, SecretError> {
        let fine = (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        fine.then(|| Self(text.to_owned())).ok_or(SecretError)
    }

    /// The secret that a request brings: `Authorization: Bearer SECRET` (RFC 6750), or the password of `Basic` (RFC 7617), whose user is
    /// not looked at; `None` where there is neither.
    #[must_use]
    pub fn of_request(headers: &HeaderMap) -> Option<Self> {
        let (scheme, given) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        let given = given.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Self::new(given).ok();
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(given).ok()?).ok()?;
        Self::new(decoded.split_once(':')?.1).ok()
    }

    /// The text of the secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash by which the secret is known. One round of SHA-256 is enough for 32 random bytes: nobody finds them by trying.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

/// The SHA-256 of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash that 64 hexadecimal digits write.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// Whether both are the same, in a time that does not tell how much of them is.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(value: &str) -> Option<String> {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        Secret::of_request(&headers).map(|secret| secret.as_str().to_owned())
    }

    #[test]
    fn a_secret_comes_as_a_bearer_token_or_as_a_password() {
        let secret = "0123456789abcdef";
        assert_eq!(of("Bearer 0123456789abcdef").as_deref(), Some(secret));
        assert_eq!(of("bearer  0123456789abcdef").as_deref(), Some(secret));
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        assert_eq!(of(&basic("grafana:0123456789abcdef")).as_deref(), Some(secret));
        assert_eq!(of(&basic(":0123456789abcdef")).as_deref(), Some(secret));
        let with_colon = "0123456789:abcdef";
        assert_eq!(
            of(&basic(&format!("a:{with_colon}"))).as_deref(),
            Some(with_colon)
        );
        for other in [
            "Bearer",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef 0123456789abcdef",
            "Bearer \u{e9}123456789abcdef",
            "Basic 0123456789abcdef",
            "Basic !!!!",
            &basic("0123456789abcdef"),
            "Digest 0123456789abcdef",
            "0123456789abcdef",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(Secret::of_request(&HeaderMap::new()), None);
        assert!(Secret::new(&"a".repeat(513)).is_err());
    }

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let (one, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_ne!(one, other);
        assert!(one.as_str().starts_with("et_") && one.as_str().len() == 46);
        assert!(!format!("{one:?}").contains(one.as_str()));
    }

    #[test]
    fn a_hash_is_that_of_sha256() {
        // printf 0123456789abcdef | sha256sum
        let hex = "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f";
        let hash = Secret::new("0123456789abcdef").unwrap().hash();
        assert_eq!(hash.to_string(), hex);
        assert_eq!(SecretHash::from_hex(&hex.to_uppercase()), Some(hash));
        assert!(SecretHash::from_hex(hex).unwrap().is(&hash));
        for wrong in ["", &hex[1..], &hex.replace('9', "g"), &format!("+{}", &hex[1..])] {
            assert_eq!(SecretHash::from_hex(wrong), None, "{wrong}");
        }
    }
}
