//! The centres: which of them is in charge, and where a request goes that it cannot answer.
//!
//! The promise is one of monotonic reads: an answer never lacks counts that an earlier one had, whichever centre gave either,
//! as long as a centre is left that has them. What an answer has are [`Positions`]: the number of each region's last flush, at each server
//! that it was read from.

#![expect(clippy::disallowed_methods, reason = "a centre has so long to catch up")]

mod error;
mod known;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use model::{EventId, EventName, Extent, Glob};
use store::central::{Central, Counted, Matched, Name, Positions, Snapshot, Status, Wanted};
use store::{Members, Place};
use tokio::sync::OnceCell;

pub(crate) use self::error::{AtCentre, Error};
pub use self::known::BEHIND_MS_MAX;
pub(crate) use self::known::Known;
use self::known::order;
use crate::error::Error as StartError;
use crate::places::{self, NeedsPlace};
use crate::reading;

/// Longest wait for a centre to have what another one has answered before. Both apply the same binlogs at the same time, so one that
/// needs longer does not catch up soon.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(5);

/// Pause between two rounds of all centres while one of them catches up, and between two questions to one that is away.
const CATCH_UP_POLL: Duration = Duration::from_millis(50);

/// Longest wait of the first request for each centre to say what it has: one that was started again with this process is there by then.
const BEGIN_LIMIT: Duration = CATCH_UP_LIMIT;

/// Snapshots of one request that may be lost to changes: of partitions, which the keeper makes once a month and shard, and of days that late
/// events are merged into, which are read anew by the next.
const CHANGES_MAX: u32 = 10;

/// The value of [`Inner::in_charge`] while no centre is in charge.
const NONE: usize = usize::MAX;

/// A centre as the configuration has it.
#[derive(Debug, Clone)]
pub struct Centre {
    /// The name in answers, logs and metrics; no two centres share one.
    pub name: String,
    /// Addresses and account of its servers.
    pub members: Members,
}

/// All centres, in the order in which they are preferred; clones share them.
#[derive(Clone)]
pub(crate) struct Centres(Arc<Inner>);

struct Inner {
    all: Vec<Site>,
    /// The least positions that cover all answers with counts or claims: a later answer, wherever it comes from, must not lack any of them.
    answered: Mutex<Positions>,
    /// Whether every centre was asked for what it has, before the first request.
    begun: OnceCell<()>,
    /// Index into `all`, or [`NONE`]; only for telling that it changed.
    in_charge: AtomicUsize,
}

/// A centre, how it is reached, and what is known of it.
struct Site {
    name: String,
    central: Central,
    /// Addresses and account for audits, whose statements take longer than those of `central` may.
    members: Members,
    state: Mutex<Known>,
    /// Whether [`Inner::answered`] has what it had when it first answered.
    is_joined: AtomicBool,
}

/// One try of a request, at one centre.
pub(crate) struct Attempt {
    centres: Centres,
    at: usize,
    /// The positions that its snapshots have to cover, unless it `may_go_back`.
    must_have: Positions,
    /// Whether every centre had its time to catch up, so that a snapshot with fewer counts is better than no answer.
    may_go_back: bool,
    /// Whether it had to go back already, for the names or for the counts of one answer.
    has_gone_back: AtomicBool,
    /// The place that it reads in, if it has taken one.
    place: Option<Place>,
}

impl Centres {
    /// The centres in the order of preference. Connects when the first request needs it.
    ///
    /// # Errors
    /// `SameName` for two centres of one name, `Store` where the password cannot be read.
    pub(crate) fn new(centres: impl Iterator<Item = Centre>) -> Result<Self, StartError> {
        let mut all = Vec::<Site>::new();
        for Centre { name, members } in centres {
            if all.iter().any(|site| site.name == name) {
                return Err(StartError::SameName(name));
            }
            all.push(Site {
                name,
                central: Central::new(&members)?,
                members,
                state: Mutex::default(),
                is_joined: AtomicBool::new(false),
            });
        }
        Ok(Self(Arc::new(Inner {
            all,
            answered: Mutex::default(),
            begun: OnceCell::new(),
            in_charge: AtomicUsize::new(NONE),
        })))
    }

