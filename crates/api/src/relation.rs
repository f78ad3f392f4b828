//! `GET /v1/relation`: how a term y depends on a term x, bucket by bucket.

#![expect(clippy::disallowed_methods, reason = "ranges are relative to now")]

mod line;
pub(crate) mod terms;

use std::collections::HashMap;
use std::time::SystemTime;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use model::{Buckets, EventId, Extent, Glob, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use store::central::Matched;
use tokio::sync::OwnedSemaphorePermit;

use self::line::{Fitted, Line};
use self::terms::{NoTerm, Readings, Term};
use crate::admission::Asker;
use crate::answer::{Format, Formats};
use crate::centres::Attempt;
use crate::limits::POINTS_MAX;
use crate::parameters::Parameters;
use crate::patterns;
use crate::range::Range;
use crate::reading::{self, by_bucket};
use crate::refusal::Refusal;
use crate::room::{self, Room};
use crate::state::Api;

const PARAMETERS: &[&str] = &["x", "y", "from", "until", "step", "format"];

const FORMATS: Formats = &[Format::Json, Format::Csv];

/// Room that a pair takes while an answer is made, in points: its two values and its time.
const POINTS_PER_PAIR: usize = size_of::<(Value, Value, i64)>().div_ceil(size_of::<u128>());

/// How y depends on x, bucket by bucket.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Relation {
    /// Start of the first bucket, in unix seconds.
    from: i64,
    /// End of the last bucket, in unix seconds.
    until: i64,
    /// Seconds of a bucket.
    step: i64,
    /// Until when no count is missing, in unix seconds; null where that is not known.
    complete_until: Option<f64>,
    /// How many pairs there are.
    n: usize,
    /// Pearson's; null for fewer than two pairs, or where x or y does not vary.
    #[schemars(range(min = -1.0, max = 1.0))]
    correlation: Option<f64>,
    /// Null for fewer than two pairs, or where x does not vary.
    fit: Option<Fit>,
    /// x, y, and the start of the bucket that both are of.
    pairs: Vec<(Value, Value, i64)>,
}

/// y = slope × x + intercept, by least squares.
#[derive(Debug, Serialize, JsonSchema)]
struct Fit {
    slope: f64,
    intercept: f64,
}

/// A sum as the integer that it is, or a ratio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
enum Value {
    Sum(u128),
    Ratio(f64),
}

pub(crate) async fn get(
    State(api): State<Api>,
    asker: Asker,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let parameters = Parameters::parse(uri.query(), PARAMETERS)?;
    let range = Range::parse(&parameters, &headers, FORMATS, Timestamp::from(SystemTime::now()))?;
    let term = |key| -> Result<Readings, Refusal> {
        let text = parameters.one(key)?.unwrap_or_default();
        let readings = Readings::parse(text).ok_or(NoTerm(key))?;
        // What may not be read was never counted, for who asks; where that leaves nothing, he is told.
        if let Some(readings) = readings.within(|name| asker.may_read(name).is_ok()) {
            return Ok(readings);
        }
        for name in readings.names() {
            asker.may_read(name)?;
        }
        Err(NoTerm(key).into())
    };
    let readings = [term("x")?, term("y")?];
    let reader = asker.reader(range.format.kind());
    let mut place = None;
    let read = loop {
        let read = |attempt: Attempt| {
            read(
                &api.points,
                &readings,
                &range.buckets,
                attempt.within(place.as_ref()),
            )
        };
        match api.places.read(place.as_ref(), api.centres.ask(read)).await {
            Err(reading::Error::NeedsPlace) => place = Some(api.places.take(&reader).await?),
            outcome => break outcome?,
        }
    };
    let relation = read.relation(&range.buckets);
    if range.format == Format::Csv {
        let text = relation.csv().into_bytes();
        return Ok(room::held(&api.points, text, "text/csv; charset=utf-8")?);
    }
    Ok(room::json(&api.points, &relation)?)
}

/// The counts of one snapshot that an answer is made of.
struct Read {
    extent: Extent,
    /// `[x, y]`; `None` where a term has no name: no pair exists.
    terms: Option<[Term<EventId>; 2]>,
    /// The sums of each name, by bucket.
    sums: HashMap<EventId, Vec<u128>>,
    _room: OwnedSemaphorePermit,
}

