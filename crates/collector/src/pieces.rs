//! The batches of a keyed request.

use hashbrown::HashMap;
use model::{BatchId, Client, ContentHash, Minute, Origin, Piece};
use queue::{Keyed, KeyedBatch};

use crate::events::Item;

/// Cuts a keyed request into its batches. The cut depends on the body alone, so a retry has the same ids in the same places.
/// Events that were refused are a part of what a piece said: who sends them again, put right, under the same key, is to learn
/// that they do not count.
pub(crate) struct Pieces<'a> {
    client: &'a Client,
    secret: &'a [u8],
    key: &'a [u8],
    cut: Piece,
    /// With the number of the one that grows.
    number: Option<u32>,
    content: ContentHash,
    /// Of at most 10,000 events of at most 10⁹ each, so none overflows.
    sums: HashMap<(u32, Minute), u64>,
    keyed: Keyed,
}

impl<'a> Pieces<'a> {
    /// `secret` is that of the client's token, empty without one.
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

    pub(crate) fn add(&mut self, item: &Item<'_>) {
        let number = self.cut.of_next(item.name_bytes);
        if self.number != Some(number) {
            self.end_piece();
            self.number = Some(number);
        }
        self.content = self.content.and(item.content);
        if let Ok(event) = &item.event {
            let name = self.keyed.names.number(&event.name);
            *self.sums.entry((name, event.minute)).or_insert(0) += event.count;
        }
    }

    /// Those that count something.
    pub(crate) fn into_keyed(mut self) -> Keyed {
        self.end_piece();
        self.keyed
    }

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
