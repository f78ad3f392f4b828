//! `GET /v1/series`.

use std::collections::HashMap;
use std::time::SystemTime;

use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::Response;
use model::{EventId, Glob, Instant, Step};
use store::{Error, Extent, Found, Snapshot};
use tokio::sync::OwnedSemaphorePermit;

use crate::answer::{Answer, Format, Series};
use crate::buckets::Buckets;
use crate::centres::Visit;
use crate::parameters::Parameters;
use crate::refusal::Refusal;
use crate::room::Room;
use crate::routes::Api;
use crate::time_expression;

/// Patterns of one request: each is a search of its own.
pub(crate) const PATTERNS_MAX: usize = 200;

/// Tokens of all patterns of one request, their alternatives multiplied out: what they cost to hold and to match.
pub(crate) const PATTERN_TOKENS_MAX: usize = 20_000;

/// Series of one answer: what they cost is bounded by their points and counts; so many names alone take 2 MB.
pub(crate) const SERIES_MAX: usize = 10_000;

/// Counts that are read for one answer, of a name in a minute or in a day: 200 names over a year by the minute, which takes as
/// long as an answer may.
pub(crate) const COUNTS_READ_MAX: usize = 120_000_000;

/// A series' name takes the room of so many points.
pub(crate) const POINTS_PER_NAME: usize = 16;

/// A year of minutes with room to spare.
pub(crate) const POINTS_PER_SERIES_MAX: usize = 600_000;

/// Points of one answer: 32 MB of sums, about 50 MB of JSON.
pub(crate) const POINTS_MAX: usize = 2_000_000;

const PARAMETERS: &[&str] = &["name", "from", "until", "step", "format"];

#[derive(Debug)]
struct Query {
    patterns: Vec<Glob>,
    range: Range,
}

/// What time a request is about, and how it is to be answered.
#[derive(Debug)]
pub(crate) struct Range {
    pub(crate) buckets: Buckets,
    pub(crate) format: Format,
}

impl Query {
    fn parse(query: Option<&str>, headers: &HeaderMap, now: Instant) -> Result<Self, Refusal> {
        let parameters = Parameters::parse(query, PARAMETERS)?;
        Ok(Self {
            range: Range::parse(&parameters, headers, now)?,
            patterns: patterns(&parameters)?,
        })
    }
}

impl Range {
    /// From `from`, `until`, `step` and `format`.
    pub(crate) fn parse(parameters: &Parameters, headers: &HeaderMap, now: Instant) -> Result<Self, Refusal> {
        let step = parameters.one("step")?.unwrap_or("1m").parse::<Step>()?;
        let (from, until) = (
            time(parameters, "from", "-1h", now)?,
            time(parameters, "until", "now", now)?,
        );
        if from >= until {
            return Err(Refusal::EmptyRange);
        }
        let accept = headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok());
        Ok(Self {
            buckets: Buckets::covering(from, until, step, POINTS_PER_SERIES_MAX)
                .ok_or(Refusal::TooManyPointsPerSeries)?,
            format: Format::wanted(parameters.one("format")?, accept).ok_or(Refusal::Format)?,
        })
    }
}

pub(crate) fn time(
    parameters: &Parameters,
    key: &'static str,
    default: &str,
    now: Instant,
) -> Result<Instant, Refusal> {
    let text = parameters.one(key)?.unwrap_or(default);
    time_expression::parse(text, now).ok_or(Refusal::Time(key))
}

fn patterns(parameters: &Parameters) -> Result<Vec<Glob>, Refusal> {
    let mut texts: Vec<&str> = parameters.all("name").collect();
    texts.sort_unstable();
    texts.dedup();
    if texts.is_empty() {
        return Err(Refusal::NoName);
    }
    if texts.len() > PATTERNS_MAX {
        return Err(Refusal::TooManyPatterns);
    }
    let mut tokens = 0;
    let mut patterns = Vec::with_capacity(texts.len());
    for text in texts {
        let pattern = Glob::new(text)?;
        tokens += pattern.token_count();
        if tokens > PATTERN_TOKENS_MAX {
            return Err(Refusal::TooManyPatternTokens);
        }
        patterns.push(pattern);
    }
    Ok(patterns)
}

