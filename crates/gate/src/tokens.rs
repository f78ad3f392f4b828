//! Tokens: who may do what, under which name, and how much of it.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use model::{Client, EventName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::View;
use crate::origin::Origin;
use crate::secret::{Secret, SecretHash};

/// Most tokens of a file: each is compared with every secret that is sent, and has metrics of its own.
pub const TOKENS_MAX: usize = 1_000;

/// Most prefixes of a token: each is compared with every name.
const PREFIXES_MAX: usize = 100;

/// Most of a share that a token can have beside one of weight 1.
pub const WEIGHT_MAX: u32 = 1_000;

/// Most distinct names of a token in a UTC day and collector: a quarter of what a collector remembers of all.
const NAMES_MAX_MOST: usize = 1_000_000;

/// Distinct names of a token in a UTC day and collector where its entry does not say.
pub const NAMES_MAX_DEFAULT: usize = 100_000;

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Events, and annotations of its own.
    Write,
    /// Every `GET` of the api.
    Read,
    /// Audits, and the annotations of others.
    Admin,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Admin => "admin",
        })
    }
}

/// An entry `[[token]]` as the file has it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name of the client, by which logs, metrics and counts call it.
    pub name: String,
    /// The SHA-256 of its secret, in hexadecimal digits.
    pub sha256: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The beginnings of the names that it may count and read; all names without them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefixes: Option<Vec<String>>,
    /// Its share where there is not enough for all, beside one of weight 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Events a second that it may send for long; no limit without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_s: Option<u32>,
    /// Distinct names that it may count in a UTC day, at one collector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names_max: Option<usize>,
    /// The date, or the time with an offset, from which on it is refused; a date begins in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<toml::value::Datetime>,
    /// The origins of browsers' pages that may use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origins: Option<Vec<String>>,
}

/// The whole file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    token: Vec<Entry>,
}

/// Why a text is no file of tokens.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// It is a file of an earlier version, with a line `name secret` for each client.
    #[error(
        "it has lines 'name secret', as earlier versions read them: for each, 'eventtracker token new --name NAME --scope write \
         --keep-secret' reads the secret and prints the entry to put here instead"
    )]
    Lines,
    /// It is no TOML of that shape. Nothing of its text is repeated: that may be a secret that somebody put there.
    #[error("line {line}: {message}")]
    Toml {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// There is no token, with which nobody would be let in.
    #[error("it has no token: 'eventtracker token new' makes one")]
    Empty,
    /// There are more tokens than a role compares.
    #[error("it has {0} tokens: at most {TOKENS_MAX} are allowed")]
    TooMany(usize),
    /// An entry has a value that it cannot have.
    #[error("token '{name}': {reason}")]
    Entry {
        /// The token's name, as it was given.
        name: String,
        /// What is wrong.
        reason: EntryError,
    },
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Its name is not one that a client can have.
    #[error("name has 1 to 64 characters of A–Z a–z 0–9 _ - . : @")]
    Name,
    /// Another entry has its name.
    #[error("another token has this name, too")]
    NameTwice,
    /// Its hash is none.
    #[error("sha256 is not the 64 hexadecimal digits of a SHA-256")]
    Hash,
    /// Another entry has its hash.
    #[error("another token has this secret, too")]
    HashTwice,
    /// It allows nothing.
    #[error("scopes is empty: give write, read or admin")]
    NoScope,
    /// It has a line for prefixes, and none in it.
    #[error("prefixes is empty, so that it could count and read no name: leave the line out for all names")]
    NoPrefix,
    /// It has more prefixes than are compared.
    #[error("it has more than {PREFIXES_MAX} prefixes")]
    TooManyPrefixes,
    /// No name begins so.
    #[error("prefix '{0}' is not the beginning of a name")]
    Prefix(String),
    /// Its weight is out of range.
    #[error("weight is {0}, and must be from 1 to {WEIGHT_MAX}")]
    Weight(u32),
    /// Its budget of names is more than a collector remembers.
    #[error("names_max is {0}, and must be at most {NAMES_MAX_MOST}")]
    NamesMax(usize),
    /// A limit is 0.
    #[error("{0} is 0, with which nothing could be sent")]
    Zero(&'static str),
    /// Its end is no instant.
    #[error("expires is a date such as 2027-01-01, or a time with an offset such as 2027-01-01T12:00:00Z")]
    Expires,
    /// No page is of such an origin.
    #[error("'{0}' is not an origin: give a scheme and a host, such as https://shop.example")]
    Origin(String),
}

/// A client's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The name of the client, by which logs, metrics and counts call it.
    pub name: Client,
    /// The names that it may count and read.
    pub view: View,
    /// Its share where there is not enough for all, beside one of weight 1.
    pub weight: u32,
    /// Events a second that it may send for long; `None` without a limit.
    pub events_per_s: Option<u32>,
    /// Distinct names that it may count in a UTC day, at one collector.
    pub names_max: usize,
    /// The instant from which on it is refused.
    pub expires: Option<Timestamp>,
    /// The origins of browsers' pages that may use it.
    pub origins: Vec<Origin>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    hash: SecretHash,
}

