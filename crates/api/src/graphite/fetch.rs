//! The counts that a plan wants, out of one snapshot.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{EventId, Glob};
use store::{Extent, Found, Name, Snapshot};
use tokio::sync::OwnedSemaphorePermit;

use super::function::Window;
use super::number::Point;
use super::plan::{MINUTE_S, Plan, Wanted};
use super::series::Series;
use super::span::Span;
use crate::centres::Visit;
use crate::refusal::Refusal;
use crate::room::Room;
use crate::series::{
    COUNTS_READ_MAX, NOT_ASKED_FOR, PATTERN_TOKENS_MAX, POINTS_MAX, POINTS_PER_SERIES_MAX, SERIES_MAX,
};

/// A series' name and tags take the room of so many values.
const VALUES_PER_SERIES: usize = 32;

/// Names that are looked at for each pattern, over all patterns: a tenth of a second where requests are served.
pub(crate) const MATCHES_MAX: usize = 200_000;

/// A value on its way through the functions takes the room of two sums.
const ROOM_PER_VALUE: usize = 2;

/// What was read for all targets of a request.
pub(super) struct Fetched {
    bucket_s: i64,
    extent: Extent,
    /// The names that each text matches, in the order of names.
    matched: HashMap<String, Vec<Name>>,
    sums: HashMap<EventId, Vec<(Span, Vec<u128>)>>,
    /// The sums over all names of a text, where no function looks at each of them.
    added: HashMap<(String, Span), Vec<u128>>,
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
            added: HashMap::new(),
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

    /// The sum of all series that `path` stands for, as one series, or none of none; of a window that was planned so.
    pub(super) fn added(&self, path: &str, window: Window) -> Option<Vec<Series>> {
        let span = Span::of(window, self.bucket_s);
        let sums = self.added.get(&(path.to_owned(), span))?;
        let names = self.matched.get(path).map(Vec::as_slice).unwrap_or_default();
        let Some(first) = names.first() else {
            return Some(Vec::new());
        };
        let values = sums.iter().enumerate();
        let values = values.map(|(index, sum)| span.shown(index, *sum, &self.extent));
        let grid = (span.start(), span.stop(), self.bucket_s);
        let mut series = Series::new(first.name.clone(), grid, values.collect());
        if names.len() > 1 {
            // Only what all of them have in common.
            series.tags.clear();
        }
        path.clone_into(&mut series.path);
        Some(vec![series])
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

impl Fetched {
    fn ids_of(&self, path: &str) -> Vec<EventId> {
        let names = self.matched.get(path).map(Vec::as_slice).unwrap_or_default();
        names.iter().map(|name| name.id).collect()
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
        for (path, span) in added(plan, &mut fetched)? {
            let ids = fetched.ids_of(&path);
            let mut sums = vec![0; span.len()];
            let counted = counts.iter().filter(|(text, _)| ids.contains(&EventId::of(text)));
            for (unix_s, count) in counted.flat_map(|(_, rows)| rows) {
                if let Some(index) = span.index_of(*unix_s) {
                    sums[index] += u128::from(*count);
                }
            }
            fetched.added.insert((path, span), sums);
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
    if patterns.len().saturating_mul(names.len()) > MATCHES_MAX {
        return Err(Refusal::TooManyMatches);
    }
    let mut fetched = Fetched {
        bucket_s,
        matched: matched(plan, &names),
        ..Fetched::nothing()
    };
    let wanted = wanted(plan, &mut fetched)?;
    let added = added(plan, &mut fetched)?;
    let points = |(span, names): (Span, usize)| span.len().saturating_mul(names);
    let counts = |(span, names): (Span, usize)| span.counts().saturating_mul(names);
    let apart = wanted.iter().map(|(span, ids)| (*span, ids.len()));
    let together = added
        .iter()
        .map(|(path, span)| (*span, fetched.ids_of(path).len()));
    let held =
        apart.clone().map(points).sum::<usize>() + added.iter().map(|(_, span)| span.len()).sum::<usize>();
    if held > POINTS_MAX || fetched.values > POINTS_MAX {
        return Err(Refusal::TooManyPoints);
    }
    if apart.chain(together).map(counts).fold(0, usize::saturating_add) > COUNTS_READ_MAX {
        return Err(Refusal::TooManyCounts);
    }
    fetched.room = Some(room.of_points(held + ROOM_PER_VALUE * fetched.values)?);
    for (span, ids) in wanted {
        let sums = read(&mut snapshot, span, &ids, ids.len(), |at| at).await?;
        for (id, sums) in ids.into_iter().zip(sums) {
            fetched.sums.entry(id).or_default().push((span, sums));
        }
    }
    for (path, span) in added {
        let ids = fetched.ids_of(&path);
        let sums = read(&mut snapshot, span, &ids, 1, |_| 0).await?;
        fetched
            .added
            .insert((path, span), sums.into_iter().next().unwrap_or_default());
    }
    fetched.extent = snapshot.finish().await?;
    Ok(fetched)
}

/// The sums of `rows` series; `row_of` says which of them the name at a place of `ids` belongs to.
async fn read(
    snapshot: &mut Snapshot,
    span: Span,
    ids: &[EventId],
    rows: usize,
    row_of: impl Fn(usize) -> usize + Sync,
) -> Result<Vec<Vec<u128>>, Refusal> {
    let at: HashMap<EventId, usize> = ids.iter().enumerate().map(|(at, id)| (*id, row_of(at))).collect();
    let mut sums = vec![vec![0u128; span.len()]; rows];
    // Counts of one name come together.
    let mut current = None;
    let mut is_asked = true;
    for (minutes, grain) in span.parts() {
        let add = |id, unix_s, count| {
            if current.is_none_or(|(of, _)| of != id) {
                current = at.get(&id).map(|at| (id, *at));
            }
            match (current, span.index_of(unix_s)) {
                (Some((_, at)), Some(index)) => sums[at][index] += u128::from(count),
                _ => is_asked = false,
            }
        };
        snapshot.counts(ids, minutes, grain, add).await?;
    }
    if !is_asked {
        return Err(NOT_ASKED_FOR.into());
    }
    Ok(sums)
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

/// The sums over all names of a text that are to be read. Counts the values that are made of them.
fn added(plan: &Plan, fetched: &mut Fetched) -> Result<Vec<(String, Span)>, Refusal> {
    let mut added = Vec::new();
    for (path, wanted) in &plan.wanted {
        for (window, visits) in &wanted.added {
            let span = Span::of(*window, fetched.bucket_s);
            if span.len() > POINTS_PER_SERIES_MAX {
                return Err(Refusal::TooManyPointsPerSeries);
            }
            let made = (span.len() + VALUES_PER_SERIES).saturating_mul(*visits);
            fetched.values = fetched.values.saturating_add(made);
            added.push((path.clone(), span));
        }
    }
    Ok(added)
}
