//! What clients know to be true, held against every answer, through whichever door it comes.
//!
//! For each name and minute an answer has no more than was ever sent, and no less than what was acknowledged before its
//! `complete_until`. For one reader no count and no clock goes back.

mod look;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::time::SystemTime;

use model::Timestamp;

pub(crate) use self::look::watch;

/// Acknowledgements that came within such a time are kept as one, of the last of them.
const TOGETHER_MS: i64 = 50;

/// After a database's clock was set: for so long claims are less what a region's clock seemed to be ahead.
const SETTLED_AFTER_MS: i64 = 150_000;

/// Names that came last, among which are those that are sent only once.
const NEWEST: usize = 40;

/// A name and a minute, in unix seconds.
pub(crate) type Key = (String, i64);

/// What a reader found, of all the names that it asked for.
pub(crate) struct Answer {
    /// Counts above 0.
    pub(crate) counts: HashMap<Key, u64>,
    /// What it says of itself, or what this reader was told before.
    pub(crate) complete_until: Option<Timestamp>,
    pub(crate) asked: Scope,
    /// How much less than before it may say until when it is complete: two centres say that by their own clocks.
    pub(crate) falls_ms_max: i64,
}

/// The names of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    /// All names with this beginning.
    Prefix(&'static str),
    /// These alone.
    Names(Vec<String>),
}

#[derive(Debug, Default)]
pub(crate) struct Truth {
    state: Mutex<State>,
}

/// While it lives, a centre's clock is set, whichever of them answers, or was a moment ago: what was said by the one clock is no measure
/// for what is said by the other.
pub(crate) struct CentresClockIsSet<'a>(&'a Truth, i64);

impl Drop for CentresClockIsSet<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap();
        state.centre_ahead_ms -= self.1;
        state.centres_clocks_set -= 1;
        state.clocks_settled_at = Some(now().plus_ms(SETTLED_AFTER_MS));
    }
}

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<Key, Count>,
    newest: VecDeque<String>,
    /// All that look.
    watching: Vec<&'static str>,
    readers: HashMap<&'static str, Seen>,
    centre_ahead_ms: i64,
    centres_clocks_set: u32,
    clocks_settled_at: Option<Timestamp>,
    violation: Option<String>,
}

/// What became of the events of one name and minute.
#[derive(Debug, Default)]
struct Count {
    /// By all requests that were ever begun.
    attempted: u64,
    /// When so many in all were acknowledged, at the latest.
    acknowledged: Vec<(Timestamp, u64)>,
}

impl Count {
    fn acknowledged_by(&self, until: Timestamp) -> u64 {
        let later = self.acknowledged.partition_point(|(at, _)| *at < until);
        later.checked_sub(1).map_or(0, |last| self.acknowledged[last].1)
    }
}

/// What one reader has seen.
#[derive(Debug, Default)]
struct Seen {
    answers: u64,
    /// Those that said until when they are complete.
    claims: u64,
    complete_until: Option<Timestamp>,
    counts: HashMap<Key, u64>,
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

impl Truth {
    pub(crate) fn centres_clock_is_set(&self, ahead_s: i32) -> CentresClockIsSet<'_> {
        let ahead_ms = 1000 * i64::from(ahead_s.max(0));
        let mut state = self.state.lock().unwrap();
        state.centre_ahead_ms += ahead_ms;
        state.centres_clocks_set += 1;
        CentresClockIsSet(self, ahead_ms)
    }

    /// What was said of a region is taken back when a comparison shows that its clock was set, and each centre compares for itself.
    pub(crate) fn regions_clock_was_set(&self) {
        self.state.lock().unwrap().clocks_settled_at = Some(now().plus_ms(SETTLED_AFTER_MS));
    }

    /// Before a request is sent for the first time.
    pub(crate) fn attempted(&self, name: &str, minute: i64, count: u64) {
        let mut state = self.state.lock().unwrap();
        let key = (name.to_owned(), minute);
        if !state.counts.contains_key(&key) {
            state.newest.push_back(name.to_owned());
            let surplus = state.newest.len().saturating_sub(NEWEST);
            state.newest.drain(..surplus);
        }
        state.counts.entry(key).or_default().attempted += count;
    }

    pub(crate) fn all_attempted(&self, rows: &[(String, i64, u64)]) {
        for (name, minute, count) in rows {
            self.attempted(name, *minute, *count);
        }
    }

    pub(crate) fn all_acknowledged(&self, rows: &[(String, i64, u64)]) {
        for (name, minute, count) in rows {
            self.acknowledged(name, *minute, *count);
        }
    }

    pub(crate) fn acknowledged(&self, name: &str, minute: i64, count: u64) {
        let now = now();
        let mut state = self.state.lock().unwrap();
        let all = &mut state
            .counts
            .entry((name.to_owned(), minute))
            .or_default()
            .acknowledged;
        let total = count + all.last().map_or(0, |&(_, total)| total);
        match all.last_mut() {
            // Later than it was for those before, so less is asked of answers.
            Some(last) if now.unix_ms() / TOGETHER_MS == last.0.unix_ms() / TOGETHER_MS => {
                *last = (now, total)
            }
            _ => all.push((now, total)),
        }
    }

