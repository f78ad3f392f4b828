//! The centres: which of them is in charge, and where a request goes that it fails.

mod error;
mod known;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::Glob;
use store::Server;
use store::central::{Central, Matched, Position, Snapshot};
use tokio::time::Instant as Clock;

pub(crate) use self::error::{AtCentre, Error};
pub use self::known::BEHIND_MS_MAX;
pub(crate) use self::known::Known;
use self::known::order;
use crate::error::Error as StartError;

/// Longest wait for a centre to have what another one has answered before: both apply the same binlogs at the same time.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(5);

const CATCH_UP_POLL: Duration = Duration::from_millis(50);

/// Snapshots of one request that may be lost to changes of partitions, which the keeper makes once a month and shard.
const CHANGES_MAX: u32 = 10;

/// No centre is in charge.
const NONE: usize = usize::MAX;

/// A centre as the configuration has it.
#[derive(Debug, Clone)]
pub struct Centre {
    pub name: String,
    pub server: Server,
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
    /// What its counts must not lack, unless they may.
    must_have: Position,
    may_go_back: bool,
}

impl Centres {
    /// # Errors
    /// `SameName` for two centres of one name, `Store` where the password cannot be read.
    pub(crate) fn new(centres: impl Iterator<Item = Centre>) -> Result<Self, StartError> {
        let mut all = Vec::<Site>::new();
        for Centre { name, server } in centres {
            if all.iter().any(|site| site.name == name) {
                return Err(StartError::SameName(name));
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
    ///
    /// # Errors
    /// What `work` is refused for; the last centre's error where none did its part.
    pub(crate) async fn ask<T, E, W>(&self, work: impl Fn(Visit) -> W) -> Result<T, E>
    where
        E: AtCentre,
        W: Future<Output = Result<T, E>>,
    {
        let (mut lacking_since, mut changes) = (None, 0);
        let answered = self.answered().clone();
        loop {
            let may_go_back = lacking_since.is_some_and(|since| Clock::now() - since >= CATCH_UP_LIMIT);
            let failure = match self.ask_in_turn(&work, &answered, may_go_back).await {
                Ok(done) => return Ok(done),
                Err(error) => error.of_centre()?,
            };
            match failure {
                Error::GoesBack => {
                    lacking_since.get_or_insert_with(Clock::now);
                    tokio::time::sleep(CATCH_UP_POLL).await;
                }
                Error::Database(error) if error.is_table_changed() && changes < CHANGES_MAX => changes += 1,
                Error::Database(error) => return Err(Error::Database(error).into()),
            }
        }
    }

    /// [`Error::GoesBack`] where it is worth another try.
    async fn ask_in_turn<T, E, W>(
        &self,
        work: &impl Fn(Visit) -> W,
        must_have: &Position,
        may_go_back: bool,
    ) -> Result<T, E>
    where
        E: AtCentre,
        W: Future<Output = Result<T, E>>,
    {
        let (mut goes_back, mut failure) = (false, None);
        for (tries, at) in order(&self.states()).into_iter().enumerate() {
            if tries > 0 {
                metrics::counter!("api_fallbacks_total").increment(1);
            }
            let visit = Visit {
                centres: self.clone(),
                at,
                must_have: must_have.clone(),
                may_go_back,
            };
            let error = match work(visit).await {
                Ok(done) => return Ok(done),
                Err(error) => error.of_centre()?,
            };
            match error {
                Error::Database(error) if self.is_several() && error.may_succeed_elsewhere() => {
                    self.failed(at, &error);
                    failure = Some(error);
                }
                Error::GoesBack => goes_back = true,
                error @ Error::Database(_) => return Err(error.into()),
            }
        }
        let error = match failure {
            Some(error) if !goes_back => Error::Database(error),
            _ => Error::GoesBack,
        };
        Err(error.into())
    }

    /// The centres other than `done`; those that are believed not to answer without their database.
    pub(crate) fn others(&self, done: usize) -> impl Iterator<Item = (&str, Option<&Central>)> {
        let others = self.0.all.iter().enumerate().filter(move |&(at, _)| at != done);
        let asked = |site: &Site| site.state().answers != Some(false);
        others.map(move |(_, site)| (site.name.as_str(), asked(site).then_some(&site.central)))
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

    /// Its place in the order in which centres are preferred.
    pub(crate) fn number(&self) -> usize {
        self.at
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
    ) -> Result<(Snapshot, Matched), Error> {
        let (mut snapshot, found) = self.central().snapshot(patterns, limit).await?;
        if !self.centres.is_several() {
            return Ok((snapshot, found));
        }
        let position = snapshot.position().await?;
        if position.covers(&self.must_have) {
            self.centres.answered().join(&position);
        } else if self.may_go_back {
            metrics::counter!("api_answers_gone_back_total").increment(1);
            tracing::warn!(
                centre = self.name(),
                "answers lack counts that were answered before"
            );
            *self.centres.answered() = position;
        } else {
            snapshot.finish().await?;
            return Err(Error::GoesBack);
        }
        Ok((snapshot, found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading;

    fn centres(names: &[&str]) -> Result<Centres, StartError> {
        let centre = |name: &&str| Centre {
            name: (*name).to_owned(),
            server: serde_json::from_str(r#"{"user":"nobody"}"#).unwrap(),
        };
        Centres::new(names.iter().map(centre))
    }

    fn timed_out(limit_s: u64) -> reading::Error {
        reading::Error::from(store::Error::TimedOut {
            action: "ask",
            server: "central".to_owned(),
            limit: Duration::from_secs(limit_s),
        })
    }

    #[tokio::test]
    async fn another_centre_that_is_away_is_named_but_not_asked() {
        let centres = centres(&["a", "b", "c"]).unwrap();
        centres.0.all[1].set(Known::default().silent());
        assert!(centres.others(0).any(|(_, central)| central.is_none()));
    }

    #[test]
    fn every_centre_has_a_name_of_its_own() {
        assert_eq!(centres(&["central", "standby"]).unwrap().count(), 2);
        let refusal = centres(&["central", "standby", "central"])
            .map(|_| ())
            .unwrap_err();
        assert!(refusal.to_string().contains("two centres are called 'central'"));
    }

    #[tokio::test]
    async fn a_request_goes_on_where_its_centre_cannot_be_reached() {
        let centres = centres(&["central", "standby"]).unwrap();
        let asked = Mutex::new(Vec::new());
        let work = |visit: Visit| {
            asked.lock().unwrap().push(visit.name().to_owned());
            async move {
                match visit.name() {
                    "central" => Err(timed_out(3)),
                    _ => Ok(()),
                }
            }
        };
        centres.ask(&work).await.unwrap();
        assert_eq!(*asked.lock().unwrap(), ["central", "standby"]);
        centres.ask(&work).await.unwrap();
        let expected = ["central", "standby", "standby"];
        assert_eq!(*asked.lock().unwrap(), expected, "it is passed over");
    }

    #[tokio::test]
    async fn what_another_centre_cannot_help_is_asked_once() {
        let times_asked = async |names: &[&str], refusal: fn() -> reading::Error| {
            let asked = Mutex::new(0);
            let work = |_| {
                *asked.lock().unwrap() += 1;
                async move { Err::<(), _>(refusal()) }
            };
            centres(names).unwrap().ask(work).await.unwrap_err();
            asked.into_inner().unwrap()
        };
        let refused = times_asked(&["central", "standby"], || reading::Error::TooManySeries);
        assert_eq!(refused.await, 1);
        assert_eq!(times_asked(&["central"], || timed_out(3)).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_centre_gets_its_time_to_catch_up_however_long_the_other_took() {
        const HUNG: Duration = Duration::from_secs(20);
        let begun = Clock::now();
        let work = async |visit: Visit| match visit.name() {
            "central" if begun.elapsed() < HUNG => {
                tokio::time::sleep(HUNG).await;
                Err(timed_out(20))
            }
            _ if visit.may_go_back => Ok(()),
            _ => Err(reading::Error::Centre(Error::GoesBack)),
        };
        centres(&["central", "standby"]).unwrap().ask(work).await.unwrap();
        let waited = begun.elapsed() - HUNG;
        assert!(
            (CATCH_UP_LIMIT..2 * CATCH_UP_LIMIT).contains(&waited),
            "{waited:?}"
        );
    }
}