    /// Does `work` at the centre in charge. Where that cannot be reached, or lacks what was answered before, does it at the next.
    /// `work` may be done several times, also to its end at a centre whose answer was lost: what it writes has to be idempotent.
    ///
    /// # Errors
    /// The error of `work` as it is, where no other centre can help; the last centre's where none did its part.
    pub(crate) async fn ask<T, E, W>(&self, work: impl Fn(Attempt) -> W) -> Result<T, E>
    where
        E: AtCentre,
        W: Future<Output = Result<T, E>>,
    {
        if self.is_several() {
            self.0.begun.get_or_init(|| self.begin()).await;
        }
        let (mut lacking_since, mut changes) = (None, 0);
        // Once, at the beginning: answers that others get while this request runs are not before it, so it may lack their counts.
        // A position that moved on with each round might never be reached.
        let answered = self.answered().clone();
        loop {
            let may_go_back =
                lacking_since.is_some_and(|since| tokio::time::Instant::now() - since >= CATCH_UP_LIMIT);
            let failure = match self.ask_in_turn(&work, &answered, may_go_back).await {
                Ok(done) => return Ok(done),
                Err(error) => error.of_centre()?,
            };
            match failure {
                Error::GoesBack => {
                    // Not from the request's beginning: a centre that hung may have used up the whole limit, and the one that
                    // stands in for it would get no time to catch up.
                    lacking_since.get_or_insert_with(tokio::time::Instant::now);
                    tokio::time::sleep(CATCH_UP_POLL).await;
                }
                // The snapshot is lost; the centre is well, and a new one finds what is new.
                Error::Database(error) if error.is_changed() && changes < CHANGES_MAX => changes += 1,
                Error::Database(error) => return Err(Error::Database(error).into()),
            }
        }
    }

    /// Takes what any centre has for answered: this process may have been started again, and does not know what it answered before.
    async fn begin(&self) {
        let joined = self.0.all.iter().map(async |site| {
            while !self.join(site).await {
                tokio::time::sleep(CATCH_UP_POLL).await;
            }
        });
        // One that does not say it in time is asked again when it is looked at.
        let joined = joined.map(|joined| tokio::time::timeout(BEGIN_LIMIT, joined));
        join_all(joined).await;
    }

    /// Takes what a centre has for answered, once; false where it does not say it.
    async fn join(&self, site: &Site) -> bool {
        if !site.is_joined.load(Ordering::Relaxed)
            && let Ok(positions) = site.central.positions().await
        {
            self.answered().join(&positions);
            site.is_joined.store(true, Ordering::Relaxed);
        }
        site.is_joined.load(Ordering::Relaxed)
    }

    /// Does `work` at one centre after the other, until one has done its part.
    ///
    /// # Errors
    /// The error of `work` as it is, where no other centre can help; [`Error::GoesBack`] where another round is worth it; else the
    /// last centre's.
    async fn ask_in_turn<T, E, W>(
        &self,
        work: &impl Fn(Attempt) -> W,
        must_have: &Positions,
        may_go_back: bool,
    ) -> Result<T, E>
    where
        E: AtCentre,
        W: Future<Output = Result<T, E>>,
    {
        let (mut goes_back, mut failure) = (false, None);
        // The order is taken anew each round, since a centre that failed in the last one is passed over.
        for (tries, at) in order(&self.states()).into_iter().enumerate() {
            if tries > 0 {
                metrics::counter!("api_fallbacks_total").increment(1);
            }
            let attempt = Attempt {
                centres: self.clone(),
                at,
                must_have: must_have.clone(),
                may_go_back,
                has_gone_back: AtomicBool::new(false),
                place: None,
            };
            let error = match work(attempt).await {
                Ok(done) => return Ok(done),
                Err(error) => error.of_centre()?,
            };
            match error {
                // Only failures of the server itself: a statement that it refused, or ended as too long, would fare no better elsewhere,
                // and would keep one centre after the other busy.
                Error::Database(error) if self.is_several() && error.may_succeed_elsewhere() => {
                    self.failed(at, &error);
                    failure = Some(error);
                }
                Error::GoesBack => goes_back = true,
                error @ Error::Database(_) => return Err(error.into()),
            }
        }
        // A centre that only lacks counts goes before one that failed: waiting helps it, and it can answer.
        let error = match failure {
            Some(error) if !goes_back => Error::Database(error),
            _ => Error::GoesBack,
        };
        Err(error.into())
    }

