//! How far an import has come: places in a file, and what is acknowledged up to one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use super::chunk::Chunk;

/// A place between two chunks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// Lines and bytes before it.
    pub(super) lines: u64,
    pub(super) bytes: u64,
    /// XXH3-128 over the keys of all chunks before it, one after another, hence over every line: no other content gets here.
    chain: String,
}

impl Place {
    pub(super) fn after(&self, chunk: &Chunk) -> Self {
        let chain = XxHash3_128::oneshot(format!("{}{}", self.chain, chunk.key).as_bytes());
        Self {
            lines: self.lines + chunk.lines,
            bytes: self.bytes + chunk.bytes,
            chain: format!("{chain:032x}"),
        }
    }
}

/// How far everything is acknowledged, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    pub(super) events_accepted: u64,
    pub(super) events_rejected: u64,
    #[serde(rename = "up_to")]
    pub(super) place: Place,
}

/// Answers come in any order; what counts is how far they are there without a gap.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    pub(super) so_far: Progress,
    /// By the byte that the chunk begins at.
    beyond: BTreeMap<u64, Progress>,
}

impl Acknowledged {
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

    /// Where chunks begin and end.
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
