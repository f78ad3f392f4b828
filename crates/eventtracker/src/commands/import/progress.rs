//! Progress of an import: places in a file, and what is acknowledged up to one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use super::chunk::Chunk;

/// A place between two chunks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// Lines before it.
    pub(super) lines: u64,
    /// Bytes before it.
    pub(super) bytes: u64,
    /// A hash chain: XXH3-128 over the keys of all chunks before it, one after another, hence over every line. Other content leads to
    /// another place.
    chain: String,
}

impl Place {
    /// The place behind `chunk`, which begins here.
    pub(super) fn after(&self, chunk: &Chunk) -> Self {
        let chain = XxHash3_128::oneshot(format!("{}{}", self.chain, chunk.key).as_bytes());
        Self {
            lines: self.lines + chunk.lines,
            bytes: self.bytes + chunk.bytes,
            chain: format!("{chain:032x}"),
        }
    }
}

/// The place up to which everything is acknowledged, and how many events were accepted and rejected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    pub(super) events_accepted: u64,
    pub(super) events_rejected: u64,
    #[serde(rename = "up_to")]
    pub(super) place: Place,
}

/// The acknowledgements, which come in any order, and how far they are there without a gap.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    /// Progress from the file's beginning on, without a gap.
    pub(super) so_far: Progress,
    /// Chunks that are acknowledged beyond a gap, by the byte that each begins at.
    beyond: BTreeMap<u64, Progress>,
}

impl Acknowledged {
    /// The acknowledgements of a run that goes on after others.
    pub(super) fn from(so_far: Progress) -> Self {
        Self {
            so_far,
            beyond: BTreeMap::new(),
        }
    }

    /// Adds one chunk, from byte `start` to the place in `chunk`.
    pub(super) fn add(&mut self, start_bytes: u64, chunk: Progress) {
        self.beyond.insert(start_bytes, chunk);
        while let Some(next) = self.beyond.remove(&self.so_far.place.bytes) {
            self.so_far.events_accepted += next.events_accepted;
            self.so_far.events_rejected += next.events_rejected;
            self.so_far.place = next.place;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in super::super) fn chunk(number: u64) -> Chunk {
        Chunk {
            key: format!("key-{number}"),
            body: Vec::new(),
            event_lines: Vec::new(),
            first_line: 0,
            lines: number + 1,
            bytes: 10 * (number + 1),
        }
    }

    /// The places between chunks, and those before the first and behind the last.
    pub(in super::super) fn places(count: u64) -> Vec<Place> {
        (0..count).fold(vec![Place::default()], |mut places, number| {
            let end = places[places.len() - 1].after(&chunk(number));
            places.push(end);
            places
        })
    }

    proptest! {
        #[test]
        fn answers_in_any_order_get_as_far_as_there_is_no_gap(
            order in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(),
            answered in 0..=12_usize,
        ) {
            let places = places(12);
            let mut acknowledged = Acknowledged::default();
            for &number in &order[..answered] {
                let end = places[number + 1].clone();
                acknowledged.add(places[number].bytes, Progress { events_accepted: 1, events_rejected: 2, place: end });
            }
            let without_gap = (0..12).take_while(|number| order[..answered].contains(number)).count();
            let count = u64::try_from(without_gap).unwrap();
            prop_assert_eq!(&acknowledged.so_far.place, &places[without_gap]);
            prop_assert_eq!((acknowledged.so_far.events_accepted, acknowledged.so_far.events_rejected), (count, 2 * count));
        }
    }
}
