//! Names: searches in `EventTags`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use model::{EventId, EventName, Glob};
use mysql_async::{Conn, QueryResult, TextProtocol};

use crate::rows::for_each_row;

/// Most rows of names that one pattern may reach by its literal beginning: about a second of reading.
pub const NAMES_SCANNED_MAX: usize = 1_000_000;

/// Fewest bytes of a literal beginning with which a pattern is expected to reach few names; one with a shorter beginning waits for a turn.
pub(super) const NARROW_PREFIX_BYTES_MIN: usize = 3;

/// A name that was counted at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name itself.
    pub name: String,
    /// The id that its counts are kept under.
    pub id: EventId,
    /// Number of events that were counted; may lag behind the counts.
    pub popularity: u64,
}

/// The names that a search matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matched {
    /// All of them.
    Names(Vec<Name>),
    /// More names than the caller's limit, or a pattern that reaches more than [`NAMES_SCANNED_MAX`] names.
    TooMany,
}

type Row = (u64, String, u64);

fn name((id, name, popularity): Row) -> Name {
    Name {
        name,
        id: EventId(id),
        popularity,
    }
}

/// Whether [`matching`] may have to read most names.
pub(super) fn is_broad(pattern: &Glob) -> bool {
    pattern.literal().is_none()
        && !pattern.matches_nothing()
        && pattern.prefix().len() < NARROW_PREFIX_BYTES_MIN
}

/// Whether [`search`] may have to read most names: also for a part of a name, which no index finds.
pub(super) fn is_broad_search(query: Option<&Glob>) -> bool {
    query.is_none_or(|pattern| pattern.literal().is_some() || is_broad(pattern))
}

/// The names that any of `patterns` matches, by name; `known` are those of them that were found by their whole name.
pub(super) async fn matching(
    conn: &mut Conn,
    patterns: &[Glob],
    known: Vec<Name>,
    limit: usize,
) -> Result<Matched, mysql_async::Error> {
    let mut found: BTreeMap<String, Name> = known.into_iter().map(|name| (name.name.clone(), name)).collect();
    for pattern in patterns.iter().filter(|pattern| pattern.literal().is_none()) {
        // One more than the limit tells that there are too many, and bounds what is held.
        let keep = |row: Row| {
            if found.len() <= limit {
                found.insert(row.1.clone(), name(row));
            }
        };
        if !scan(conn, pattern, keep).await? {
            return Ok(Matched::TooMany);
        }
    }
    Ok(if found.len() > limit {
        Matched::TooMany
    } else {
        Matched::Names(found.into_values().collect())
    })
}

/// The `limit` most popular names, equally popular ones by name.
pub(super) async fn search(
    conn: &mut Conn,
    query: Option<&Glob>,
    limit: usize,
) -> Result<Matched, mysql_async::Error> {
    let Some(pattern) = query.filter(|pattern| pattern.literal().is_none()) else {
        return most_popular(conn, query.and_then(Glob::literal).unwrap_or_default(), limit).await;
    };
    let mut best = BTreeSet::new();
    let keep = |(id, name, popularity): Row| {
        best.insert((Reverse(popularity), name, id));
        if best.len() > limit {
            best.pop_last();
        }
    };
    if !scan(conn, pattern, keep).await? {
        return Ok(Matched::TooMany);
    }
    let names = best
        .into_iter()
        .map(|(Reverse(popularity), text, id)| name((id, text, popularity)));
    Ok(Matched::Names(names.collect()))
}