impl Token {
    fn of(entry: Entry) -> Result<Self, EntryError> {
        let name = Client::of(&entry.name);
        if name.as_str() != entry.name {
            return Err(EntryError::Name);
        }
        if entry.scopes.is_empty() {
            return Err(EntryError::NoScope);
        }
        let weight = entry.weight.unwrap_or(1);
        if !(1..=WEIGHT_MAX).contains(&weight) {
            return Err(EntryError::Weight(weight));
        }
        for (key, is_zero) in [
            ("events_per_s", entry.events_per_s == Some(0)),
            ("names_max", entry.names_max == Some(0)),
        ] {
            if is_zero {
                return Err(EntryError::Zero(key));
            }
        }
        let names_max = entry.names_max.unwrap_or(NAMES_MAX_DEFAULT);
        if names_max > NAMES_MAX_MOST {
            return Err(EntryError::NamesMax(names_max));
        }
        let origin = |text: String| Origin::parse(&text).ok_or(EntryError::Origin(text));
        let origins = entry.origins.unwrap_or_default().into_iter().map(origin);
        Ok(Self {
            name,
            view: view(entry.prefixes)?,
            weight,
            events_per_s: entry.events_per_s,
            names_max,
            expires: entry.expires.map(instant).transpose()?,
            origins: origins.collect::<Result<_, _>>()?,
            scopes: entry.scopes,
            hash: SecretHash::from_hex(&entry.sha256).ok_or(EntryError::Hash)?,
        })
    }

    /// Whether the token has a scope.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether the token is refused at `now`, because its time is over.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

fn view(prefixes: Option<Vec<String>>) -> Result<View, EntryError> {
    let Some(prefixes) = prefixes else {
        return Ok(View::all());
    };
    if prefixes.is_empty() {
        return Err(EntryError::NoPrefix);
    }
    if prefixes.len() > PREFIXES_MAX {
        return Err(EntryError::TooManyPrefixes);
    }
    // What a name may begin with is a name, too.
    match prefixes
        .iter()
        .find(|prefix| EventName::new(prefix.as_str()).is_err())
    {
        Some(prefix) => Err(EntryError::Prefix(prefix.clone())),
        None => Ok(View::of(prefixes)),
    }
}

/// The instant that `expires` means: a date begins in UTC; a time without an offset could be anybody's.
fn instant(expires: toml::value::Datetime) -> Result<Timestamp, EntryError> {
    let text = match (expires.date, expires.time, expires.offset) {
        (Some(date), None, None) => format!("{date}T00:00:00Z"),
        (Some(_), Some(_), Some(_)) => expires.to_string(),
        _ => return Err(EntryError::Expires),
    };
    Timestamp::from_rfc3339(&text).map_err(|_| EntryError::Expires)
}

/// The tokens of a file, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens(Vec<Arc<Token>>);

impl Tokens {
    /// The tokens that a file's text lists.
    ///
    /// # Errors
    /// The first reason why it cannot be used.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        // An editor's byte order mark is no part of the file.
        let text = text.trim_start_matches('\u{feff}');
        let file: File = match toml::from_str(text) {
            Ok(file) => file,
            Err(_) if has_lines_of_old(text) => return Err(ParseError::Lines),
            Err(_) if text.lines().all(is_blank_or_comment) => return Err(ParseError::Empty),
            Err(error) => return Err(not_toml(text, &error)),
        };
        if file.token.is_empty() {
            return Err(ParseError::Empty);
        }
        if file.token.len() > TOKENS_MAX {
            return Err(ParseError::TooMany(file.token.len()));
        }
        let (mut names, mut hashes) = (HashSet::new(), HashSet::new());
        let mut tokens = Vec::with_capacity(file.token.len());
        for entry in file.token {
            let name = entry.name.clone();
            let token = Token::of(entry).and_then(|token| {
                if !names.insert(token.name.clone()) {
                    Err(EntryError::NameTwice)
                } else if hashes.insert(token.hash.to_string()) {
                    Ok(token)
                } else {
                    Err(EntryError::HashTwice)
                }
            });
            match token {
                Ok(token) => tokens.push(Arc::new(token)),
                Err(reason) => return Err(ParseError::Entry { name, reason }),
            }
        }
        Ok(Self(tokens))
    }