    /// Names of the centres other than `done`, each with its database, or `None` where that is believed not to answer.
    pub(crate) fn others(&self, done: usize) -> impl Iterator<Item = (&str, Option<&Central>)> {
        let others = self.0.all.iter().enumerate().filter(move |&(at, _)| at != done);
        let asked = |site: &Site| site.state().answers != Some(false);
        others.map(move |(_, site)| (site.name.as_str(), asked(site).then_some(&site.central)))
    }

    /// How many centres there are, whether they answer or not.
    pub(crate) fn count(&self) -> usize {
        self.0.all.len()
    }

    /// Name of the centre at a place in the order of preference; panics for a place that is not below [`Self::count`].
    pub(crate) fn name(&self, at: usize) -> &str {
        &self.0.all[at].name
    }

    /// Whether a centre was seen to answer, and has not failed since.
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

    /// Asks each server of a centre whether it answers and, where there are several centres, until when it is complete. Returns those that do
    /// not, with their errors.
    pub(crate) async fn look(&self, at: usize) -> Vec<store::Error> {
        let site = &self.0.all[at];
        // A single centre cannot be behind another, so it is not asked for its clocks.
        let looked = site.central.look(self.is_several()).await;
        let servers = looked.len();
        let (mut complete_until, mut errors) = (Vec::new(), Vec::new());
        for server in looked {
            match server.answer {
                Ok(until) => complete_until.push(until),
                Err(error) => errors.push(error),
            }
        }
        if self.is_several() && errors.is_empty() {
            self.join(site).await;
        }
        let before = site.state();
        site.set(if errors.len() == servers {
            before.silent()
        } else {
            // Only centres that answer count: against what a dead one last said, the only one left would be behind for ever.
            let others = self.states().into_iter().enumerate();
            let newest = others
                .filter(|&(other, state)| other != at && state.answers == Some(true))
                .filter_map(|(_, state)| state.complete_until)
                .max();
            let known: Option<Vec<_>> = complete_until.into_iter().collect();
            let least = known.and_then(|all| all.into_iter().min());
            before.seen(least.filter(|_| errors.is_empty()), newest, !errors.is_empty())
        });
        self.tell_who_is_in_charge();
        errors
    }

    /// Notes that a centre did not do its part of a request. Where it cannot be reached, requests pass over it until a look finds it
    /// well again: waiting for its connect limit costs one request, not each. A centre that was only slow stays where it is.
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

    /// Sets the metric of the centre in charge, and logs when that is another one than before. No request depends on it.
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

    fn answered(&self) -> MutexGuard<'_, Positions> {
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

impl Attempt {
    /// The same, in a place if it has taken one.
    pub(crate) fn within(self, place: Option<&Place>) -> Self {
        Self {
            place: place.cloned(),
            ..self
        }
    }

    /// Whether so many counts may be read in its place, or without.
    pub(crate) fn may_read(&self, counts: usize) -> Result<(), NeedsPlace> {
        places::may_read(self.place.as_ref(), counts)
    }

    /// The snapshot, if so many counts of it may be read in its place, or without. Else it is ended: nobody waits for a place with a
    /// connection.
    pub(crate) async fn may_read_of(
        &self,
        snapshot: Snapshot,
        counts: usize,
    ) -> Result<Snapshot, reading::Error> {
        match self.may_read(counts) {
            Ok(()) => Ok(snapshot),
            Err(needs_place) => {
                snapshot.end().await?;
                Err(needs_place.into())
            }
        }
    }

    /// Name of the centre.
    pub(crate) fn name(&self) -> &str {
        &self.site().name
    }

    /// The centre's place in the order in which centres are preferred, from 0.
    pub(crate) fn number(&self) -> usize {
        self.at
    }

    /// The centre's database.
    pub(crate) fn central(&self) -> &Central {
        &self.site().central
    }

    /// Addresses and account of the centre's servers, for connections of one's own.
    pub(crate) fn members(&self) -> &Members {
        &self.site().members
    }

    fn site(&self) -> &Site {
        &self.centres.0.all[self.at]
    }

