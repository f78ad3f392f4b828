//! What is wrong with the api itself, as `/v1/status` shows it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use model::Timestamp;

/// The kinds of the alarms that the file of tokens is refused, that the certificate ends soon or is refused, and that there are more names than
/// the index has room for.
pub(crate) const TOKENS_FILE: &str = "tokens_file";
pub(crate) const CERTIFICATE: &str = "certificate";
pub(crate) const NAMES_INDEX: &str = "names_index";

/// What is wrong, by kind, and since when.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Mutex<BTreeMap<&'static str, Trouble>>);

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trouble {
    pub(crate) sentence: String,
    pub(crate) since: Timestamp,
}

impl Troubles {
    /// Notes what is wrong, or that nothing is any more.
    #[expect(clippy::disallowed_methods, reason = "an alarm has a beginning")]
    pub(crate) fn note(&self, kind: &'static str, error: Option<&dyn std::error::Error>) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = troubles.remove(kind);
        if let Some(error) = error {
            let since = before.map(|trouble| trouble.since);
            let trouble = Trouble {
                sentence: listener::with_causes(error),
                since: since.unwrap_or_else(|| Timestamp::from(SystemTime::now())),
            };
            troubles.insert(kind, trouble);
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<(&'static str, Trouble)> {
        let troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        troubles
            .iter()
            .map(|(&kind, trouble)| (kind, trouble.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_keeps_its_beginning_until_it_ends() {
        let troubles = Troubles::default();
        let error = |text: &str| std::io::Error::other(text.to_owned());
        troubles.note(CERTIFICATE, Some(&error("ends soon")));
        let first = troubles.all();
        troubles.note(CERTIFICATE, Some(&error("has ended")));
        let (_, now) = &troubles.all()[0];
        assert_eq!(
            (now.sentence.as_str(), now.since),
            ("has ended", first[0].1.since)
        );
        troubles.note(TOKENS_FILE, None);
        troubles.note(CERTIFICATE, None);
        assert!(troubles.all().is_empty());
    }
}