/// The begin of a snapshot.
pub(super) const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// The question for `names`, if there are any.
pub(super) fn question(names: &[EventName<'_>]) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let ids: Vec<String> = names.iter().map(|name| name.id().to_string()).collect();
    // No character of a name needs to be escaped.
    let texts: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    Some(format!(
        "SELECT eventId, tagName, popularity FROM bigdata_0.EventTags \
         WHERE eventId IN ({}) AND tagName IN ({})",
        ids.join(","),
        texts.join(",")
    ))
}

/// Reads the answer to [`question`]: the names that were counted, in no order.
pub(super) async fn collect(
    answers: &mut QueryResult<'_, '_, TextProtocol>,
) -> Result<Vec<Name>, mysql_async::Error> {
    let rows: Vec<Row> = answers.collect().await?;
    Ok(rows.into_iter().map(name).collect())
}

/// Hands every name that `pattern` matches to `each`; false where it reached too many names and stopped.
async fn scan(
    conn: &mut Conn,
    pattern: &Glob,
    mut each: impl FnMut(Row) + Send,
) -> Result<bool, mysql_async::Error> {
    const SQL: &str =
        "SELECT eventId, tagName, popularity FROM bigdata_0.EventTags WHERE tagName LIKE ? LIMIT ?";
    if pattern.matches_nothing() {
        return Ok(true);
    }
    let mut matcher = pattern.matcher();
    let like = format!("{}%", escaped_for_like(&pattern.prefix()));
    let mut seen = 0;
    for_each_row(conn, SQL, (like, NAMES_SCANNED_MAX + 1), |row: Row| {
        seen += 1;
        if matcher.matches(&row.1) {
            each(row);
        }
    })
    .await?;
    Ok(seen <= NAMES_SCANNED_MAX)
}

/// At most `limit` of the names that begin with `prefix`, in no order.
pub(super) async fn beginning(
    conn: &mut Conn,
    prefix: &str,
    limit: usize,
) -> Result<Vec<Name>, mysql_async::Error> {
    const SQL: &str =
        "SELECT eventId, tagName, popularity FROM bigdata_0.EventTags WHERE tagName LIKE ? LIMIT ?";
    let like = format!("{}%", escaped_for_like(prefix));
    let mut names = Vec::new();
    for_each_row(conn, SQL, (like, limit), |row| names.push(name(row))).await?;
    Ok(names)
}

/// Hands over each name whose id is one of `ids`, with its popularity, in no order.
pub(super) async fn with_ids(
    conn: &mut Conn,
    ids: &RangeInclusive<EventId>,
    mut each: impl FnMut(&str, u64) + Send,
) -> Result<(), mysql_async::Error> {
    const SQL: &str = "SELECT tagName, popularity FROM bigdata_0.EventTags WHERE eventId BETWEEN ? AND ?";
    let ids = (ids.start().0, ids.end().0);
    for_each_row(conn, SQL, ids, |(name, popularity): (String, u64)| {
        each(&name, popularity)
    })
    .await
}

/// The `limit` most popular names that contain `part`.
async fn most_popular(conn: &mut Conn, part: &str, limit: usize) -> Result<Matched, mysql_async::Error> {
    const SQL: &str = "SELECT eventId, tagName, popularity FROM bigdata_0.EventTags WHERE tagName LIKE ? \
                       ORDER BY popularity DESC, tagName LIMIT ?";
    let like = format!("%{}%", escaped_for_like(part));
    let mut names = Vec::new();
    for_each_row(conn, SQL, (like, limit), |row| names.push(name(row))).await?;
    Ok(Matched::Names(names))
}

/// The text as a literal of LIKE: `_` and `%` are characters of names, and its wildcards.
fn escaped_for_like(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if matches!(c, '_' | '%' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_without_a_beginning_are_broad() {
        for (pattern, broad, broad_search) in [
            ("shop.*", false, false),
            ("{shop,show}.*", false, false),
            ("{shop,web}.*", true, true),
            ("**.sold", true, true),
            ("sh*", true, true),
            ("{shop,shop}.*", false, false),
            ("{,}", false, false),
            ("a", false, true),
        ] {
            let pattern = Glob::new(pattern).unwrap();
            assert_eq!(is_broad(&pattern), broad, "{pattern:?}");
            assert_eq!(is_broad_search(Some(&pattern)), broad_search, "{pattern:?}");
        }
        assert!(is_broad_search(None));
    }

    #[test]
    fn wildcards_of_like_are_taken_literally() {
        assert_eq!(escaped_for_like(r"cache_hit.50%\"), r"cache\_hit.50\%\\");
        assert_eq!(escaped_for_like("shop.item"), "shop.item");
    }
}
