//! The counts that a plan wants, out of one snapshot.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{Day, EventId, Glob, Minute};
use store::{Extent, Found, Grain, Name};
use tokio::sync::OwnedSemaphorePermit;

use super::function::Window;
use super::number::{Number, Point};
use super::plan::{MINUTE_S, Plan, Wanted, minutes};
use super::series::Series;
use crate::centres::Visit;
use crate::refusal::Refusal;
use crate::room::Room;
use crate::series::{PATTERN_TOKENS_MAX, POINTS_MAX, POINTS_PER_SERIES_MAX, SERIES_MAX};

const DAY_S: i64 = 86_400;

/// A series' name and tags take the room of so many values.
const VALUES_PER_SERIES: usize = 32;

/// A value on its way through the functions takes the room of two sums.
const ROOM_PER_VALUE: usize = 2;

/// A run of minutes, summed into buckets of `bucket_s`, which divides a day, aligned since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    first: i64,
    end: i64,
    bucket_s: i64,
}

impl Span {
    fn of(window: Window, bucket_s: i64) -> Self {
        let (first, end) = minutes(window);
        Self { first, end, bucket_s }
    }

    fn start(self) -> i64 {
        self.first - self.first.rem_euclid(self.bucket_s)
    }

    /// End of the last bucket.
    fn stop(self) -> i64 {
        self.start() + self.bucket_s * ((self.end - self.start() + self.bucket_s - 1) / self.bucket_s)
    }

    fn len(self) -> usize {
        usize::try_from((self.stop() - self.start()) / self.bucket_s).unwrap_or(usize::MAX)
    }

    fn index_of(self, unix_s: i64) -> Option<usize> {
        if !(self.first..self.end).contains(&unix_s) {
            return None;
        }
        usize::try_from((unix_s - self.start()) / self.bucket_s).ok()
    }

    fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.end <= self.end
    }

    /// What to ask for: whole days may come as sums where the buckets are days.
    fn parts(self) -> Vec<((Minute, Minute), Grain)> {
        let clamp = |unix_s: i64| unix_s.clamp(Minute::FIRST.unix_s(), Minute::LAST.unix_s() + MINUTE_S);
        let (first, end) = (clamp(self.first), clamp(self.end));
        let mut parts = Vec::new();
        let mut add = |first: i64, end: i64, grain| {
            let minute = |unix_s| Minute::from_unix_s(unix_s).ok();
            if first < end
                && let Some(minutes) = minute(first).zip(minute(end - MINUTE_S))
            {
                parts.push((minutes, grain));
            }
        };
        let (head, tail) = (first + (-first).rem_euclid(DAY_S), end - end.rem_euclid(DAY_S));
        if self.bucket_s == DAY_S && head < tail {
            add(first, head, Grain::Minute);
            add(head, tail, Grain::Day);
            add(tail, end, Grain::Minute);
        } else {
            add(first, end, Grain::Minute);
        }
        parts
    }

    /// What bucket `index` shows of its `sum`: of each of its minutes what a series of minutes shows, summed.
    fn shown(self, index: usize, sum: u128, extent: &Extent) -> Point {
        let start = self.start() + self.bucket_s * i64::try_from(index).ok()?;
        let kept = extent.kept_since.map_or(i64::MIN, Day::unix_s);
        let first = start.max(self.first).max(kept);
        let is_there = first < (start + self.bucket_s).min(self.end);
        let is_complete = extent
            .complete_until
            .is_some_and(|until| until.unix_ms() >= (first + MINUTE_S).saturating_mul(1000));
        let value = i128::try_from(sum).map_or(Number::Real(f64::INFINITY), Number::Exact);
        (is_there && (sum > 0 || is_complete)).then_some(value)
    }
}

/// What was read for all targets of a request.
pub(super) struct Fetched {
    bucket_s: i64,
    extent: Extent,
    /// The names that each text matches, in the order of names.
    matched: HashMap<String, Vec<Name>>,
    sums: HashMap<EventId, Vec<(Span, Vec<u128>)>>,
    /// For the values held here and made of these, until the answer is sent.
    pub(super) room: Option<OwnedSemaphorePermit>,
    /// How many values the targets begin with.
    pub(super) values: usize,
}

impl Fetched {
    /// For targets that name no series.
    pub(super) fn nothing() -> Self {
        Self {
            bucket_s: MINUTE_S,
            extent: Extent::default(),
            matched: HashMap::new(),
            sums: HashMap::new(),
            room: None,
            values: 0,
        }
    }

