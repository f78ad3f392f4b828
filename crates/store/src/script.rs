//! Scripts: the statements of one transaction, gathered on their way to the server.

use std::fmt::{self, Display, Write};

use model::{EventId, Minute, Shard};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

/// The length at which statements are sent; the server's `max_allowed_packet` is 16 MiB or more.
const STATEMENT_BYTES_MAX: usize = 1_000_000;

/// Statements on their way to the server, sent together up to [`STATEMENT_BYTES_MAX`]. The server stops at the first that fails, so the
/// `COMMIT` at the end is only reached if all before it went well.
pub(crate) struct Script<'a> {
    conn: &'a mut Conn,
    text: Vec<u8>,
}

impl<'a> Script<'a> {
    pub(crate) fn new(conn: &'a mut Conn) -> Self {
        let text = Vec::new();
        Self { conn, text }
    }

    /// Adds rows to `table`, and to the `sum` column of those that exist. A sum saturates: one that overflowed
    /// would be an error at the centre and stop its replication.
    pub(crate) async fn upsert(
        &mut self,
        table: &str,
        sum: &str,
        values: impl Iterator<Item = impl Display>,
    ) -> Result<(), mysql_async::Error> {
        let mut values = values.peekable();
        while values.peek().is_some() {
            let mut statement = format!("INSERT INTO {table} VALUES ");
            let mut comma = "";
            while let Some(row) = values.next_if(|_| statement.len() < STATEMENT_BYTES_MAX) {
                write(&mut statement, format_args!("{comma}{row}"));
                comma = ",";
            }
            write(
                &mut statement,
                format_args!(
                    " ON DUPLICATE KEY UPDATE {sum} = {sum} + LEAST(VALUES({sum}), 18446744073709551615 - {sum})"
                ),
            );
            self.push(statement).await?;
        }
        Ok(())
    }

    /// Adds counts of one shard to its rows of `EventMinute`.
    pub(crate) async fn upsert_minutes(
        &mut self,
        shard: Shard,
        rows: &[(EventId, Minute, u64)],
    ) -> Result<(), mysql_async::Error> {
        let table = format!("{shard}.EventMinute (eventId, createDate, count)");
        let values = rows.iter().map(|(id, minute, count)| {
            fmt::from_fn(move |f| write!(f, "({id},{},{count})", minute.digits()))
        });
        self.upsert(&table, "count", values).await
    }

    /// Adds a statement, and sends what there is if it is long enough.
    pub(crate) async fn push(&mut self, statement: impl AsRef<[u8]>) -> Result<(), mysql_async::Error> {
        self.text.extend_from_slice(statement.as_ref());
        self.text.push(b';');
        if self.text.len() >= STATEMENT_BYTES_MAX {
            self.conn.query_drop(std::mem::take(&mut self.text)).await?;
        }
        Ok(())
    }

    /// Sends the rest, and commits in the same round trip.
    pub(crate) async fn finish(mut self) -> Result<(), mysql_async::Error> {
        self.text.extend_from_slice(b"COMMIT");
        self.conn.query_drop(self.text).await
    }
}

/// Appends to a statement.
pub(crate) fn write(statement: &mut String, text: fmt::Arguments<'_>) {
    statement
        .write_fmt(text)
        .expect("writing into a String cannot fail");
}
