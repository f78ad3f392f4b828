//! Annotations: marks on every graph, as a centre has them.

use model::{ANNOTATION_MS_MAX, Annotation, AnnotationId, Client, SPAN_MS_MAX, Timestamp};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Value};

/// A question for annotations: those that begin in `[from, until)`, or last into it.
#[derive(Debug, Clone)]
pub struct AnnotationQuery {
    /// The first instant.
    pub from: Timestamp,
    /// The end, which is not part of it.
    pub until: Timestamp,
    /// The tags that an annotation must have; none for all annotations.
    pub tags: Vec<String>,
    /// Whether one of the tags is enough; else all are needed.
    pub any_tag: bool,
    /// Most annotations to return, the last ones.
    pub limit: usize,
}

/// MariaDB's ER_DUP_ENTRY.
const DUPLICATE_KEY: u16 = 1062;

/// A row of `Annotation`: id, when and until in unix milliseconds, what, data, tags with blanks between.
type Row = (String, i64, Option<i64>, String, String, String);

/// The columns of a [`Row`].
const COLUMNS: &str = "CAST(id AS CHAR), CAST(UNIX_TIMESTAMP(happened) * 1000 AS SIGNED), \
                       CAST(UNIX_TIMESTAMP(ended) * 1000 AS SIGNED), what, data, tags";

/// Writes an annotation of a client, unless there is one with its id. Returns the annotation that is there now and the name of its client,
/// if it is known, and whether it is new.
pub(super) async fn write(
    conn: &mut Conn,
    annotation: &Annotation,
    client: Option<&Client>,
) -> Result<(Option<(Annotation, Option<String>)>, bool), mysql_async::Error> {
    const SQL: &str = "INSERT INTO eventtracker.Annotation (id, happened, ended, what, data, tags, client) \
                       VALUES (?, FROM_UNIXTIME(? / 1000), FROM_UNIXTIME(? / 1000), ?, ?, ?, ?)";
    let id = annotation.id.to_string();
    let written = conn.exec_drop(
        SQL,
        (
            &id,
            annotation.when.unix_ms(),
            annotation.until.map(Timestamp::unix_ms),
            &annotation.what,
            &annotation.data,
            annotation.tags.join(" "),
            client.map(Client::as_str),
        ),
    );
    let is_new = match written.await {
        Ok(()) => true,
        // Neither IGNORE, which hides every other error, too, nor an update, which the account may not.
        Err(mysql_async::Error::Server(error)) if error.code == DUPLICATE_KEY => false,
        Err(error) => return Err(error),
    };
    let sql = format!("SELECT {COLUMNS} FROM eventtracker.Annotation WHERE id = ?");
    let row: Option<Row> = conn.exec_first(sql, (&id,)).await?;
    let Some(row) = row else {
        return Ok((None, is_new));
    };
    let client = writer(conn, annotation.id).await?.flatten();
    Ok((Some((annotation_of(row)?, client)), is_new))
}

/// The name of the client that wrote an annotation, if it is known; `None` where there is no such annotation.
pub(super) async fn writer(
    conn: &mut Conn,
    id: AnnotationId,
) -> Result<Option<Option<String>>, mysql_async::Error> {
    const SQL: &str = "SELECT client FROM eventtracker.Annotation WHERE id = ?";
    conn.exec_first(SQL, (id.to_string(),)).await
}

/// Deletes an annotation. Returns whether there was one.
pub(super) async fn delete(conn: &mut Conn, id: AnnotationId) -> Result<bool, mysql_async::Error> {
    conn.exec_drop(
        "DELETE FROM eventtracker.Annotation WHERE id = ?",
        (id.to_string(),),
    )
    .await?;
    Ok(conn.affected_rows() > 0)
}

/// The annotations that are asked for, in the order of time; the last `limit` of them.
pub(super) async fn read(
    conn: &mut Conn,
    query: &AnnotationQuery,
) -> Result<Vec<Annotation>, mysql_async::Error> {
    // Beyond what a TIMESTAMP can hold, FROM_UNIXTIME() is NULL.
    let within = |at: Timestamp| at.unix_ms().clamp(0, ANNOTATION_MS_MAX);
    let (from_ms, until_ms) = (within(query.from), within(query.until));
    // An annotation that lasts into the range began `SPAN_MS_MAX` before it at most: so the index on `happened` bounds the search.
    let mut sql = format!(
        "SELECT {COLUMNS} FROM eventtracker.Annotation \
         WHERE happened >= FROM_UNIXTIME(? / 1000) AND happened < FROM_UNIXTIME(? / 1000) \
         AND (happened >= FROM_UNIXTIME(? / 1000) OR ended > FROM_UNIXTIME(? / 1000))"
    );
    let mut parameters: Vec<Value> = vec![
        from_ms.saturating_sub(SPAN_MS_MAX).max(0).into(),
        until_ms.into(),
        from_ms.into(),
        from_ms.into(),
    ];
    if !query.tags.is_empty() {
        // No tag has a blank.
        let each = vec!["LOCATE(CONCAT(' ', ?, ' '), CONCAT(' ', tags, ' ')) > 0"; query.tags.len()];
        let joined = each.join(if query.any_tag { " OR " } else { " AND " });
        sql += &format!(" AND ({joined})");
        parameters.extend(query.tags.iter().map(Value::from));
    }
    sql += " ORDER BY happened DESC, id DESC LIMIT ?";
    parameters.push(query.limit.into());
    let rows: Vec<Row> = conn.exec(sql, parameters).await?;
    rows.into_iter().rev().map(annotation_of).collect()
}

/// The annotation of a row.
///
/// # Errors
/// `FromValue` for an id that is none, which the column does not hold.
fn annotation_of((id, when_ms, until_ms, what, data, tags): Row) -> Result<Annotation, mysql_async::Error> {
    let parsed = id.parse();
    Ok(Annotation {
        id: parsed.map_err(|_| DriverError::FromValue { value: id.into() })?,
        when: Timestamp::from_unix_ms(when_ms),
        until: until_ms.map(Timestamp::from_unix_ms),
        what,
        data,
        tags: tags
            .split(' ')
            .filter(|tag| !tag.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}
