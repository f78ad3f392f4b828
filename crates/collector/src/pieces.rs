//! The cut of a keyed request into the batches that the ledger remembers.

use hashbrown::HashMap;
use model::{BatchId, Client, ContentHash, EventName, Minute, Origin, Piece};
use queue::{Keyed, KeyedBatch, NameTable};

use crate::events::ParsedEvent;

/// A keyed request that is being cut into its batches. The cut depends on the body alone, so a retry has the same ids in the same
/// places. Events that were refused are part of a piece's content: a client that corrects them and sends the request again under the
/// same key is to learn that they do not count.
pub(crate) struct Pieces<'a> {
    client: &'a Client,
    secret: &'a [u8],
    key: &'a [u8],
    cut: Piece,
    /// The number of the piece that grows; `None` before the first event.
    number: Option<u32>,
    /// The content hash of the piece that grows.
    content: ContentHash,
    /// The sums of the piece that grows, by a name's number: of at most 10,000 events of at most 10⁹ each, so none overflows.
    sums: HashMap<(u32, Minute), u64>,
    keyed: Keyed,
}

impl<'a> Pieces<'a> {
    /// A request without events yet. `secret` is that of the client's token, empty without one.
    pub(crate) fn new(client: &'a Client, secret: &'a [u8], key: &'a [u8]) -> Self {
        Self {
            client,
            secret,
            key,
            cut: Piece::default(),
            number: None,
            content: ContentHash::default(),
            sums: HashMap::new(),
            keyed: Keyed::default(),
        }
    }

    /// Adds the request's next event, under the name whose number `number` gives. The cut depends on the name that was sent alone.
    pub(crate) fn add(
        &mut self,
        parsed: &ParsedEvent<'_>,
        number: impl FnOnce(&mut NameTable, &EventName<'_>) -> u32,
    ) {
        // Refused events are cut, too: if they were left out, correcting one would move the later events into other pieces, under
        // other ids, and they would count twice.
        let piece = self.cut.of_next(parsed.name_bytes);
        if self.number != Some(piece) {
            self.end_piece();
            self.number = Some(piece);
        }
        self.content = self.content.and(parsed.content);
        if let Ok(event) = &parsed.event {
            let name = number(&mut self.keyed.names, &event.name);
            *self.sums.entry((name, event.minute)).or_insert(0) += event.count;
        }
    }

    /// The batches of the pieces that count something.
    pub(crate) fn into_keyed(mut self) -> Keyed {
        self.end_piece();
        self.keyed
    }

    /// Makes a batch of the piece that has grown. A piece without a valid event gives none, but keeps its number.
    fn end_piece(&mut self) {
        let content = std::mem::take(&mut self.content);
        let Some(number) = self.number.filter(|_| !self.sums.is_empty()) else {
            return;
        };
        let sums = self.sums.drain();
        self.keyed.batches.push(KeyedBatch {
            id: BatchId::of_piece(self.secret, self.key, number),
            origin: Origin {
                client: self.client.clone(),
                content,
            },
            counts: sums
                .map(|((name, minute), count)| (name, minute, count))
                .collect(),
        });
    }
}
