//! Idempotency keys that clients used again for another body.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::{HashMap, HashSet};
use model::{Batch, BatchId, Client, ContentHash};

/// Most clients that a worker names since its start; all others share one name, which no client has.
const CLIENTS_NAMED_MAX: usize = 100;
const OTHERS: &str = "(others)";

/// Batches of one client whose id was counted already with another content: they were acknowledged and not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reused {
    /// Number of batches.
    pub batches: u64,
    /// Sum of their counts; saturates.
    pub count: u64,
}

/// The clients that have used a key again so far. Their number is bounded, whoever sends.
#[derive(Debug, Default)]
pub(super) struct NamedClients(BTreeSet<Client>);

impl NamedClients {
    /// The name that a client is told by.
    fn of(&mut self, client: &Client) -> String {
        if self.0.len() < CLIENTS_NAMED_MAX && !self.0.contains(client) {
            self.0.insert(client.clone());
        }
        let is_named = self.0.contains(client);
        if is_named {
            client.to_string()
        } else {
            OTHERS.to_owned()
        }
    }

    /// The batches that were not counted although their content differs from what was counted under their id, by client. The first batch of
    /// each id in `counted` was counted now; for all others the ledger `holds` the content. Where either content is not known, nothing is
    /// said.
    pub(super) fn reused(
        &mut self,
        batches: &[Batch],
        counted: &HashSet<BatchId>,
        holds: &HashMap<BatchId, Option<ContentHash>>,
    ) -> BTreeMap<String, Reused> {
        let mut first: HashMap<BatchId, Option<ContentHash>> = HashMap::new();
        let mut reused: BTreeMap<String, Reused> = BTreeMap::new();
        for batch in batches {
            let content = batch.origin.as_ref().map(|origin| origin.content);
            let was_counted = if counted.contains(&batch.id) {
                *first.entry(batch.id).or_insert(content)
            } else {
                holds.get(&batch.id).copied().flatten()
            };
            let (Some(origin), Some(was_counted)) = (&batch.origin, was_counted) else {
                continue;
            };
            if origin.content != was_counted {
                let of_client = reused.entry(self.of(&origin.client)).or_default();
                of_client.batches += 1;
                let counts = batch.counts.iter().map(|count| count.2);
                of_client.count = counts.fold(of_client.count, u64::saturating_add);
            }
        }
        reused
    }
}

/// The statement that tells the centre. Sums saturate, as all that is replicated.
pub(super) fn statement(region: &str, seen_at: &str, reused: &BTreeMap<String, Reused>) -> String {
    let rows: Vec<String> = reused
        .iter()
        .map(|(client, Reused { batches, count })| {
            format!("('{region}','{client}',{batches},{count},{seen_at})")
        })
        .collect();
    format!(
        "INSERT INTO bigdata_0.KeyReuse (region, client, batches, count, seenAt) VALUES {} ON DUPLICATE KEY UPDATE \
         batches = batches + LEAST(VALUES(batches), 18446744073709551615 - batches), \
         count = count + LEAST(VALUES(count), 18446744073709551615 - count), seenAt = GREATEST(seenAt, VALUES(seenAt))",
        rows.join(",")
    )
}

#[cfg(test)]
mod tests {
    use model::{EventId, Minute, Origin, Timestamp};

    use super::*;

    fn batch(id: u8, client: &str, content: Option<u64>) -> Batch {
        let origin = |content| Origin {
            client: Client::of(client),
            content: ContentHash(content),
        };
        Batch {
            id: BatchId::from_bytes([id; 16]),
            accepted: Timestamp::from_unix_ms(0),
            counts: vec![(EventId(1), Minute::FIRST, 5), (EventId(2), Minute::FIRST, 2)],
            origin: content.map(origin),
        }
    }

    #[test]
    fn only_what_says_something_else_is_told() {
        let id = |id| BatchId::from_bytes([id; 16]);
        let counted = HashSet::from([id(1), id(2)]);
        let holds = HashMap::from([(id(3), Some(ContentHash(30))), (id(4), None)]);
        let batches = [
            batch(1, "shop", Some(10)),
            batch(1, "shop", Some(10)),
            batch(1, "app", Some(11)),
            batch(2, "shop", None),
            batch(2, "shop", Some(20)),
            batch(3, "shop", Some(30)),
            batch(3, "shop", Some(31)),
            batch(3, "shop", Some(32)),
            batch(3, "shop", None),
            batch(4, "shop", Some(40)),
        ];
        let reused = NamedClients::default().reused(&batches, &counted, &holds);
        let expected = [("app", 1, 7), ("shop", 2, 14)];
        let expected =
            expected.map(|(client, batches, count)| (client.to_owned(), Reused { batches, count }));
        assert_eq!(reused, BTreeMap::from(expected));
    }

    #[test]
    fn a_crowd_of_clients_is_named_as_one() {
        let mut named = NamedClients::default();
        let holds = HashMap::from([(BatchId::from_bytes([1; 16]), Some(ContentHash(0)))]);
        let clients = (0..CLIENTS_NAMED_MAX + 20).map(|number| format!("10.0.0.{number}"));
        let batches: Vec<Batch> = clients.map(|client| batch(1, &client, Some(1))).collect();
        let mut told = named.reused(&batches, &HashSet::new(), &holds);
        assert_eq!(told.len(), CLIENTS_NAMED_MAX + 1);
        assert_eq!(told.remove(OTHERS).map(|others| others.batches), Some(20));
        let again = named.reused(&batches[..1], &HashSet::new(), &holds);
        assert_eq!(again.keys().collect::<Vec<_>>(), ["10.0.0.0"]);
    }
}
