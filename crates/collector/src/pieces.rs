//! The batches of a keyed request.

use model::{BatchId, Client, ContentHash, Origin, Piece};

use crate::combiner::KeyedBatch;
use crate::events::Item;
use crate::sums::Sums;

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
    sums: Sums<'a>,
    batches: Vec<KeyedBatch<'a>>,
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
            sums: Sums::default(),
            batches: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, item: Item<'a>) {
        let number = self.cut.of_next(item.name_bytes);
        if self.number != Some(number) {
            self.end_piece();
            self.number = Some(number);
        }
        self.content = self.content.and(item.content);
        if let Ok(event) = item.event {
            self.sums.add(event);
        }
    }

    /// Those that count something.
    pub(crate) fn into_batches(mut self) -> Vec<KeyedBatch<'a>> {
        self.end_piece();
        self.batches
    }

    fn end_piece(&mut self) {
        let (content, sums) = (std::mem::take(&mut self.content), std::mem::take(&mut self.sums));
        let Some(number) = self.number.filter(|_| !sums.is_empty()) else {
            return;
        };
        self.batches.push(KeyedBatch {
            id: BatchId::of_piece(self.secret, self.key, number),
            origin: Origin {
                client: self.client.clone(),
                content,
            },
            counts: sums.into_counts(),
        });
    }
}
