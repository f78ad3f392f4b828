//! `GET /v1/series`: the sums of names and patterns, bucket by bucket.

#![expect(clippy::disallowed_methods, reason = "ranges are relative to now")]

use std::time::SystemTime;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use model::{Buckets, EventName, Extent, Glob, Timestamp};
use name_index::Index;
use store::central::Matched;
use tokio::sync::OwnedSemaphorePermit;

use crate::admission::Asker;
use crate::answer::{Answer, Format, Formats, Series};
use crate::centres::Attempt;
use crate::limits::{COUNTS_READ_MAX, POINTS_MAX, POINTS_PER_NAME, SERIES_MAX};
use crate::parameters::Parameters;
use crate::patterns;
use crate::range::Range;
use crate::reading::{self, by_bucket};
use crate::refusal::Refusal;
use crate::room::Room;
use crate::state::Api;

const PARAMETERS: &[&str] = &["name", "from", "until", "step", "format"];

const FORMATS: Formats = &[Format::Json, Format::Csv, Format::Arrow];

/// The request, parsed and within its limits.
#[derive(Debug)]
struct Query {
    patterns: Vec<Glob>,
    range: Range,
}

impl Query {
    fn parse(query: Option<&str>, headers: &HeaderMap, now: Timestamp) -> Result<Self, Refusal> {
        let parameters = Parameters::parse(query, PARAMETERS)?;
        Ok(Self {
            range: Range::parse(&parameters, headers, FORMATS, now)?,
            patterns: patterns::parse(&parameters)?,
        })
    }
}

pub(crate) async fn get(
    State(api): State<Api>,
    asker: Asker,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let mut query = Query::parse(uri.query(), &headers, Timestamp::from(SystemTime::now()))?;
    query.patterns = asker.within(query.patterns)?;
    let index = api.names.index();
    let reader = asker.reader(query.range.format.kind());
    let mut place = None;
    let read = loop {
        let read = |attempt: Attempt| {
            read(
                &api.points,
                index.as_deref(),
                &query,
                attempt.within(place.as_ref()),
            )
        };
        match api.places.read(place.as_ref(), api.centres.ask(read)).await {
            Err(reading::Error::NeedsPlace) => place = Some(api.places.take(&reader).await?),
            outcome => break outcome?,
        }
    };
    let answer = Answer {
        buckets: query.range.buckets,
        extent: read.extent,
        series: read.series,
        _room: read.room,
    };
    Ok(answer.into_response(query.range.format)?)
}

/// The counts of one snapshot that an answer is made of.
struct Read {
    extent: Extent,
    /// The series, ordered by name.
    series: Vec<Series>,
    /// Room for their points, until the answer is sent.
    room: OwnedSemaphorePermit,
}

/// Reads names and counts out of one snapshot; counts are summed up as the rows come.
///
/// # Errors
/// `TooManySeries`, `TooManyPoints`, `TooManyCounts` and `Busy` before any count is read; `Centre` where the centre is of no use.
async fn read(
    room: &Room,
    index: Option<&Index>,
    query: &Query,
    attempt: Attempt,
) -> Result<Read, reading::Error> {
    let buckets = &query.range.buckets;
    // Names that are given as a whole are looked up beside their counts. Unless that is too much to ask for: those that were never counted
    // take no room, and only a look-up tells how many they are.
    if let Some(names) = patterns::literals(&query.patterns)
        && let Ok(room) = room_for(room, buckets, names.len())
    {
        attempt.may_read(names.len().saturating_mul(buckets.counts()))?;
        let ids: Vec<_> = names.iter().map(EventName::id).collect();
        let all = [by_bucket(&ids, buckets)];
        let (counted, sums, extent) = reading::read_named(&attempt, index, &names, &all).await?;
        let series = names.iter().zip(sums.into_iter().flatten());
        let series = series.filter(|(name, _)| counted.contains(&name.id()));
        // The patterns are in the order of names.
        let series = series.map(|(name, sums)| Series {
            name: name.to_string(),
            id: name.id(),
            sums,
        });
        return Ok(Read {
            extent,
            series: series.collect(),
            room,
        });
    }
    let (snapshot, found) = attempt.snapshot(&query.patterns, SERIES_MAX).await?;
    let Matched::Names(names) = found else {
        return Err(reading::Error::TooManySeries);
    };
    // Every refusal comes before the first count: by then nothing was spent on the answer but finding its names.
    let room = room_for(room, buckets, names.len())?;
    let snapshot = attempt
        .may_read_of(snapshot, names.len().saturating_mul(buckets.counts()))
        .await?;
    let ids: Vec<_> = names.iter().map(|name| name.id).collect();
    let (sums, extent) = reading::read(&attempt, snapshot, &[by_bucket(&ids, buckets)]).await?;
    let series = names.into_iter().zip(sums.into_iter().flatten());
    Ok(Read {
        extent,
        series: series
            .map(|(name, sums)| Series {
                name: name.name,
                id: name.id,
                sums,
            })
            .collect(),
        room,
    })
}

/// Room for the buckets of so many names.
///
/// # Errors
/// `TooManyPoints`, `TooManyCounts` and `Busy`.
fn room_for(room: &Room, buckets: &Buckets, names: usize) -> Result<OwnedSemaphorePermit, reading::Error> {
    let points = names * buckets.len();
    if points > POINTS_MAX {
        return Err(reading::Error::TooManyPoints);
    }
    if names.saturating_mul(buckets.counts()) > COUNTS_READ_MAX {
        return Err(reading::Error::TooManyCounts);
    }
    Ok(room.of_points(points + names * POINTS_PER_NAME)?)
}

#[cfg(test)]
mod tests {
    use model::Step;

    use super::*;

    fn parse(query: &str) -> Result<Query, Refusal> {
        Query::parse(
            Some(query),
            &HeaderMap::new(),
            Timestamp::from_unix_ms(1_763_787_630_000),
        )
    }

    #[test]
    fn defaults_are_the_last_hour_by_the_minute() {
        let query = parse("name=a").unwrap();
        assert_eq!(query.range.buckets.step(), Step::Minute);
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
        assert!(matches!(
            parse(&request(15)),
            Err(Refusal::Patterns(patterns::Error::TooManyTokens))
        ));
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
            ("name=a&format=xml", "format is not one of json csv arrow"),
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
        assert!(matches!(
            parse("name=a*b'"),
            Err(Refusal::Patterns(patterns::Error::Pattern(_)))
        ));
    }
}
