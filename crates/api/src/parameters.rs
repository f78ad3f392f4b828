//! The parameters of a query string, as the paths of `/v1` take them.

use std::borrow::Cow;

/// Reasons for which a query string is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("unknown query parameter: this path takes {}", listed(known))]
    Unknown { known: &'static [&'static str] },
    #[error("query parameter {0} is given more than once")]
    Repeated(&'static str),
}

fn listed(known: &[&str]) -> String {
    if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    }
}

/// Keys and values, decoded, in their order.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The parameters of a query string, whose keys have to be among `known`. A `+` stays a `+`: names and times have it, and neither has
    /// a space.
    ///
    /// # Errors
    /// `Unknown` for another key, so that a misspelt one is not silently without effect.
    pub(crate) fn parse(query: Option<&str>, known: &'static [&'static str]) -> Result<Self, Error> {
        let query = query.unwrap_or_default().replace('+', "%2B");
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes())
            .map(|(key, value): (Cow<'_, str>, Cow<'_, str>)| (key.into_owned(), value.into_owned()))
            .collect();
        if pairs.iter().all(|(key, _)| known.contains(&key.as_str())) {
            Ok(Self(pairs))
        } else {
            Err(Error::Unknown { known })
        }
    }

    /// All values of a key, in their order.
    pub(crate) fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that may be given once, if it is.
    ///
    /// # Errors
    /// `Repeated` where it is given more than once.
    pub(crate) fn one(&self, key: &'static str) -> Result<Option<&str>, Error> {
        let mut values = self.all(key);
        let first = values.next();
        if values.next().is_some() {
            Err(Error::Repeated(key))
        } else {
            Ok(first)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["name", "from"];

    #[test]
    fn values_are_decoded_and_a_plus_stays() {
        let parameters =
            Parameters::parse(Some("name=a%2Fb&from=2026-01-01T00:00:00+01:00&name=c%23"), KNOWN).unwrap();
        assert_eq!(parameters.all("name").collect::<Vec<_>>(), ["a/b", "c#"]);
        assert_eq!(parameters.one("from").unwrap(), Some("2026-01-01T00:00:00+01:00"));
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused() {
        assert!(matches!(
            Parameters::parse(Some("nmae=a"), KNOWN),
            Err(Error::Unknown { .. })
        ));
        let twice = Parameters::parse(Some("from=1&from=2"), KNOWN).unwrap();
        assert!(matches!(twice.one("from"), Err(Error::Repeated("from"))));
        assert_eq!(Parameters::parse(None, KNOWN).unwrap().one("from").unwrap(), None);
    }
}