pub(crate) async fn get(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Result<Response, Refusal> {
    let query = Query::parse(uri.query(), &headers, Instant::from(SystemTime::now()))?;
    let read = api.centres.ask(|visit| read(&api.points, &query, visit)).await?;
    let answer = Answer {
        buckets: query.range.buckets,
        extent: read.extent,
        series: read.series,
        _room: read.room,
    };
    Ok(answer.into_response(query.range.format))
}

/// What one centre has of an answer.
struct Read {
    extent: Extent,
    /// By name.
    series: Vec<Series>,
    room: OwnedSemaphorePermit,
}

/// Names and counts out of one snapshot; the sums are made as the rows come.
async fn read(room: &Room, query: &Query, visit: Visit) -> Result<Read, Refusal> {
    let (mut snapshot, found) = visit.snapshot(&query.patterns, SERIES_MAX).await?;
    let Found::Names(names) = found else {
        return Err(Refusal::TooManySeries);
    };
    let buckets = &query.range.buckets;
    let points = names.len() * buckets.len();
    if points > POINTS_MAX {
        return Err(Refusal::TooManyPoints);
    }
    if names.len().saturating_mul(buckets.counts()) > COUNTS_READ_MAX {
        return Err(Refusal::TooManyCounts);
    }
    let room = room.of_points(points + names.len() * POINTS_PER_NAME)?;
    let ids: Vec<_> = names.iter().map(|name| name.id).collect();
    let sums = sums(&mut snapshot, &ids, buckets).await?;
    let extent = snapshot.finish().await?;
    let series = names.into_iter().zip(sums);
    Ok(Read {
        extent,
        series: series.map(|(name, sums)| Series { name, sums }).collect(),
        room,
    })
}

/// A count that no sum has a place for: without it the sums are less than what was counted.
pub(crate) const NOT_ASKED_FOR: Error = Error::Shape {
    what: "a count of another name or time than those asked for",
};

/// For each of `ids`, of which none comes twice, the sum of each bucket. For as many points the caller holds room.
pub(crate) async fn sums(
    snapshot: &mut Snapshot,
    ids: &[EventId],
    buckets: &Buckets,
) -> Result<Vec<Vec<u128>>, Refusal> {
    let mut sums = vec![vec![0_u128; buckets.len()]; ids.len()];
    if let Some(minutes) = buckets.minutes() {
        let at: HashMap<_, _> = ids.iter().enumerate().map(|(at, &id)| (id, at)).collect();
        // Counts of one name come together.
        let mut current = None;
        let mut is_asked = true;
        let add = |id, unix_s, count| {
            if current.is_none_or(|(of, _)| of != id) {
                current = at.get(&id).map(|&at| (id, at));
            }
            match (current, buckets.index_of(unix_s)) {
                (Some((_, at)), Some(bucket)) => sums[at][bucket] += u128::from(count),
                _ => is_asked = false,
            }
        };
        snapshot.counts(ids, minutes, buckets.grain(), add).await?;
        if !is_asked {
            return Err(NOT_ASKED_FOR.into());
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Query, Refusal> {
        Query::parse(
            Some(query),
            &HeaderMap::new(),
            Instant::from_unix_ms(1_763_787_630_000),
        )
    }

    #[test]
    fn defaults_are_the_last_hour_by_the_minute() {
        let query = parse("name=a").unwrap();
        assert_eq!(query.range.buckets.step, Step::Minute);
        assert_eq!(
            (
                query.range.buckets.first_unix_s(),
                query.range.buckets.end_unix_s()
            ),
            (1_763_784_000, 1_763_787_660)
        );
        assert_eq!(query.range.format, Format::Json);
    }

    #[test]
    fn a_pattern_given_twice_counts_once() {
        assert_eq!(parse("name=b.*&name=a&name=b.*").unwrap().patterns.len(), 2);
    }

    #[test]
    fn alternatives_of_all_patterns_are_limited() {
        let request = |count: usize| {
            let name = |at| format!("name={at:03}{}", "{a,b}".repeat(7));
            (0..count).map(name).collect::<Vec<_>>().join("&")
        };
        let patterns = parse(&request(14)).unwrap().patterns;
        assert_eq!(patterns[0].token_count(), 128 * 11);
        assert!(matches!(parse(&request(15)), Err(Refusal::TooManyPatternTokens)));
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (query, sentence) in [
            (
                "",
                "name is missing: give at least one name or pattern, such as name=shop.item.sold",
            ),
            (
                "name=a&names=b",
                "unknown query parameter: this path takes name, from, until, step, format",
            ),
            ("name=a&step=2m", "step is not one of 1m 5m 15m 1h 6h 1d 1w 1mo"),
            ("name=a&from=now&until=-1h", "from is not before until"),
            (
                "name=a&from=0",
                "more than 600000 points per series: use a larger step or a shorter range",
            ),
            ("name=", "pattern is empty"),
            ("name=a&format=xml", "format is neither json nor csv"),
            (
                "name=a&step=1h&step=1d",
                "query parameter step is given more than once",
            ),
        ] {
            assert_eq!(parse(query).unwrap_err().to_string(), sentence, "{query}");
        }
        assert!(
            parse("name=a&until=soon")
                .unwrap_err()
                .to_string()
                .starts_with("until is not a time")
        );
        assert!(matches!(parse("name=a*b'"), Err(Refusal::Pattern(_))));
    }
}
