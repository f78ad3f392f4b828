#![doc = include_str!("../README.md")]

mod attempts;
mod client_key;
mod cors;
mod fair_queue;
mod file;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod observers;
mod origin;
mod places;
mod pool;
mod secret;
mod tokens;
mod view;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::http::{HeaderMap, StatusCode};
use listener::Changes;
use model::Timestamp;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use attempts::{Attempts, TooManyAttempts};
pub use client_key::ClientKey;
pub use fair_queue::{FairQueue, Number};
pub use file::{FileError, read};
pub use observers::for_observers;
pub use origin::Origin;
pub use places::{NoPlace, Place, PlaceLimits, Places};
pub use pool::{Full, Held, Pool};
pub use secret::{NoRandomBytes, Secret, SecretError, SecretHash};
pub use tokens::{
    Entry, EntryError, NAMES_MAX_DEFAULT, ParseError, Scope, TOKENS_MAX, Token, Tokens, WEIGHT_MAX,
};
pub use view::View;

/// Why a request is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There are tokens, and the request has none.
    #[error("a token is needed: send Authorization: Bearer SECRET")]
    Missing,
    /// No token has the secret.
    #[error("no token with this secret is known here: it was mistyped, or taken out")]
    Unknown,
    /// No token has the secret, as was said to its address too often lately.
    #[error("too many wrong secrets have come from this address")]
    TooManyWrong,
    /// The token's time is over.
    #[error("the token '{name}' has expired: ask for a new one")]
    Expired {
        /// The token's name.
        name: String,
    },
    /// The token does not allow it.
    #[error("the token '{name}' has not the scope {scope} that this needs")]
    Scope {
        /// The token's name.
        name: String,
        /// What is needed.
        scope: Scope,
    },
    /// The token is not for the page that uses it.
    #[error("the token '{name}' may not be used by pages of this origin")]
    Origin {
        /// The token's name.
        name: String,
    },
}

impl Denied {
    /// The status that says so: 401 where another token helps, 403 where it is the right one and does not allow it.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Missing | Self::Unknown | Self::Expired { .. } => StatusCode::UNAUTHORIZED,
            Self::TooManyWrong => StatusCode::TOO_MANY_REQUESTS,
            Self::Scope { .. } | Self::Origin { .. } => StatusCode::FORBIDDEN,
        }
    }
}

/// The table `[limits]` of the configuration file.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Whether what there is not enough of is shared by weight among those who want some; else whoever comes first has it.
    pub fair: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { fair: true }
    }
}

impl Limits {
    /// Says in the log that nothing is shared, where it is not.
    pub fn log(&self) {
        if !self.fair {
            tracing::warn!("limits.fair = false: one client may take what is there for all");
        }
    }
}

/// Who sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Somebody, where there are no tokens.
    Anonymous,
    /// The client that has this token.
    Token(Arc<Token>),
}

impl Caller {
    /// Checks that the caller may do what needs `scope`.
    ///
    /// # Errors
    /// `Scope` for a token without it; who is anonymous may do everything.
    pub fn may(&self, scope: Scope) -> Result<(), Denied> {
        match self {
            Self::Token(token) if !token.may(scope) => Err(Denied::Scope {
                name: token.name.to_string(),
                scope,
            }),
            _ => Ok(()),
        }
    }

    /// The client that has a share of its own, and its weight, of a request from `address`.
    #[must_use]
    pub fn share(&self, address: IpAddr) -> (ClientKey, u32) {
        match self {
            Self::Anonymous => (ClientKey::of_address(address), 1),
            Self::Token(token) => (ClientKey::Token(token.name.clone()), token.weight),
        }
    }

    /// The names that the caller may count and read.
    #[must_use]
    pub fn view(&self) -> View {
        match self {
            Self::Anonymous => View::all(),
            Self::Token(token) => token.view.clone(),
        }
    }
}

/// The tokens of a role, as the file has them at the moment.
#[derive(Debug)]
pub struct Gate {
    /// The file, and what was last taken over; `None` for a role without tokens.
    guarded: Option<Guarded>,
}

#[derive(Debug)]
struct Guarded {
    path: PathBuf,
    attempts: Attempts,
    /// What follows after the file was first read; until it is watched.
    changes: Mutex<Option<Changes>>,
    tokens: RwLock<Arc<Tokens>>,
}