    /// After a centre was set back to an earlier state: what readers saw of it before is no measure any more.
    pub(crate) fn begin_anew(&self) {
        for seen in self.state.lock().unwrap().readers.values_mut() {
            seen.complete_until = None;
            seen.counts.clear();
        }
    }

    /// Answers by reader, and how many of them said until when they are complete.
    pub(crate) fn answers(&self) -> BTreeMap<&'static str, (u64, u64)> {
        let state = self.state.lock().unwrap();
        let of = |(reader, seen): (&&'static str, &Seen)| (*reader, (seen.answers, seen.claims));
        state.readers.iter().map(of).collect()
    }

    /// Those that never had an answer with a claim: nothing was held against them.
    pub(crate) fn silent(&self) -> Vec<&'static str> {
        let answers = self.answers();
        let readers = self.state.lock().unwrap().watching.clone();
        let is_silent = |reader: &&'static str| answers.get(reader).is_none_or(|(_, claims)| *claims == 0);
        readers.into_iter().filter(is_silent).collect()
    }

    fn watched_by(&self, readers: Vec<&'static str>) {
        self.state.lock().unwrap().watching = readers;
    }

    pub(crate) fn violation(&self) -> Option<String> {
        self.state.lock().unwrap().violation.clone()
    }

    fn violated(&self, why: String) {
        self.state.lock().unwrap().violation.get_or_insert(why);
    }

    fn newest(&self) -> Vec<String> {
        self.state.lock().unwrap().newest.iter().cloned().collect()
    }

    /// The names with this beginning, of which there are few.
    fn names(&self, prefix: &'static str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let mut names: Vec<_> = asked(&state.counts, &Scope::Prefix(prefix))
            .map(|((name, _), _)| name.clone())
            .collect();
        names.dedup();
        names
    }

    /// The names with this beginning of which something was acknowledged before an instant.
    fn names_by(&self, prefix: &'static str, until: Timestamp) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let all = Scope::Prefix(prefix);
        let by_then = asked(&state.counts, &all)
            .filter(|(_, count)| count.acknowledged_by(until) > 0)
            .map(|((name, _), _)| name.clone());
        by_then.collect()
    }

    /// The names that a reader had counts of.
    fn seen_by(&self, reader: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let seen = state.readers.get(reader).into_iter();
        seen.flat_map(|seen| seen.counts.keys().map(|(name, _)| name.clone()))
            .collect()
    }

    /// Holds an answer against what is known. Its reader asked after everything that it was told before.
    fn check(&self, reader: &'static str, answer: Answer) {
        let mut guard = self.state.lock().unwrap();
        let state = &mut *guard;
        let seen = state.readers.entry(reader).or_default();
        let is_settled = state.centres_clocks_set == 0 && state.clocks_settled_at.is_none_or(|at| at < now());
        if !is_settled {
            seen.complete_until = None;
        }
        let wrong = wrong(&state.counts, state.centre_ahead_ms, seen, &answer);
        seen.answers += 1;
        seen.claims += u64::from(answer.complete_until.is_some());
        if is_settled {
            seen.complete_until = answer.complete_until.or(seen.complete_until);
        }
        seen.counts.extend(answer.counts);
        if let Some(why) = wrong {
            state.violation.get_or_insert(format!("{reader}: {why}"));
        }
    }
}

/// What is wrong with an answer.
fn wrong(
    counts: &BTreeMap<Key, Count>,
    centre_ahead_ms: i64,
    seen: &Seen,
    answer: &Answer,
) -> Option<String> {
    if let (Some(before), Some(now)) = (seen.complete_until, answer.complete_until)
        && before.ms_since(now) > answer.falls_ms_max
    {
        return Some(format!("complete until {before}, then until {now}"));
    }
    let until = answer.complete_until.map(|until| until.plus_ms(-centre_ahead_ms));
    for (key, count) in asked(counts, &answer.asked) {
        let read = answer.counts.get(key).copied().unwrap_or(0);
        let least = until.map_or(0, |until| count.acknowledged_by(until));
        let before = seen.counts.get(key).copied().unwrap_or(0);
        let fault = if read > count.attempted {
            format!("only {} were ever sent", count.attempted)
        } else if read < least {
            format!("{least} were acknowledged before {until:?}, until when it is complete")
        } else if read < before {
            format!("the same reader had {before} before")
        } else {
            continue;
        };
        return Some(format!(
            "{read} counts of {} in minute {}, and {fault}",
            key.0, key.1
        ));
    }
    None
}

/// What there is to know of the names that were asked for.
fn asked<'a>(
    counts: &'a BTreeMap<Key, Count>,
    scope: &'a Scope,
) -> Box<dyn Iterator<Item = (&'a Key, &'a Count)> + 'a> {
    let from = |name: &str| counts.range((name.to_owned(), i64::MIN)..);
    match scope {
        Scope::Prefix(prefix) => {
            Box::new(from(prefix).take_while(move |((name, _), _)| name.starts_with(prefix)))
        }
        Scope::Names(names) => {
            let of = move |name: &'a String| from(name).take_while(move |((of, _), _)| of == name);
            Box::new(names.iter().flat_map(of))
        }
    }
}