    /// The token with this secret. Every one is compared, in constant time, so that the answer's delay tells nothing.
    #[must_use]
    pub fn with_secret(&self, secret: &Secret) -> Option<&Arc<Token>> {
        let hash = secret.hash();
        self.0.iter().fold(
            None,
            |found, token| {
                if token.hash.is(&hash) { Some(token) } else { found }
            },
        )
    }

    /// All tokens.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Token>> {
        self.0.iter()
    }

    /// The number of tokens.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl Entry {
    /// The entry as a file has it.
    ///
    /// # Errors
    /// A value that TOML cannot hold.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(&File {
            token: vec![self.clone()],
        })
    }
}

fn is_blank_or_comment(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

fn not_toml(text: &str, error: &toml::de::Error) -> ParseError {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    ParseError::Toml {
        line: 1 + text.as_bytes()[..at]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count(),
        message: without_values(error.message()),
    }
}

/// The message without the values that it quotes.
fn without_values(message: &str) -> String {
    let shown = |(at, part): (usize, &str)| {
        if at % 2 == 0 {
            part.to_owned()
        } else {
            "…".to_owned()
        }
    };
    let parts: Vec<String> = message.split('"').enumerate().map(shown).collect();
    parts.join("\"")
}

/// Whether a line has two words, as those of earlier versions.
fn has_lines_of_old(text: &str) -> bool {
    let is_old = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [name, secret] => {
            !name.ends_with('=') && !secret.starts_with('=') && !line.contains(['[', '"', '\''])
        }
        _ => false,
    };
    text.lines().filter(|line| !is_blank_or_comment(line)).any(is_old)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";
    const HASH: &str = "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f";

    fn parse(entry: &str) -> Result<Tokens, ParseError> {
        Tokens::parse(&format!(
            "[[token]]\nname = 'shop'\nsha256 = '{HASH}'\nscopes = ['write']\n{entry}"
        ))
    }

    #[test]
    fn an_entry_says_who_may_do_what() {
        let whole = parse(
            "prefixes = ['shop.']\nweight = 2\nevents_per_s = 100000\nnames_max = 50000\nexpires = 2027-01-01\n\
             origins = ['https://shop.example']",
        );
        let whole = whole.unwrap();
        let secret = Secret::new(SECRET).unwrap();
        let token = whole.with_secret(&secret).unwrap();
        assert_eq!(
            (token.name.as_str(), token.weight, token.names_max),
            ("shop", 2, 50_000)
        );
        assert!(token.may(Scope::Write) && !token.may(Scope::Read) && !token.may(Scope::Admin));
        assert!(token.view.has("shop.a") && !token.view.has("web.a"));
        let new_year = Timestamp::from_rfc3339("2027-01-01T00:00:00Z").unwrap();
        assert!(!token.has_expired(new_year.plus_ms(-1)) && token.has_expired(new_year));
        let least = parse("").unwrap();
        let token = least.iter().next().unwrap();
        assert_eq!(
            (token.weight, token.names_max, token.events_per_s),
            (1, NAMES_MAX_DEFAULT, None)
        );
        assert!(token.view.is_all() && token.expires.is_none());
        assert!(
            least
                .with_secret(&Secret::new("0123456789abcdeg").unwrap())
                .is_none()
        );
    }

    #[test]
    fn what_an_entry_cannot_say_is_refused_with_its_name() {
        for (entry, sentence) in [
            (
                "weight = 0",
                "token 'shop': weight is 0, and must be from 1 to 1000",
            ),
            ("weight = 1001", "token 'shop': weight is 1001"),
            ("events_per_s = 0", "token 'shop': events_per_s is 0"),
            ("names_max = 0", "token 'shop': names_max is 0"),
            (
                "names_max = 1000001",
                "token 'shop': names_max is 1000001, and must be at most",
            ),
            ("prefixes = []", "leave the line out for all names"),
            (
                "prefixes = ['shop*']",
                "prefix 'shop*' is not the beginning of a name",
            ),
            ("prefixes = ['']", "prefix '' is not"),
            ("expires = 2027-01-01T00:00:00", "a time with an offset"),
            ("expires = 12:00:00", "expires is a date such as 2027-01-01"),
            (
                "expires = '2027'",
                "line 5: invalid type: string \"…\", expected a TOML datetime",
            ),
            ("origins = ['shop.example']", "'shop.example' is not an origin"),
            ("wieght = 1", "unknown field `wieght`"),
            (
                "[[token]]\nname = 'app'\nsha256 = 'abc'\nscopes = ['read']",
                "token 'app': sha256 is not",
            ),
            (
                "[[token]]\nname = 'app'\nsha256 = ''\nscopes = ['rw']",
                "unknown variant `rw`",
            ),
        ] {
            let refusal = parse(entry).unwrap_err().to_string();
            assert!(refusal.contains(sentence), "{entry}: {refusal}");
        }
        let twice = |name: &str, hash: &str| {
            let more = format!("[[token]]\nname = '{name}'\nsha256 = '{hash}'\nscopes = ['read']");
            parse(&more).unwrap_err().to_string()
        };
        assert!(twice("shop", &HASH.replace('9', "8")).contains("token 'shop': another token has this name"));
        assert!(twice("app", &HASH.to_uppercase()).contains("token 'app': another token has this secret"));
        assert!(twice("a b", HASH).contains("token 'a b': name has 1 to 64 characters"));
    }

    #[test]
    fn what_is_no_file_of_tokens_is_refused_and_not_repeated() {
        for (text, sentence) in [
            ("", "it has no token"),
            ("# none yet\n", "it has no token"),
            ("token = []", "it has no token"),
            (
                "\u{feff}# who\nshop 0123456789abcdef\n",
                "lines 'name secret', as earlier versions",
            ),
            (
                "shop MDEyMzQ1Njc4OWFiY2RlZg==\n",
                "lines 'name secret', as earlier versions",
            ),
            (
                "shop\t0123456789abcdef\n[[token]]\nname = 'a'\n",
                "lines 'name secret', as earlier versions",
            ),
            ("[[token]]\nname = 'a'\nsecret: 0123456789abcdef 1\n", "line 3: "),
            ("[[token]]\nname = 'a'", "missing field `sha256`"),
        ] {
            let refusal = Tokens::parse(text).unwrap_err().to_string();
            assert!(refusal.contains(sentence), "{text}: {refusal}");
            assert!(
                !refusal.contains("0123456789abcdef") && !refusal.contains("MDEy"),
                "{refusal}"
            );
        }
    }

    #[test]
    fn tokens_are_finite() {
        let entry = |n: usize| format!("[[token]]\nname = 't{n}'\nsha256 = '{n:064x}'\nscopes = ['read']\n");
        let most: String = (0..TOKENS_MAX).map(entry).collect();
        assert_eq!(Tokens::parse(&most).unwrap().count(), TOKENS_MAX);
        let more = most + &entry(TOKENS_MAX);
        assert!(matches!(Tokens::parse(&more), Err(ParseError::TooMany(1_001))));
    }

    #[test]
    fn an_entry_is_read_as_it_is_written() {
        let entry = Entry {
            name: "shop".to_owned(),
            sha256: HASH.to_owned(),
            scopes: vec![Scope::Write, Scope::Read],
            prefixes: Some(vec!["shop.".to_owned()]),
            weight: None,
            events_per_s: None,
            names_max: None,
            expires: Some("2027-01-01".parse().unwrap()),
            origins: None,
        };
        let text = entry.to_toml().unwrap();
        assert!(
            text.starts_with("[[token]]\nname = \"shop\"\n") && text.contains("expires = 2027-01-01"),
            "{text}"
        );
        let tokens = Tokens::parse(&text).unwrap();
        assert_eq!(*tokens.iter().next().unwrap().as_ref(), Token::of(entry).unwrap());
    }
}