impl Gate {
    /// The gate of a role with the file of tokens at `path`; without one, everybody is let in.
    ///
    /// # Errors
    /// A file that cannot be read or used.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn open(path: Option<&Path>) -> Result<Self, FileError> {
        let guarded = match path {
            None => None,
            Some(path) => {
                let changes = Mutex::new(Some(Changes::of(&[path])));
                Some(Guarded {
                    path: path.to_owned(),
                    attempts: Attempts::default(),
                    changes,
                    tokens: RwLock::new(Arc::new(read(path)?)),
                })
            }
        };
        Ok(Self { guarded })
    }

    /// The gate of tokens without a file, for tests.
    #[cfg(test)]
    fn of(tokens: Tokens) -> Self {
        Self {
            guarded: Some(Guarded {
                path: PathBuf::new(),
                attempts: Attempts::default(),
                changes: Mutex::new(None),
                tokens: RwLock::new(Arc::new(tokens)),
            }),
        }
    }

    /// Whether everybody is let in, for want of tokens.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.guarded.is_none()
    }

    /// The tokens at the moment; `None` for a role without.
    #[must_use]
    pub fn tokens(&self) -> Option<Arc<Tokens>> {
        self.guarded.as_ref().map(Guarded::tokens)
    }

    /// The caller that the headers of a request from `address` say it is of, at `now`.
    ///
    /// # Errors
    /// `Missing`, `Unknown`, `TooManyWrong` or `Expired` where there are tokens, and the request brings none that lets it in.
    pub fn caller(&self, headers: &HeaderMap, address: IpAddr, now: Timestamp) -> Result<Caller, Denied> {
        let Some(guarded) = &self.guarded else {
            return Ok(Caller::Anonymous);
        };
        let Some(secret) = Secret::of_request(headers) else {
            let given = headers.contains_key(axum::http::header::AUTHORIZATION);
            return Err(if given {
                guarded.unknown(address, now)
            } else {
                Denied::Missing
            });
        };
        let tokens = guarded.tokens();
        let token = tokens
            .with_secret(&secret)
            .ok_or_else(|| guarded.unknown(address, now))?;
        if token.has_expired(now) {
            let name = token.name.to_string();
            return Err(Denied::Expired { name });
        }
        Ok(Caller::Token(Arc::clone(token)))
    }

    /// Takes a changed file over, at SIGHUP and otherwise within five seconds, until `shutdown`. One that cannot be used changes
    /// nothing: what is wrong with it goes to the log, and to `say` until it is mended.
    pub async fn watch(&self, say: impl Fn(Option<&FileError>), shutdown: CancellationToken) {
        let Some(guarded) = &self.guarded else {
            return shutdown.cancelled().await;
        };
        let changes = guarded
            .changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut changes) = changes else {
            return shutdown.cancelled().await;
        };
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = changes.next() => say(guarded.take_over().err().as_ref()),
            }
        }
    }
}

impl Guarded {
    /// What a wrong secret is answered.
    fn unknown(&self, address: IpAddr, now: Timestamp) -> Denied {
        match self.attempts.count(address, now) {
            Ok(()) => Denied::Unknown,
            Err(TooManyAttempts) => Denied::TooManyWrong,
        }
    }

    fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.tokens.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again, and takes over what it has.
    fn take_over(&self) -> Result<(), FileError> {
        let refused = metrics::gauge!("tokens_file_refused");
        match read(&self.path) {
            Ok(new) => {
                refused.set(0);
                if new != *self.tokens() {
                    tracing::info!(tokens = new.count(), path = %self.path.display(), "took over the file of tokens");
                    *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                }
                Ok(())
            }
            Err(error) => {
                refused.set(1);
                let cause: &dyn std::error::Error = &error;
                tracing::error!(
                    cause,
                    "the file of tokens is refused, and what it had before stays"
                );
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Mutex;

    use axum::http::header::AUTHORIZATION;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn now() -> Timestamp {
        Timestamp::from_unix_ms(1_763_787_600_000)
    }

    fn headers(secret: &Secret) -> HeaderMap {
        let value = format!("Bearer {}", secret.as_str()).parse().unwrap();
        HeaderMap::from_iter([(AUTHORIZATION, value)])
    }

    fn entry(name: &str, secret: &Secret, more: &str) -> String {
        format!(
            "[[token]]\nname = '{name}'\nsha256 = '{}'\nscopes = ['read']\n{more}\n",
            secret.hash()
        )
    }

    fn name(caller: Result<Caller, Denied>) -> Result<String, Denied> {
        caller.map(|caller| match caller {
            Caller::Anonymous => "anybody".to_owned(),
            Caller::Token(token) => token.name.to_string(),
        })
    }

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn only_who_has_a_token_is_let_in_where_there_are_tokens() {
        let open = Gate::open(None).unwrap();
        assert_eq!(open.caller(&HeaderMap::new(), HERE, now()), Ok(Caller::Anonymous));
        assert_eq!(Caller::Anonymous.may(Scope::Admin), Ok(()));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.toml");
        let (shop, old) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        let text = entry("shop", &shop, "") + &entry("old", &old, "expires = 2025-11-22T05:00:00Z");
        write(&path, &text, 0o640);
        let gate = Gate::open(Some(&path)).unwrap();
        let caller = gate.caller(&headers(&shop), HERE, now()).unwrap();
        assert_eq!(caller.may(Scope::Read), Ok(()));
        let denied = caller.may(Scope::Write).unwrap_err().to_string();
        assert_eq!(denied, "the token 'shop' has not the scope write that this needs");
        let denied = |headers: &HeaderMap| gate.caller(headers, HERE, now()).unwrap_err().to_string();
        assert!(denied(&headers(&old)).contains("the token 'old' has expired"));
        assert!(gate.caller(&headers(&old), HERE, now().plus_ms(-1)).is_ok());
        assert!(denied(&HeaderMap::new()).contains("a token is needed"));
        assert!(denied(&headers(&Secret::generate().unwrap())).contains("no token with this secret"));
        let basic = HeaderMap::from_iter([(AUTHORIZATION, "Basic x".parse().unwrap())]);
        assert!(denied(&basic).contains("no token with this secret"));
        let wrong = headers(&Secret::generate().unwrap());
        while gate.caller(&wrong, HERE, now()) == Err(Denied::Unknown) {}
        assert_eq!(gate.caller(&wrong, HERE, now()), Err(Denied::TooManyWrong));
        assert!(
            gate.caller(&headers(&shop), HERE, now()).is_ok(),
            "who has a token is let in"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_taken_over_and_a_wrong_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.toml");
        let (shop, app) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        write(&path, &entry("shop", &shop, ""), 0o600);
        let gate = Gate::open(Some(&path)).unwrap();
        let said = Mutex::new(Vec::new());
        let shutdown = CancellationToken::new();
        let say = |error: Option<&FileError>| said.lock().unwrap().push(error.map(ToString::to_string));
        let steps = async {
            let look = async || tokio::time::sleep(std::time::Duration::from_secs(6)).await;
            look().await;
            assert!(said.lock().unwrap().is_empty(), "nothing has changed");
            write(&path, "shop = [", 0o600);
            look().await;
            look().await;
            assert_eq!(
                name(gate.caller(&headers(&shop), HERE, now())).as_deref(),
                Ok("shop"),
                "the old one stays"
            );
            write(&path, &entry("app", &app, ""), 0o604);
            look().await;
            assert!(
                gate.caller(&headers(&app), HERE, now()).is_err(),
                "others may read it"
            );
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            look().await;
            assert_eq!(
                name(gate.caller(&headers(&app), HERE, now())).as_deref(),
                Ok("app")
            );
            assert_eq!(
                gate.caller(&headers(&shop), HERE, now()),
                Err(Denied::Unknown),
                "it was taken out"
            );
            std::fs::remove_file(&path).unwrap();
            look().await;
            assert!(gate.caller(&headers(&app), HERE, now()).is_ok());
            shutdown.cancel();
        };
        tokio::join!(gate.watch(say, shutdown.clone()), steps);
        let said = said.into_inner().unwrap();
        let wrong: Vec<&str> = said.iter().map(|said| said.as_deref().unwrap_or("")).collect();
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        assert!(
            wrong[0].contains("cannot be used") && wrong[1].contains("chmod o= "),
            "{wrong:?}"
        );
        assert!(
            wrong[2].is_empty() && wrong[3].contains("cannot be read"),
            "{wrong:?}"
        );
    }
}
