//! EventTracker's own counts, by which it notices what clients do.

use model::OWN_NAMES;
use mysql_async::prelude::Queryable;

use super::Centre;
use crate::Error;

/// Most names that are read: more than a thousand tokens have.
const NAMES_MAX: u32 = 10_000;

impl Centre {
    /// The names of EventTracker's own counts, with their popularity, which grows by each event that is counted within a minute or so.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn own_counts(&mut self) -> Result<Vec<(String, u64)>, Error> {
        const SQL: &str =
            "SELECT tagName, popularity FROM bigdata_0.EventTags WHERE tagName LIKE CONCAT(?, '%') LIMIT ?";
        self.link
            .brief("read what clients did", async |conn| {
                conn.exec(SQL, (OWN_NAMES, NAMES_MAX)).await
            })
            .await
    }
}