    /// The series that `path` stands for, of a window that was planned.
    pub(super) fn series(&self, path: &str, window: Window) -> Vec<Series> {
        let span = Span::of(window, self.bucket_s);
        let names = self.matched.get(path).map(Vec::as_slice).unwrap_or_default();
        let series = names.iter().map(|name| {
            let values = self.values_of(name.id, span);
            let mut series = Series::new(
                name.name.clone(),
                (span.start(), span.stop(), self.bucket_s),
                values,
            );
            path.clone_into(&mut series.path);
            series
        });
        series.collect()
    }

    fn values_of(&self, id: EventId, span: Span) -> Vec<Point> {
        let held = self
            .sums
            .get(&id)
            .and_then(|held| held.iter().find(|(held, _)| held.covers(span)));
        let Some((held, sums)) = held else {
            return vec![None; span.len()];
        };
        let skipped = usize::try_from((span.start() - held.start()) / self.bucket_s).unwrap_or(usize::MAX);
        let sums = sums.iter().skip(skipped).take(span.len()).enumerate();
        sums.map(|(index, sum)| span.shown(index, *sum, &self.extent))
            .collect()
    }
}

#[cfg(test)]
impl Fetched {
    /// Of counts by name and minute, summed to buckets of `bucket_s` in `window`.
    pub(super) fn of(
        plan: &Plan,
        bucket_s: i64,
        counts: &[(&str, Vec<(i64, u64)>)],
        extent: Extent,
    ) -> Result<Self, Refusal> {
        let name = |text: &str| Name {
            name: text.to_owned(),
            id: EventId::of(text),
            popularity: 0,
        };
        let names: Vec<Name> = counts.iter().map(|(text, _)| name(text)).collect();
        let mut fetched = Self {
            bucket_s,
            matched: matched(plan, &names),
            extent,
            ..Self::nothing()
        };
        for (span, ids) in wanted(plan, &mut fetched)? {
            for (text, rows) in counts.iter().filter(|(text, _)| ids.contains(&EventId::of(text))) {
                let mut sums = vec![0; span.len()];
                for (unix_s, count) in rows {
                    if let Some(index) = span.index_of(*unix_s) {
                        sums[index] += u128::from(*count);
                    }
                }
                fetched
                    .sums
                    .entry(EventId::of(text))
                    .or_default()
                    .push((span, sums));
            }
        }
        Ok(fetched)
    }
}

/// # Errors
/// As a series' are refused: too many names, patterns or values, or a database that does not answer.
pub(super) async fn fetch(room: &Room, plan: &Plan, bucket_s: i64, visit: Visit) -> Result<Fetched, Refusal> {
    let patterns = patterns(plan)?;
    let (mut snapshot, found) = visit.snapshot(&patterns, SERIES_MAX).await?;
    let Found::Names(names) = found else {
        return Err(Refusal::TooManySeries);
    };
    let mut fetched = Fetched {
        bucket_s,
        matched: matched(plan, &names),
        ..Fetched::nothing()
    };
    let wanted = wanted(plan, &mut fetched)?;
    let held: usize = wanted
        .iter()
        .map(|(span, ids)| span.len().saturating_mul(ids.len()))
        .sum();
    if held > POINTS_MAX || fetched.values > POINTS_MAX {
        return Err(Refusal::TooManyPoints);
    }
    fetched.room = Some(room.of_points(held + ROOM_PER_VALUE * fetched.values)?);
    for (span, ids) in wanted {
        let at: HashMap<EventId, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        let mut sums = vec![vec![0u128; span.len()]; ids.len()];
        // Counts of one name come together.
        let mut current = None;
        for (minutes, grain) in span.parts() {
            let add = |id, unix_s, count| {
                if current.is_none_or(|(of, _)| of != id) {
                    current = at.get(&id).map(|at| (id, *at));
                }
                if let (Some((_, at)), Some(index)) = (current, span.index_of(unix_s)) {
                    sums[at][index] += u128::from(count);
                }
            };
            snapshot.counts(&ids, minutes, grain, add).await?;
        }
        for (id, sums) in ids.into_iter().zip(sums) {
            fetched.sums.entry(id).or_default().push((span, sums));
        }
    }
    fetched.extent = snapshot.finish().await?;
    Ok(fetched)
}

fn patterns(plan: &Plan) -> Result<Vec<Glob>, Refusal> {
    let patterns: Vec<Glob> = plan
        .wanted
        .values()
        .map(|wanted| wanted.wish.glob().clone())
        .collect();
    if patterns.iter().map(Glob::token_count).sum::<usize>() > PATTERN_TOKENS_MAX {
        return Err(Refusal::TooManyPatternTokens);
    }
    Ok(patterns)
}

