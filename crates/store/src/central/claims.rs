//! The claims as they were read last: every snapshot ends with the question for them, and they change once a second.
//!
//! A claim stays true: what one snapshot of a server had, every later one has. So the claims of an earlier snapshot are those of a later one,
//! too, and say less at most. That no answer says less than one before it did, what is noted here never goes back.

#![expect(clippy::disallowed_methods, reason = "what was read has an age")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lease::Connected;
use crate::clock::Claims;

/// Age up to which claims are taken for those of a snapshot that begins now.
const TAKEN_FOR: Duration = Duration::from_millis(100);

/// The claims that were read last.
#[derive(Default)]
pub(super) struct LastClaims(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    read: Option<Read>,
    /// The instant of the last note, and of what else has shown claims: what was read from then on is of a later snapshot than that.
    at: Option<Instant>,
}

/// Claims of a snapshot that began at an instant, or after it.
#[derive(Clone)]
pub(super) struct Read {
    begun: Instant,
    server: Arc<str>,
    pub(super) claims: Arc<Claims>,
}

impl LastClaims {
    /// The claims for a snapshot that begins now.
    pub(super) fn known(&self, connected: &Connected) -> Option<Read> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = noted.read.as_ref()?;
        let is_usable =
            read.begun > connected.at && read.server == connected.server && read.age() < TAKEN_FOR;
        is_usable.then(|| read.clone())
    }

    /// Notes what was read, unless it says less than what was noted before: snapshots do not begin in the order in which they are asked for.
    pub(super) fn note(&self, read: Read) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_later = noted.at.is_none_or(|at| at < read.begun);
        let says_less = |before: &Read| !read.claims.cover(&before.claims) || read.server != before.server;
        if is_later || noted.read.as_ref().is_some_and(|before| !says_less(before)) {
            noted.read = Some(read);
            noted.at = Some(Instant::now());
        }
    }

    /// Forgets what was noted: somebody is shown later claims.
    pub(super) fn forget(&self) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *noted = Noted {
            read: None,
            at: Some(Instant::now()),
        };
    }
}

impl Read {
    /// What was read of a snapshot that began at `begun`, or after it.
    pub(super) fn new(begun: Instant, connected: &Connected, claims: Claims) -> Self {
        Self {
            begun,
            server: Arc::clone(&connected.server),
            claims: Arc::new(claims),
        }
    }

    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(server: &str) -> Connected {
        Connected {
            at: Instant::now(),
            server: server.into(),
        }
    }

    #[test]
    fn the_last_ones_are_known_for_a_moment() {
        let (last, a) = (LastClaims::default(), connected("a"));
        assert!(last.known(&a).is_none());
        last.note(Read::new(Instant::now(), &a, Claims::until(1)));
        assert!(last.known(&a).is_some());
        assert!(
            last.known(&connected("a")).is_none(),
            "of before it was connected"
        );
        let b = Connected {
            server: "b".into(),
            ..a.clone()
        };
        assert!(last.known(&b).is_none(), "of another server");
        let long_ago = a.at.checked_sub(TAKEN_FOR).unwrap();
        let last = LastClaims::default();
        let before = Connected {
            at: long_ago.checked_sub(TAKEN_FOR).unwrap(),
            ..a
        };
        last.note(Read::new(long_ago, &before, Claims::until(1)));
        assert!(last.known(&before).is_none());
    }

    #[test]
    fn what_was_shown_does_not_go_back() {
        let (last, a) = (LastClaims::default(), connected("a"));
        let known = || last.known(&a).map(|read| (*read.claims).clone());
        let begun = Instant::now();
        last.note(Read::new(begun, &a, Claims::until(2)));
        last.note(Read::new(begun, &a, Claims::until(1)));
        assert_eq!(known(), Some(Claims::until(2)));
        last.note(Read::new(begun, &a, Claims::until(3)));
        assert_eq!(known(), Some(Claims::until(3)));
        // A later snapshot says less only where its server does, after a restore.
        last.note(Read::new(Instant::now(), &a, Claims::until(1)));
        assert_eq!(known(), Some(Claims::until(1)));
        last.forget();
        last.note(Read::new(begun, &a, Claims::until(9)));
        assert_eq!(known(), None);
        last.note(Read::new(Instant::now(), &a, Claims::until(9)));
        assert_eq!(known(), Some(Claims::until(9)));
    }
}
