//! Rows that are handed over one by one, however many there are.

use mysql_async::prelude::{FromRow, Protocol, Queryable};
use mysql_async::{Conn, DriverError, FromRowError, Params, QueryResult};

/// Rows handed over before other tasks get their turn: two milliseconds of matching the longest names with the costliest pattern.
const ROWS_PER_TURN: usize = 256;

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
    let mut until_turn = ROWS_PER_TURN;
    while let Some(row) = answers.next().await? {
        each(mysql_async::from_row_opt(row).map_err(|FromRowError(row)| DriverError::FromRow { row })?);
        until_turn -= 1;
        if until_turn == 0 {
            tokio::task::yield_now().await;
            until_turn = ROWS_PER_TURN;
        }
    }
    Ok(())
}