fn matched(plan: &Plan, names: &[Name]) -> HashMap<String, Vec<Name>> {
    let of = |wanted: &Wanted| {
        wanted
            .wish
            .kept(names, |name| &name.name)
            .into_iter()
            .cloned()
            .collect()
    };
    plan.wanted
        .iter()
        .map(|(path, wanted)| (path.clone(), of(wanted)))
        .collect()
}

/// The ids to read of each span: what overlaps of one name is read once. Counts the values that are made of them.
fn wanted(plan: &Plan, fetched: &mut Fetched) -> Result<BTreeMap<Span, Vec<EventId>>, Refusal> {
    let mut spans = HashMap::<EventId, BTreeSet<Span>>::new();
    let mut values = 0usize;
    for (path, wanted) in &plan.wanted {
        for (window, visits) in &wanted.windows {
            let span = Span::of(*window, fetched.bucket_s);
            if span.len() > POINTS_PER_SERIES_MAX {
                return Err(Refusal::TooManyPointsPerSeries);
            }
            let names = fetched.matched.get(path).map(Vec::as_slice).unwrap_or_default();
            let made = names
                .len()
                .saturating_mul(span.len() + VALUES_PER_SERIES)
                .saturating_mul(*visits);
            values = values.saturating_add(made);
            for name in names {
                spans.entry(name.id).or_default().insert(span);
            }
        }
    }
    fetched.values = values;
    let mut wanted = BTreeMap::<Span, Vec<EventId>>::new();
    for (id, spans) in spans {
        let mut hulls = Vec::<Span>::new();
        for span in spans {
            match hulls.last_mut() {
                Some(last) if span.first <= last.end => last.end = last.end.max(span.end),
                _ => hulls.push(span),
            }
        }
        for hull in hulls {
            wanted.entry(hull).or_default().push(id);
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use model::Instant;
    use proptest::prelude::*;

    use super::*;
    use crate::buckets::shown;

    /// A midnight.
    const T: i64 = 1_763_769_600;

    proptest! {
        #[test]
        fn a_bucket_shows_the_sum_of_what_its_minutes_show(
            counts in prop::collection::vec(0u64..3, 1..200),
            from in 0i64..2_000,
            bucket_s in prop::sample::select(&[60i64, 120, 300, 3_600, 86_400]),
            complete in 0i64..2_200,
            kept_since in prop::option::of(0i64..3),
        ) {
            let extent = Extent {
                complete_until: Some(Instant::from_unix_ms((T + 60 * complete) * 1000)),
                kept_since: kept_since.map(|days| Day::containing(T + DAY_S * days)),
            };
            let first = T + 60 * from;
            let minutes: Vec<(i64, u64)> = (0i64..).map(|at| first + 60 * at).zip(counts).collect();
            let span = Span { first, end: first + 60 * i64::try_from(minutes.len()).unwrap(), bucket_s };
            for index in 0..span.len() {
                let of_bucket = || minutes.iter().filter(|(at, _)| span.index_of(*at) == Some(index));
                let sum = of_bucket().map(|(_, count)| u128::from(*count)).sum();
                let minute = |(at, count): &(i64, u64)| shown(u128::from(*count), (*at, *at + 60), &extent);
                let expected = of_bucket().filter_map(minute).reduce(|a, b| a + b);
                let expected = expected.map(|sum| Number::Exact(i128::try_from(sum).unwrap()));
                prop_assert_eq!(span.shown(index, sum, &extent), expected);
            }
        }

        #[test]
        fn every_minute_is_asked_for_once(from in 0i64..5_000, length in 1i64..10_000, bucket_s in prop::sample::select(&[60i64, DAY_S])) {
            let first = T + 60 * from;
            let span = Span { first, end: first + 60 * length, bucket_s };
            let mut at = first;
            for ((begin, last), grain) in span.parts() {
                prop_assert_eq!(begin.unix_s(), at);
                at = last.unix_s() + 60;
                if grain == Grain::Day {
                    prop_assert_eq!((begin.unix_s() % DAY_S, at % DAY_S), (0, 0));
                }
            }
            prop_assert_eq!(at, span.end);
        }
    }

    #[test]
    fn only_counted_years_are_asked_for() {
        let before = Span {
            first: 0,
            end: 60_000,
            bucket_s: 60,
        };
        assert!(before.parts().is_empty());
        let since = Span {
            first: 0,
            end: Minute::FIRST.unix_s() + 60,
            bucket_s: 60,
        };
        assert_eq!(since.parts(), [((Minute::FIRST, Minute::FIRST), Grain::Minute)]);
    }
}
