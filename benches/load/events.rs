//! The events that a run sends: names of its own, random counts, minutes around now.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::time::SystemTime;

use anyhow::Result;
use model::{EventId, EventName, Minute, Timestamp};
use rand::RngExt;

/// How far an event's time is from now: web servers send late, and their clocks differ.
const OFFSET_MS: RangeInclusive<i64> = -120_000..=60_000;

const COUNTS: RangeInclusive<u64> = 1..=9;

/// A row of the centre's tables.
pub(crate) type Row = (EventId, Minute, u64);

#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub(crate) name: EventName<'static>,
    pub(crate) id: EventId,
}

/// Names that no other run has, so that a run can share its pipeline with others.
pub(crate) fn names(count: usize) -> Result<Vec<Name>> {
    let word: u32 = rand::random();
    let name = |n| {
        let name = EventName::new(format!("load-{word:08x}.name.{n:04}"))?;
        Ok(Name { id: name.id(), name })
    };
    (0..count).map(name).collect()
}

/// The body of one request, and what it counts.
#[derive(Debug)]
pub(crate) struct Request {
    /// NDJSON.
    pub(crate) body: String,
    pub(crate) rows: Vec<Row>,
}

impl Request {
    pub(crate) fn of(names: &[Name], events: u32, rng: &mut impl RngExt) -> Result<Self> {
        let mut request = Self {
            body: String::new(),
            rows: Vec::new(),
        };
        for _ in 0..events {
            let (name, at, count) = random_event(names, rng);
            writeln!(
                request.body,
                r#"{{"name":"{}","count":{count},"timestamp":{}}}"#,
                name.name,
                at.unix_s()
            )?;
            request.rows.push((name.id, Minute::containing(at)?, count));
        }
        Ok(request)
    }
}

pub(crate) fn random_event<'a>(names: &'a [Name], rng: &mut impl RngExt) -> (&'a Name, Timestamp, u64) {
    let name = &names[rng.random_range(0..names.len())];
    let at = Timestamp::from(SystemTime::now()).plus_ms(rng.random_range(OFFSET_MS));
    (name, at, rng.random_range(COUNTS))
}