/// Reads the names of all readings, and the counts of the two that apply, out of one snapshot.
///
/// # Errors
/// `TooManyPoints` and `Busy` before any count is read, `Centre` where the centre is of no use.
async fn read(
    room: &Room,
    readings: &[Readings; 2],
    buckets: &Buckets,
    attempt: Attempt,
) -> Result<Read, reading::Error> {
    let mut texts: Vec<&str> = readings.iter().flat_map(Readings::names).collect();
    texts.sort_unstable();
    texts.dedup();
    let patterns = texts.into_iter().map(Glob::new).collect::<Result<Vec<_>, _>>();
    let patterns = patterns.map_err(patterns::Error::from)?;
    let (snapshot, found) = attempt.snapshot(&patterns, patterns.len()).await?;
    let Matched::Names(names) = found else {
        return Err(reading::Error::TooManySeries);
    };
    let known = |text: &str| names.iter().find(|name| name.name == text).map(|name| name.id);
    let [x, y] = readings.each_ref().map(|readings| readings.resolve(known));
    let terms = x.zip(y).map(|(x, y)| [x, y]);
    let mut ids: Vec<EventId> = terms.iter().flatten().flat_map(Term::parts).collect();
    ids.sort_unstable();
    ids.dedup();
    // Refused, and its room taken, before a count is read: afterwards the memory would be in use already.
    if ids.len() * buckets.len() > POINTS_MAX {
        return Err(reading::Error::TooManyPoints);
    }
    let snapshot = attempt
        .may_read_of(snapshot, ids.len().saturating_mul(buckets.counts()))
        .await?;
    let room = room.of_points((ids.len() + POINTS_PER_PAIR) * buckets.len())?;
    let (sums, extent) = reading::read(&attempt, snapshot, &[by_bucket(&ids, buckets)]).await?;
    let sums = sums.into_iter().flatten();
    Ok(Read {
        extent,
        terms,
        sums: ids.iter().copied().zip(sums).collect(),
        _room: room,
    })
}

impl Read {
    fn relation(&self, buckets: &Buckets) -> Relation {
        let mut pairs = Vec::new();
        let mut line = Line::default();
        if let Some([x, y]) = &self.terms {
            for index in 0..buckets.len() {
                let edges = buckets.edges(index);
                // A bucket that may still grow in one term would bend the line.
                if self.extent.shown(0, edges).is_none() {
                    continue;
                }
                if let Some((x, y)) = self.value(x, index).zip(self.value(y, index)) {
                    line.add(x, y);
                    pairs.push((x, y, edges.0));
                }
            }
        }
        let Fitted { correlation, fit } = line.fitted();
        Relation {
            from: buckets.first_unix_s(),
            until: buckets.end_unix_s(),
            step: buckets.step().seconds(),
            complete_until: self.extent.complete_until.map(Timestamp::unix_s),
            n: pairs.len(),
            correlation,
            fit: fit.map(|(slope, intercept)| Fit { slope, intercept }),
            pairs,
        }
    }

    /// The term's value in a bucket; `None` for a ratio whose denominator is 0.
    fn value(&self, term: &Term<EventId>, index: usize) -> Option<Value> {
        match term.map(|name| self.sums[&name][index]) {
            Term::Name(sum) => Some(Value::Sum(sum)),
            Term::Ratio(_, 0) => None,
            Term::Ratio(above, below) => Some(Value::Ratio(line::float(above) / line::float(below))),
        }
    }
}

impl Relation {
    fn csv(&self) -> String {
        let mut text = "time,x,y\n".to_owned();
        for (x, y, unix_s) in &self.pairs {
            let time = DateTime::<Utc>::from_timestamp(*unix_s, 0).unwrap_or_default();
            let time = time.to_rfc3339_opts(SecondsFormat::Secs, true);
            text += &format!("{time},{x},{y}\n");
        }
        text
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sum(sum) => sum.fmt(f),
            Self::Ratio(ratio) => ratio.fmt(f),
        }
    }
}
