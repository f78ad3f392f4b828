//! Alarms, as the keeper notes them.

use mysql_async::prelude::Queryable;

use super::Centre;
use crate::Error;

/// A trouble that an operator should look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    /// The region's name; empty for the centre itself.
    pub region: String,
    /// One word, the same for the same kind of trouble.
    pub kind: String,
    /// What is wrong, with the remedy; at most 1,000 characters are noted.
    pub sentence: String,
}

impl Centre {
    /// Notes `alarms` as those that stand at this centre, and forgets all others. One that stood already keeps the instant since when.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn note_alarms(&mut self, alarms: &[Alarm]) -> Result<(), Error> {
        const NOTE: &str = "INSERT INTO eventtracker.Alarm (region, kind, sentence, since) VALUES (?, ?, ?, SYSDATE(3)) \
                            ON DUPLICATE KEY UPDATE sentence = VALUES(sentence)";
        const FORGET: &str = "DELETE FROM eventtracker.Alarm WHERE region = ? AND kind = ?";
        let standing: Vec<(String, String)> = self
            .link
            .brief("read the alarms", async |conn| {
                conn.query("SELECT region, kind FROM eventtracker.Alarm").await
            })
            .await?;
        for (region, kind) in standing {
            if !alarms
                .iter()
                .any(|alarm| alarm.region == region && alarm.kind == kind)
            {
                self.link
                    .execute("forget an alarm", FORGET, (region, kind))
                    .await?;
            }
        }
        for Alarm {
            region,
            kind,
            sentence,
        } in alarms
        {
            let sentence: String = sentence.chars().take(1000).collect();
            self.link
                .execute("note an alarm", NOTE, (region, kind, sentence))
                .await?;
        }
        Ok(())
    }
}
