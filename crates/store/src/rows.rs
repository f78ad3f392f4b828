//! Rows that are handed over one by one, however many there are.

#![expect(clippy::disallowed_methods, reason = "a turn is limited by time")]

use std::time::{Duration, Instant};

use mysql_async::prelude::{FromRow, Protocol, Queryable};
use mysql_async::{Conn, DriverError, FromRowError, Params, QueryResult};

/// Time for which rows are handed over before other tasks get their turn. Meanwhile nobody may see what else has come: the thread that learnt
/// of these rows is often the one that learns of all.
const TURN: Duration = Duration::from_micros(200);

/// Rows between two looks at the clock: a tenth of a millisecond of the costliest.
const ROWS_PER_LOOK: usize = 16;

/// Runs a prepared statement and hands over one row after the other.
pub(crate) async fn for_each_row<T: FromRow>(
    conn: &mut Conn,
    sql: &str,
    params: impl Into<Params> + Send,
    each: impl FnMut(T) + Send,
) -> Result<(), mysql_async::Error> {
    let mut answers = conn.exec_iter(sql, params).await?;
    for_each_of(&mut answers, each).await?;
    answers.drop_result().await
}

/// Hands over one row after the other of the next answer. Other tasks get their turn in between, however fast the rows come.
pub(crate) async fn for_each_of<T: FromRow, P: Protocol>(
    answers: &mut QueryResult<'_, '_, P>,
    mut each: impl FnMut(T) + Send,
) -> Result<(), mysql_async::Error> {
    let (mut until_look, mut turn) = (ROWS_PER_LOOK, Instant::now());
    while let Some(row) = answers.next().await? {
        each(mysql_async::from_row_opt(row).map_err(|FromRowError(row)| DriverError::FromRow { row })?);
        until_look -= 1;
        if until_look == 0 {
            until_look = ROWS_PER_LOOK;
            if turn.elapsed() >= TURN {
                tokio::task::yield_now().await;
                turn = Instant::now();
            }
        }
    }
    Ok(())
}
