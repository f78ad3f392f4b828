//! The centres: which of them is in charge, and where a request goes that it fails.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Glob, Instant};
use store::{Central, Found, Position, Server, Snapshot};

use crate::Error;
use crate::refusal::Refusal;

/// A centre that is further behind another has been cut off or restored: it is not in charge while another one answers.
pub const BEHIND_MS_MAX: i64 = 30_000;

/// How close a centre that was behind, or away, has to come before it is in charge again.
const CAUGHT_UP_MS_MAX: i64 = 5_000;

/// Longest wait for a centre to have what another one has answered before: both apply the same binlogs at the same time.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(5);

const CATCH_UP_POLL: Duration = Duration::from_millis(50);

/// No centre is in charge.
const NONE: usize = usize::MAX;

/// A centre as the configuration has it.
#[derive(Debug, Clone)]
pub struct Centre {
    pub name: String,
    pub server: Server,
}

/// What is known of a centre.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// `None` before the first look.
    pub(crate) answers: Option<bool>,
    /// As last seen; looked at only where there are several centres.
    pub(crate) complete_until: Option<Instant>,
    /// Too far behind another one to be preferred to it.
    is_behind: bool,
}

/// All centres, in the order in which they are preferred; clones share them.
#[derive(Clone)]
pub(crate) struct Centres(Arc<Inner>);

struct Inner {
    all: Vec<Site>,
    /// Covers every answer with counts that was given: a later one, wherever it comes from, must not lack any of them.
    answered: Mutex<Position>,
    in_charge: AtomicUsize,
}

struct Site {
    name: String,
    central: Central,
    /// For audits, whose statements take longer than those of `central` may.
    server: Server,
    state: Mutex<Known>,
}

/// One try of a request, at one centre.
pub(crate) struct Visit {
    centres: Centres,
    at: usize,
    /// What its counts must not lack; `None` where they may.
    must_have: Option<Position>,
}

impl Centres {
    /// # Errors
    /// `SameName` for two centres of one name, `Store` where the password cannot be read.
    pub(crate) fn new(centres: impl Iterator<Item = Centre>) -> Result<Self, Error> {
        let mut all = Vec::<Site>::new();
        for Centre { name, server } in centres {
            if all.iter().any(|site| site.name == name) {
                return Err(Error::SameName(name));
            }
            all.push(Site {
                name,
                central: Central::new(&server)?,
                server,
                state: Mutex::default(),
            });
        }
        Ok(Self(Arc::new(Inner {
            all,
            answered: Mutex::default(),
            in_charge: AtomicUsize::new(NONE),
        })))
    }

    /// Does `work` at the centre in charge. Where that cannot be reached, or lacks what was answered before, does it at the next.
    pub(crate) async fn ask<T, W>(&self, work: impl Fn(Visit) -> W) -> Result<T, Refusal>
    where
        W: Future<Output = Result<T, Refusal>>,
    {
        let begun = tokio::time::Instant::now();
        let answered = self.answered().clone();
        loop {
            let must_have = (begun.elapsed() < CATCH_UP_LIMIT).then_some(&answered);
            match self.ask_in_turn(&work, must_have).await {
                Err(Refusal::GoesBack) => tokio::time::sleep(CATCH_UP_POLL).await,
                outcome => return outcome,
            }
        }
    }

