//! Reused idempotency keys: clients that sent another body under a key that was used before, as far as the centre knows.

use mysql_async::prelude::Queryable;

use super::Centre;
use crate::Error;

/// Most clients of a region that are listed, the latest first.
const CLIENTS_LISTED_MAX: usize = 5;

/// A client that has lately sent another body under a key that was used before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyReuse {
    /// The region that it sent them to.
    pub region: String,
    /// The name of its token, or its address.
    pub client: String,
    /// Number of pieces of requests that were acknowledged and not counted, ever.
    pub batches: u64,
    /// Sum of their counts; saturates.
    pub count: u64,
}

impl Centre {
    /// The clients that have reused a key within the last day, by region, the latest first. Most clients repeat a request for no longer.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn keys_reused(&mut self) -> Result<Vec<KeyReuse>, Error> {
        const SQL: &str = "SELECT region, client, batches, count FROM bigdata_0.KeyReuse \
                           WHERE seenAt > SYSDATE(3) - INTERVAL 1 DAY ORDER BY region, seenAt DESC, client";
        let rows: Vec<(String, String, u64, u64)> = self
            .link
            .brief("look for keys that were used again", async |conn| {
                conn.query(SQL).await
            })
            .await?;
        let mut reused: Vec<KeyReuse> = Vec::new();
        for (region, client, batches, count) in rows {
            if reused.iter().filter(|known| known.region == region).count() < CLIENTS_LISTED_MAX {
                reused.push(KeyReuse {
                    region,
                    client,
                    batches,
                    count,
                });
            }
        }
        Ok(reused)
    }
}
