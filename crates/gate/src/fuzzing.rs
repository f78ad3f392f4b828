//! The check of a tokens file: for the fuzz target `tokens`, and for its corpus.

use crate::tokens::Tokens;

/// Reads a tokens file.
///
/// # Panics
/// A file is taken that breaks a rule of its entries.
pub fn tokens(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let Ok(tokens) = Tokens::parse(text) else {
        return;
    };
    assert!(tokens.count() > 0);
    for token in tokens.iter() {
        assert!(!token.scopes.is_empty() && token.weight > 0 && token.names_max > 0);
        assert!(token.view.is_all() || token.view.prefixes().is_some_and(|prefixes| !prefixes.is_empty()));
    }
}

#[cfg(test)]
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

#[cfg(test)]
#[test]
fn what_was_found_holds() {
    replay::corpus("tokens", tokens);
}