    /// [`Refusal::GoesBack`] where it is worth another try.
    async fn ask_in_turn<T, W>(
        &self,
        work: &impl Fn(Visit) -> W,
        must_have: Option<&Position>,
    ) -> Result<T, Refusal>
    where
        W: Future<Output = Result<T, Refusal>>,
    {
        let (mut goes_back, mut failure) = (false, None);
        for (tries, at) in order(&self.states()).into_iter().enumerate() {
            if tries > 0 {
                metrics::counter!("api_fallbacks_total").increment(1);
            }
            let visit = Visit {
                centres: self.clone(),
                at,
                must_have: must_have.cloned(),
            };
            match work(visit).await {
                Err(Refusal::Database(error)) if self.is_several() && error.may_succeed_elsewhere() => {
                    self.failed(at, &error);
                    failure = Some(error);
                }
                Err(Refusal::GoesBack) => goes_back = true,
                outcome => return outcome,
            }
        }
        Err(match failure {
            Some(error) if !goes_back => Refusal::Database(error),
            _ => Refusal::GoesBack,
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.0.all.len()
    }

    pub(crate) fn name(&self, at: usize) -> &str {
        &self.0.all[at].name
    }

    pub(crate) fn any_answers(&self) -> bool {
        self.states().iter().any(|state| state.answers == Some(true))
    }

    fn is_several(&self) -> bool {
        self.count() > 1
    }

    /// Each centre's name and state, in the order in which they are preferred.
    pub(crate) fn named_states(&self) -> impl Iterator<Item = (&str, Known)> {
        self.0.all.iter().map(|site| (site.name.as_str(), site.state()))
    }

    fn states(&self) -> Vec<Known> {
        self.0.all.iter().map(Site::state).collect()
    }

    /// Asks a centre whether it answers and, where there are several, how far it is.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) async fn look(&self, at: usize) -> Result<(), store::Error> {
        let site = &self.0.all[at];
        let seen = if self.is_several() {
            site.central.complete_until().await
        } else {
            site.central.ping().await.map(|()| None)
        };
        let before = site.state();
        let (state, outcome) = match seen {
            Ok(complete_until) => {
                let others = self.states().into_iter().enumerate();
                let newest = others
                    .filter(|&(other, state)| other != at && state.answers == Some(true))
                    .filter_map(|(_, state)| state.complete_until)
                    .max();
                (before.seen(complete_until, newest), Ok(()))
            }
            Err(error) => (before.silent(), Err(error)),
        };
        site.set(state);
        self.tell_who_is_in_charge();
        outcome
    }

    fn failed(&self, at: usize, error: &store::Error) {
        let site = &self.0.all[at];
        tracing::warn!(
            centre = site.name,
            error = error as &dyn std::error::Error,
            "a request goes on at the next centre"
        );
        if error.is_unreachable() {
            site.set(site.state().silent());
            self.tell_who_is_in_charge();
        }
    }

    fn tell_who_is_in_charge(&self) {
        if !self.is_several() {
            return;
        }
        let states = self.states();
        let first = order(&states).first().copied();
        let in_charge = first
            .filter(|&at| states[at].answers == Some(true))
            .unwrap_or(NONE);
        for (at, site) in self.0.all.iter().enumerate() {
            metrics::gauge!("api_centre_in_charge", "centre" => site.name.clone()).set(if at == in_charge {
                1
            } else {
                0
            });
        }
        if self.0.in_charge.swap(in_charge, Ordering::Relaxed) != in_charge {
            match self.0.all.get(in_charge) {
                Some(site) => tracing::info!(centre = site.name, "in charge of answers"),
                None => tracing::error!("no centre answers"),
            }
        }
    }

    fn answered(&self) -> MutexGuard<'_, Position> {
        self.0.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The centres to ask, one after the other: those that are believed to answer, the ones behind last; all where none is.
fn order(states: &[Known]) -> Vec<usize> {
    let all = 0..states.len();
    let mut answering: Vec<usize> = all
        .clone()
        .filter(|&at| states[at].answers != Some(false))
        .collect();
    if answering.is_empty() {
        return all.collect();
    }
    answering.sort_by_key(|&at| states[at].is_behind);
    answering
}

impl Known {
    /// After it answered. `newest` is the most that another one, which answers, has.
    fn seen(self, complete_until: Option<Instant>, newest: Option<Instant>) -> Self {
        let limit_ms = if self.is_behind || self.answers == Some(false) {
            CAUGHT_UP_MS_MAX
        } else {
            BEHIND_MS_MAX
        };
        let is_behind = newest.is_some_and(|newest| {
            complete_until.is_none_or(|complete_until| newest.ms_since(complete_until) > limit_ms)
        });
        Self {
            answers: Some(true),
            complete_until,
            is_behind,
        }
    }

    fn silent(self) -> Self {
        Self {
            answers: Some(false),
            ..self
        }
    }
}

impl Site {
    fn state(&self) -> Known {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: Known) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

impl Visit {
    pub(crate) fn name(&self) -> &str {
        &self.site().name
    }

    pub(crate) fn central(&self) -> &Central {
        &self.site().central
    }

    pub(crate) fn server(&self) -> &Server {
        &self.site().server
    }

    fn site(&self) -> &Site {
        &self.centres.0.all[self.at]
    }

    /// As [`Central::snapshot`], of what does not lack any count that was answered before.
    pub(crate) async fn snapshot(
        &self,
        patterns: &[Glob],
        limit: usize,
    ) -> Result<(Snapshot<'_>, Found), Refusal> {
        let (mut snapshot, found) = self.central().snapshot(patterns, limit).await?;
        if !self.centres.is_several() {
            return Ok((snapshot, found));
        }
        let position = snapshot.position().await?;
        match &self.must_have {
            Some(must_have) if !position.covers(must_have) => {
                snapshot.finish().await?;
                return Err(Refusal::GoesBack);
            }
            Some(_) => self.centres.answered().join(&position),
            None => {
                metrics::counter!("api_answers_gone_back_total").increment(1);
                tracing::warn!(
                    centre = self.name(),
                    "answers lack counts that were answered before"
                );
                *self.centres.answered() = position;
            }
        }
        Ok((snapshot, found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answering(is_behind: bool) -> Known {
        Known {
            answers: Some(true),
            complete_until: None,
            is_behind,
        }
    }

    #[test]
    fn every_centre_has_a_name_of_its_own() {
        let centres = |names: &[&str]| {
            let centre = |name: &&str| Centre {
                name: (*name).to_owned(),
                server: serde_json::from_str(r#"{"user":"nobody"}"#).unwrap(),
            };
            Centres::new(names.iter().map(centre))
        };
        assert_eq!(centres(&["central", "standby"]).unwrap().count(), 2);
        let refusal = centres(&["central", "standby", "central"])
            .map(|_| ())
            .unwrap_err();
        assert!(refusal.to_string().contains("two centres are called 'central'"));
    }

    #[test]
    fn the_first_that_answers_and_is_not_behind_is_in_charge() {
        let (well, behind, silent) = (answering(false), answering(true), answering(false).silent());
        assert_eq!(order(&[Known::default()]), [0]);
        assert_eq!(order(&[well, well]), [0, 1]);
        assert_eq!(order(&[behind, well]), [1, 0]);
        assert_eq!(
            order(&[silent, behind]),
            [1],
            "nobody waits for one that is silent"
        );
        assert_eq!(order(&[silent, silent]), [0, 1], "unless there is no other");
    }

    #[test]
    fn a_centre_that_was_behind_or_away_is_back_when_it_has_caught_up() {
        let at = |s: i64| Some(Instant::from_unix_ms(s * 1000));
        let is_behind = |before: Known, own, newest| before.seen(own, newest).is_behind;
        let (well, behind) = (answering(false), answering(true));
        assert!(!is_behind(well, at(70), at(100)));
        assert!(is_behind(well, at(69), at(100)));
        assert!(is_behind(behind, at(94), at(100)));
        assert!(!is_behind(behind, at(95), at(100)));
        assert!(is_behind(well.silent(), at(94), at(100)), "it has been away");
        assert!(is_behind(well, None, at(100)), "it does not know how far it is");
        assert!(!is_behind(well, None, None), "none of them does");
    }
}