    /// A snapshot as of [`Central::snapshot`], which lacks no count that was answered before this request began.
    ///
    /// # Errors
    /// `Database` where the centre does not answer, `GoesBack` where it lacks such counts.
    pub(crate) async fn snapshot(
        &self,
        patterns: &[Glob],
        limit: usize,
    ) -> Result<(Snapshot, Matched), Error> {
        let (mut snapshot, found) = self
            .central()
            .snapshot(patterns, limit, self.place.clone())
            .await?;
        // A server's later snapshot has whatever an earlier one had.
        if !self.centres.is_several() {
            return Ok((snapshot, found));
        }
        // Read in the snapshot itself. Outside of it a flush could come in between, and the position would promise counts that
        // the snapshot has not.
        let positions = snapshot.position().await?;
        if let Err(error) = self.note(positions) {
            // Ended rather than dropped, which would cost its connection with each round.
            snapshot.end().await?;
            return Err(error);
        }
        Ok((snapshot, found))
    }

    /// The rest of a snapshot as of [`Snapshot::read`]: counts.
    ///
    /// # Errors
    /// As of [`Self::snapshot`]; with `GoesBack`, too, `each` was given counts.
    pub(crate) async fn read_of(
        &self,
        snapshot: Snapshot,
        wanted: &[Wanted<'_>],
        each: impl FnMut(usize, EventId, Counted<'_>) + Send,
    ) -> Result<Extent, Error> {
        let whole = snapshot.read(wanted, each).await?;
        if self.centres.is_several() {
            self.note(whole.positions)?;
        }
        Ok(whole.extent)
    }

    /// Names and counts as of [`Central::read`], out of a snapshot as of [`Self::snapshot`].
    ///
    /// # Errors
    /// As of [`Self::snapshot`]; with `GoesBack`, too, `each` was given counts.
    pub(crate) async fn read(
        &self,
        names: &[EventName<'_>],
        wanted: &[Wanted<'_>],
        each: impl FnMut(usize, EventId, Counted<'_>) + Send,
    ) -> Result<(Vec<Name>, Extent), Error> {
        let is_several = self.centres.is_several();
        let asked = (names, is_several, self.place.clone());
        let whole = self.central().read(asked, wanted, each).await?;
        if is_several {
            self.note(whole.positions)?;
        }
        Ok((whole.names, whole.extent))
    }

    /// The status as of [`Central::status`]: who is told until when counts are complete finds them in whatever is asked later.
    ///
    /// # Errors
    /// As of [`Self::snapshot`].
    pub(crate) async fn status(&self) -> Result<Status, Error> {
        let status = self.central().status().await?;
        if self.centres.is_several() {
            self.note(status.positions.clone())?;
        }
        Ok(status)
    }

    /// Notes the positions of an answer, before any of it is sent: a request that begins once the answer is out has to find it here.
    ///
    /// # Errors
    /// `GoesBack` where it lacks counts that were answered before.
    fn note(&self, positions: Positions) -> Result<(), Error> {
        if positions.cover(&self.must_have) {
            // Joined and not set, since the answers of two centres at once may each have flushes of one region that the other lacks.
            self.centres.answered().join(&positions);
        } else if self.may_go_back {
            if !self.has_gone_back.swap(true, Ordering::Relaxed) {
                metrics::counter!("api_answers_gone_back_total").increment(1);
                tracing::warn!(
                    centre = self.name(),
                    "answers lack counts that were answered before"
                );
            }
            // Set and not joined: counts that no centre has any more would keep every later request waiting for them.
            self.centres.answered().go_back_to(positions);
        } else {
            return Err(Error::GoesBack);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading;

    fn centres(names: &[&str]) -> Result<Centres, StartError> {
        let centre = |name: &&str| Centre {
            name: (*name).to_owned(),
            members: Members::alone(serde_json::from_str(r#"{"user":"nobody"}"#).unwrap()),
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
        let work = |attempt: Attempt| {
            asked.lock().unwrap().push(attempt.name().to_owned());
            async move {
                match attempt.name() {
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
        let begun = tokio::time::Instant::now();
        let work = async |attempt: Attempt| match attempt.name() {
            "central" if begun.elapsed() < HUNG => {
                tokio::time::sleep(HUNG).await;
                Err(timed_out(20))
            }
            _ if attempt.may_go_back => Ok(()),
            _ => Err(reading::Error::Centre(Error::GoesBack)),
        };
        let centres = centres(&["central", "standby"]).unwrap();
        // As if they had said what they have.
        centres.0.begun.set(()).unwrap();
        centres.ask(work).await.unwrap();
        let waited = begun.elapsed() - HUNG;
        assert!(
            (CATCH_UP_LIMIT..2 * CATCH_UP_LIMIT).contains(&waited),
            "{waited:?}"
        );
    }
}
