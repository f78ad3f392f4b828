//! The identity of an import, by which a journal is told to belong to it.

use std::path::Path;

use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

/// The properties in which two runs of the same import agree: under another key, token or region the same rows count again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    pub(super) file_bytes: u64,
    pub(super) format: String,
    pub(super) key_prefix: String,
    pub(super) collector: String,
    /// A mark by which tokens are told apart without being given away.
    pub(super) token_mark: String,
    /// XXH3-128 of a log's first line, by which a log that was rotated is told from one that has grown. Empty where that does not matter.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) beginning: String,
}

/// The mark of a file's first line: its XXH3-128 in hexadecimal.
pub(super) fn beginning(first_line: &[u8]) -> String {
    format!("{:032x}", XxHash3_128::oneshot(first_line))
}

impl Identity {
    /// Whether the file may be the same one at a later time: a log grows, but a file of rows is sent as a whole.
    fn may_have_grown_to(&self, now: &Self) -> bool {
        !now.beginning.is_empty() && self.file_bytes <= now.file_bytes
    }

    /// Checks that `now` is the same import as the one that the journal at `path` was begun for.
    ///
    /// # Errors
    /// A property that differs, with both values and the remedy.
    pub(super) fn expect_same(&self, now: &Self, path: &Path) -> anyhow::Result<()> {
        if self.file_bytes != now.file_bytes && !self.may_have_grown_to(now) {
            bail!(
                "the file has {} bytes, and had {} when {} was begun: import what is new as a file of its own, and put \
                 the file back as it was to go on with it",
                now.file_bytes,
                self.file_bytes,
                path.display()
            );
        }
        let fields = [
            (
                "format",
                &self.format,
                &now.format,
                "repeat the command with that one",
            ),
            (
                "key",
                &self.key_prefix,
                &now.key_prefix,
                "repeat the command with that --key, or name another --journal",
            ),
            (
                "collector",
                &self.collector,
                &now.collector,
                "go on with that one: in another region the rows before would be missing. If it is one of the same \
                 region, write its address into the journal",
            ),
            (
                "token's mark",
                &self.token_mark,
                &now.token_mark,
                "go on with the same token: under another one what was in flight counts again",
            ),
        ];
        for (what, before, now, remedy) in fields {
            ensure!(
                before == now,
                "{} belongs to another import, whose {what} is '{before}', not '{now}': {remedy}",
                path.display()
            );
        }
        Ok(())
    }
}
