//! The claims as they were read last: an answer needs those of a snapshot that began no later than its own, and they change once a second.
//!
//! A claim stays true: what one snapshot of a server had, every later one has. So the claims of an earlier snapshot are those of a later one,
//! too, and say less at most. That no answer says less than one before it did, every claim that is answered is noted here first, or nothing
//! is known any more; and what is noted never goes back.

#![expect(clippy::disallowed_methods, reason = "what was read has an age")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::Day;

use super::lease::Connected;
use super::past::{Past, Settled};
use crate::clock::{Claims, RegionClock, Sources};

/// Age up to which claims are taken for those of a snapshot that begins now.
const TAKEN_FOR: Duration = Duration::from_millis(100);

/// The claims that were read last.
#[derive(Default)]
pub(super) struct LastClaims(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    read: Option<Read>,
    /// The instant of the last note: what was read from then on is of a later snapshot than that.
    at: Option<Instant>,
    /// When something else has last shown claims.
    shown: Option<Instant>,
    /// The past as it was read last.
    past: Option<Arc<Settled>>,
    /// When an answer was last made of counts of the past that were not in memory: it may have more than an earlier snapshot.
    stirred: Option<Instant>,
}

/// Claims of a snapshot that began at an instant, or after it, and what else was read in it.
#[derive(Clone)]
pub(super) struct Read {
    begun: Instant,
    /// The instant when they were there.
    ended: Instant,
    pub(super) connected: Connected,
    claims: Arc<Claims>,
    /// The first day that retention had not dropped.
    pub(super) kept_since: Option<Day>,
}

impl LastClaims {
    /// The claims for a snapshot that begins now.
    pub(super) fn known(&self, connected: &Connected) -> Option<Read> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = noted.recent()?;
        let is_usable = read.begun > connected.at && read.connected.server == connected.server;
        is_usable.then(|| read.clone())
    }

    /// The claims of a snapshot of a moment ago, and its past.
    pub(super) fn latest(&self) -> Option<(Read, Arc<Settled>)> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = noted.recent().filter(|read| is_before(noted.stirred, read))?;
        Some((read.clone(), noted.past.clone()?))
    }

    /// Notes what was read, unless it says less than what was noted before: snapshots do not begin in the order in which they are asked for.
    pub(super) fn note(&self, read: Read, past: Option<Past>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let server = &read.connected.server;
        let is_later = noted.at.is_none_or(|at| at < read.begun);
        let says_less =
            |before: &Read| !read.claims.cover(&before.claims) || *server != before.connected.server;
        if !is_later && noted.read.as_ref().is_none_or(says_less) {
            return;
        }
        let now = Instant::now();
        let settled = |past| Settled::after(past, server, noted.past.as_deref(), now);
        noted.past = past.map(settled).map(Arc::new);
        noted.read = Some(read);
        noted.at = Some(now);
    }

    /// Notes that counts of `day`, and maybe of later ones, are about to be answered that are not those in memory.
    pub(super) fn stir(&self, day: Day) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.past.as_ref().is_none_or(|past| past.has(day.end_unix_s())) {
            noted.stirred = Some(Instant::now());
        }
    }

    /// Takes what was noted for nobody's any more: somebody is shown later claims.
    pub(super) fn forget(&self) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.shown = Some(Instant::now());
    }
}

impl Noted {
    /// What was read a moment ago, unless later claims were shown since.
    fn recent(&self) -> Option<&Read> {
        let is_usable = |read: &&Read| is_before(self.shown, read) && read.begun.elapsed() < TAKEN_FOR;
        self.read.as_ref().filter(is_usable)
    }
}

/// Whether something, if it ever was, was before the snapshot of `read`.
fn is_before(at: Option<Instant>, read: &Read) -> bool {
    at.is_none_or(|at| at < read.begun)
}

impl Read {
    /// Claims of a snapshot that began at `begun`, or after it, and that were there just now.
    pub(super) fn new(
        begun: Instant,
        connected: &Connected,
        claims: Claims,
        kept_since: Option<Day>,
    ) -> Self {
        Self {
            begun,
            ended: Instant::now(),
            connected: connected.clone(),
            claims: Arc::new(claims),
            kept_since,
        }
    }

    /// The clocks of `sources` as of now.
    pub(super) fn clocks(&self, sources: &Sources) -> BTreeMap<String, RegionClock> {
        self.claims.clocks(sources, self.ended.elapsed())
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

    fn read(begun: Instant, connected: &Connected, claims: Claims) -> Read {
        Read::new(begun, connected, claims, None)
    }

    #[test]
    fn the_last_ones_are_known_for_a_moment() {
        let (last, a) = (LastClaims::default(), connected("a"));
        assert!(last.known(&a).is_none());
        last.note(read(Instant::now(), &a, Claims::until(1)), None);
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
        last.note(read(long_ago, &before, Claims::until(1)), None);
        assert!(last.known(&before).is_none());
    }

    #[test]
    fn what_was_shown_does_not_go_back() {
        let (last, a) = (LastClaims::default(), connected("a"));
        let known = || last.known(&a).map(|read| (*read.claims).clone());
        let begun = Instant::now();
        last.note(read(begun, &a, Claims::until(2)), None);
        last.note(read(begun, &a, Claims::until(1)), None);
        assert_eq!(known(), Some(Claims::until(2)));
        last.note(read(begun, &a, Claims::until(3)), None);
        assert_eq!(known(), Some(Claims::until(3)));
        // A later snapshot says less only where its server does, after a restore.
        last.note(read(Instant::now(), &a, Claims::until(1)), None);
        assert_eq!(known(), Some(Claims::until(1)));
        last.forget();
        last.note(read(begun, &a, Claims::until(9)), None);
        assert_eq!(known(), None);
        last.note(read(Instant::now(), &a, Claims::until(9)), None);
        assert_eq!(known(), Some(Claims::until(9)));
    }
}
