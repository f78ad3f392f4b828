//! The checks of requests and of times: for the fuzz targets `renders` and `instants`, and for their corpora.

use std::borrow::Cow;

use model::{EventId, Extent, Timestamp};
use serde_json::Value;

use crate::limits::Limits;
use crate::plan::Plan;
use crate::reading::{Counts, Name};
use crate::request::{Format, Request};
use crate::time;
use crate::zone::Zone;

/// A midnight, and an hour and a half.
const NOW: i64 = 1_763_769_600 + 5_400;

const LIMITS: Limits = Limits {
    patterns_max: 200,
    names_read_max: 1_000,
    points_per_series_max: 20_000,
};

/// Most values of one request: what takes longer finds nothing else.
const VALUES_MAX: usize = 50_000;

const NAMES: [&str; 6] = [
    "a.x.n",
    "a.y.n",
    "b.x.n",
    "b.y.m",
    "shop.item.sold",
    "web.status.200",
];

/// Reads a form of `key=value&…`, none of it escaped, and renders it out of made-up counts.
///
/// # Panics
/// A function, or an answer that is no JSON.
pub fn renders(form: &[u8]) {
    let Ok(form) = std::str::from_utf8(form) else {
        return;
    };
    let pairs = form
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let pairs = pairs.map(|(key, value)| (Cow::Borrowed(key), Cow::Borrowed(value)));
    let Ok(request) = Request::parse(pairs, NOW, LIMITS) else {
        return;
    };
    let is_json = request.options.format == Format::Json;
    let Ok(plan) = Plan::of(request) else { return };
    let Some(counts) = counted(&plan) else { return };
    let Ok(output) = plan.evaluate(&counts) else {
        return;
    };
    if output.values() <= VALUES_MAX {
        let text: String = output.into_texts().collect();
        let json = serde_json::from_str::<Value>(&text);
        assert!(!is_json || json.is_ok(), "{json:?}: {text}");
    }
}

/// What the plan reads: some counts of each name, until ten minutes before now.
fn counted(plan: &Plan) -> Option<Counts> {
    let name = |text: &&str| Name {
        id: EventId::of(text),
        name: (*text).to_owned(),
    };
    let mut matchers: Vec<_> = plan.globs().iter().map(model::Glob::matcher).collect();
    let matches = |text: &&&str| matchers.iter_mut().any(|matcher| matcher.matches(text));
    let names: Vec<Name> = NAMES.iter().filter(matches).map(name).collect();
    let reading = plan.reading(&names).ok()?;
    if reading.looked_at() > VALUES_MAX {
        return None;
    }
    let sums = reading.reads().iter().map(|read| {
        let sum = |at: usize| (at as u128).pow(3) % 7 * 10_u128.pow(u32::try_from(at % 12).unwrap_or(0));
        let row: Vec<u128> = (0..read.span.bucket_count()).map(sum).collect();
        vec![row; read.rows()]
    });
    let sums = sums.collect();
    let extent = Extent {
        complete_until: Some(Timestamp::from_unix_ms(1000 * (NOW - 600))),
        kept_since: None,
    };
    Some(reading.with(sums, extent))
}

/// Reads a text as a time of `from` and `until`, and as an interval; a line before it may name a zone.
///
/// # Panics
/// An overflow.
pub fn instants(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else {
        return;
    };
    let (zone, text) = input.split_once('\n').unwrap_or(("", input));
    let zone = Zone::named(zone).unwrap_or(Zone::UTC);
    let _ = (time::parse(text, NOW, zone), time::interval(text));
}

#[cfg(test)]
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

#[cfg(test)]
#[test]
fn what_was_found_holds() {
    replay::corpus("renders", renders);
    replay::corpus("instants", instants);
}
