//! Batches, their ids, and the cut of a keyed request into batches.

use std::fmt;
use std::str::FromStr;

use twox_hash::XxHash3_128;
use uuid::Uuid;

use crate::{EventId, Minute, Origin, Timestamp};

/// Estimated bytes at which a keyed request is cut: every piece fits into one job of 65,535 bytes.
///
/// The number is part of what an idempotency key means: changing it (or `piece_cost_bytes`, or [`BatchId::of_piece`]) makes retries
/// that cross the change count twice.
pub const PIECE_BYTES_MAX: usize = 60_000;

/// Estimated bytes of one event in the cut: the length of its name as sent (0 where it has none) plus 40, more than its
/// share of a job's JSON (`"name",` and `"1763787600":[[1234,1000000000]],`).
fn piece_cost_bytes(name_bytes: usize) -> usize {
    name_bytes + 40
}

/// The cut of a keyed request into pieces: says of each next event to which piece it belongs. The cut is greedy, in order, and
/// a pure function of the lengths of the events' names, so a retry is cut in the same way.
#[derive(Debug, Default)]
pub struct Piece {
    number: u32,
    bytes: usize,
}

impl Piece {
    /// The number of the next event's piece, from 0; `name_bytes` is the length of its name. An event larger than a piece is a piece of
    /// its own.
    pub fn of_next(&mut self, name_bytes: usize) -> u32 {
        let cost = piece_cost_bytes(name_bytes);
        if self.bytes > 0 && self.bytes + cost > PIECE_BYTES_MAX {
            self.number += 1;
            self.bytes = 0;
        }
        self.bytes += cost;
        self.number
    }
}

/// The identity of a batch, 128 bits: a batch is counted once per region for as long as the ledger remembers its id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId([u8; 16]);

impl BatchId {
    /// The id of piece `number` of the request that `token` (empty without one) sent under `key`:
    /// XXH3-128 over the three, each behind its length as a little-endian u32.
    #[must_use]
    pub fn of_piece(token: &[u8], key: &[u8], number: u32) -> Self {
        let mut text = Vec::with_capacity(token.len() + key.len() + 16);
        for part in [token, key, &number.to_le_bytes()] {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            text.extend_from_slice(&length.to_le_bytes());
            text.extend_from_slice(part);
        }
        Self(XxHash3_128::oneshot(&text).to_be_bytes())
    }

    /// The id with these bytes, as the ledger stores them.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id, in the order of a UUID's text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<Uuid> for BatchId {
    fn from(id: Uuid) -> Self {
        Self(id.into_bytes())
    }
}

/// Reads an id from a UUID's text, with or without hyphens.
impl FromStr for BatchId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self::from)
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Sums per name and minute under one id, which are counted together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The id by which the ledger recognises a repetition.
    pub id: BatchId,
    /// The producer's clock just before it put the batch into the queue.
    pub accepted: Timestamp,
    /// Counts from 1 to [`crate::COUNT_MAX`]; a name and minute may come more than once.
    pub counts: Vec<(EventId, Minute, u64)>,
    /// The sender of the batch, and a hash of what it said; `None` without a key, and where the producer does not say.
    pub origin: Option<Origin>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_piece_is_full_to_the_last_byte() {
        // Names of 20 bytes cost 60.
        let mut piece = Piece::default();
        let numbers: Vec<u32> = (0..2_001).map(|_| piece.of_next(20)).collect();
        let pieces = [vec![0; 1_000], vec![1; 1_000], vec![2]].concat();
        assert_eq!(numbers, pieces);
    }

    #[test]
    fn ids_are_shown_as_they_are_written() {
        let id = BatchId::from_bytes([7; 16]);
        assert_eq!(format!("{id:?}"), "07070707-0707-0707-0707-070707070707");
    }

    #[test]
    fn piece_ids_are_frozen() {
        // Computed with the xxhash package for Python.
        let expected = [
            "5faa299c-d7d2-57c9-8b79-f27a16c34550",
            "7866c863-ad8f-02b9-0f85-96614af2a4c6",
        ];
        assert_eq!(BatchId::of_piece(b"", b"order-1", 0).to_string(), expected[0]);
        assert_eq!(
            BatchId::of_piece(b"token", b"order-1", 1).to_string(),
            expected[1]
        );
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(
            BatchId::of_piece(b"ab", b"c", 0),
            BatchId::of_piece(b"a", b"bc", 0)
        );
        assert_ne!(BatchId::of_piece(b"", b"a", 0), BatchId::of_piece(b"", b"a", 1));
    }

    #[test]
    fn text_and_bytes_agree() {
        let id = BatchId::of_piece(b"", b"x", 7);
        assert_eq!(id.to_string().parse::<BatchId>().unwrap(), id);
        assert_eq!(BatchId::from_bytes(*id.as_bytes()), id);
    }

    proptest! {
        #[test]
        fn pieces_are_bounded_and_in_order(lengths in prop::collection::vec(0usize..70_000, 0..200)) {
            let mut piece = Piece::default();
            let mut sizes = std::collections::BTreeMap::<u32, Vec<usize>>::new();
            for &n in &lengths {
                sizes.entry(piece.of_next(n)).or_default().push(piece_cost_bytes(n));
            }
            for (at, (number, costs)) in sizes.iter().enumerate() {
                prop_assert_eq!(at, usize::try_from(*number).unwrap());
                prop_assert!(costs.len() == 1 || costs.iter().sum::<usize>() <= PIECE_BYTES_MAX);
            }
        }
    }
}
