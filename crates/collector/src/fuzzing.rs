//! The check of a request's body: for the fuzz target `bodies`, and for its corpus.

use std::collections::BTreeMap;

use model::{BatchId, Client, EventId, Minute, Timestamp};
use queue::{Counts, EventIds, JobPacker, NameTable};
use uuid::Uuid;

use crate::body::unpack;
use crate::both_ways::{self, NOW_MS};
use crate::events::{self, ParsedEvent};
use crate::pieces::Pieces;
use crate::request::{Encoding, Format};

/// beanstalkd refuses a job of as many bytes.
const JOB_BYTES: usize = 65_535;

type Sums = BTreeMap<(EventId, Minute), u128>;

/// Reads a body, of which the first byte of `input` says in which format and how packed it is, and whether it came with a key. What is
/// accepted of it comes out of its jobs.
///
/// # Panics
/// The two readers differ; a job is too long, or cannot be read; what comes out of the jobs is not what was accepted.
pub fn bodies(input: &[u8]) {
    let Some((choice, body)) = input.split_first() else {
        return;
    };
    let format = [Format::Json, Format::Ndjson][usize::from(choice & 1)];
    let encoding = match (choice >> 1) & 3 {
        1 => Encoding::Gzip,
        2 => Encoding::Zstd,
        _ => Encoding::Identity,
    };
    let Ok(body) = unpack(encoding, body) else { return };
    both_ways::check(&body);
    let Ok(text) = events::text(format, &body) else {
        return;
    };
    let now = Timestamp::from_unix_ms(NOW_MS);
    let (mut accepted, mut packer) = (Sums::new(), JobPacker::new(|| BatchId::from(Uuid::nil())));
    let mut note = |parsed: &ParsedEvent<'_>| {
        if let Ok(event) = &parsed.event {
            *accepted.entry((event.name.id(), event.minute)).or_default() += u128::from(event.count);
        }
    };
    let read = if choice & 8 == 0 {
        let mut counts = Counts::default();
        let read = events::read(format, &text, now, false, |parsed| {
            note(&parsed);
            if let Ok(event) = parsed.event {
                counts.add(&event.name, event.minute, event.count);
            }
        });
        packer.add(counts);
        read
    } else {
        let client = Client::of("shop");
        let mut pieces = Pieces::new(&client, b"secret", b"key");
        let read = events::read(format, &text, now, true, |parsed| {
            note(&parsed);
            pieces.add(&parsed, NameTable::number);
        });
        packer.add_keyed(&pieces.into_keyed());
        read
    };
    if read.is_ok() {
        assert_eq!(out_of_jobs(packer, now), accepted);
    }
}

fn out_of_jobs(packer: JobPacker, now: Timestamp) -> Sums {
    let mut sums = Sums::new();
    for job in packer.finish() {
        let body = job.encode(now);
        assert!(body.len() < JOB_BYTES, "{} bytes", body.len());
        let decoded = queue::decode(body.as_bytes(), &mut EventIds::default());
        let decoded = decoded.unwrap_or_else(|error| panic!("{error}: {body}"));
        for (id, minute, count) in decoded.batches.into_iter().flat_map(|batch| batch.counts) {
            *sums.entry((id, minute)).or_default() += u128::from(count);
        }
    }
    sums
}

#[cfg(test)]
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

#[cfg(test)]
#[test]
fn what_was_found_holds() {
    replay::corpus("bodies", bodies);
}
