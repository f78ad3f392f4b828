//! The check of a tokens file: for the fuzz target `tokens`, and for its corpus.

use std::path::Path;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use crate::tokens::{Sender, Tokens};

/// Reads a tokens file.
///
/// # Panics
/// A client is not known by its secret.
pub fn tokens(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let Ok(tokens) = Tokens::parse(text, Path::new("tokens")) else {
        return;
    };
    assert!(!tokens.are_none());
    for token in &tokens.0 {
        let mut headers = HeaderMap::new();
        headers.insert(
            AUTHORIZATION,
            format!("Bearer {}", token.secret)
                .parse()
                .expect("a secret is visible ASCII"),
        );
        match tokens.sender(&headers) {
            Some(Sender::Token(of)) => assert_eq!(of.name, token.name),
            _ => panic!("{:?} is not known", token.name),
        }
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
