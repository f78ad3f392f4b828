//! Packing's progress, as the keeper notes it at its centre.

use std::collections::BTreeMap;

use model::{Day, Timestamp};
use mysql_async::prelude::Queryable;

use crate::Error;
use crate::upkeep::Centre;

impl Centre {
    /// The progress of packing by day: everything that had come for the day by then is packed.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn packed_until(&mut self) -> Result<BTreeMap<Day, Timestamp>, Error> {
        const SQL: &str = "SELECT UNIX_TIMESTAMP(day), CAST(UNIX_TIMESTAMP(packedUntil) * 1000 AS SIGNED) \
                           FROM eventtracker.PackedUntil";
        let rows: Vec<(i64, i64)> = self
            .link
            .brief("read how far packing is", async |conn| conn.query(SQL).await)
            .await?;
        let notes = rows.into_iter();
        Ok(notes
            .map(|(unix_s, until_ms)| (Day::containing(unix_s), Timestamp::from_unix_ms(until_ms)))
            .collect())
    }

    /// Replaces the notes `before`, as they were read, by `after`, in one transaction. Only what differs is written.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn note_packed_until(
        &mut self,
        before: &BTreeMap<Day, Timestamp>,
        after: &BTreeMap<Day, Timestamp>,
    ) -> Result<(), Error> {
        let gone = before.keys().filter(|day| !after.contains_key(day));
        let gone: Vec<String> = gone.map(|day| format!("'{day}'")).collect();
        let changed = after.iter().filter(|(day, until)| before.get(day) != Some(until));
        let changed: Vec<String> = changed
            .map(|(day, until)| format!("('{day}',FROM_UNIXTIME({} / 1000))", until.unix_ms()))
            .collect();
        let mut script = "START TRANSACTION; ".to_owned();
        if !gone.is_empty() {
            script += &format!(
                "DELETE FROM eventtracker.PackedUntil WHERE day IN ({}); ",
                gone.join(",")
            );
        }
        if !changed.is_empty() {
            script += &format!(
                "INSERT INTO eventtracker.PackedUntil (day, packedUntil) VALUES {} \
                 ON DUPLICATE KEY UPDATE packedUntil = VALUES(packedUntil); ",
                changed.join(",")
            );
        }
        script += "COMMIT";
        self.link
            .brief("note how far packing is", async |conn| {
                conn.query_drop(script).await
            })
            .await
    }
}
