//! `GET /v1/names`: the most popular names that a pattern finds.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use gate::View;
use model::{EventId, Glob};
use schemars::JsonSchema;
use serde::Serialize;
use store::central::{Matched, Name};

use super::error::Error;
use crate::admission::Asker;
use crate::centres::{self, Attempt};
use crate::limits::NAMES_MAX;
use crate::parameters::Parameters;
use crate::refusal::Refusal;
use crate::state::Api;
use name_index::{Index, TooBroad};

/// Names up to which the database is asked instead of the index: it knows every name as soon as it is counted, and finds so few within
/// milliseconds.
const NAMES_DIRECT_MAX: usize = 5_000;

/// Names that the database is asked for beside the index: a few milliseconds.
const FRESH_ROWS_MAX: usize = 2_000;

/// Bytes of a pattern's literal beginning below which it may be that of most names.
pub(super) const FRESH_PREFIX_BYTES_MIN: usize = 3;

/// Bytes of a name in the key of `EventTags`: the database's index tells names apart only so far.
const KEY_BYTES: usize = 25;

const LIMIT_DEFAULT: usize = 50;

const PARAMETERS: &[&str] = &["query", "limit"];

/// The names that were found, the most popular first.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Names")]
pub(crate) struct Listing {
    names: Vec<Listed>,
}

/// A name as an answer has it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Name")]
struct Listed {
    name: String,
    /// The head of the name's MD5; a string, as it has 64 bits.
    #[schemars(regex(pattern = "^[0-9]+$"))]
    event_id: String,
    popularity: u64,
}

impl From<Name> for Listed {
    fn from(Name { name, id, popularity }: Name) -> Self {
        Self {
            name,
            event_id: id.to_string(),
            popularity,
        }
    }
}

pub(crate) async fn get(State(api): State<Api>, asker: Asker, uri: Uri) -> Result<Json<Listing>, Refusal> {
    let (pattern, limit) = parse(uri.query())?;
    let pattern = within(pattern, &asker.view())?;
    let names = match api.names.index().filter(|index| index.len() > NAMES_DIRECT_MAX) {
        Some(index) => search(&api, &index, pattern, limit).await?,
        None => {
            let pattern = pattern.as_ref();
            let search = async |attempt: Attempt| {
                Ok::<_, centres::Error>(attempt.central().names(pattern, limit).await?)
            };
            match api.centres.ask(search).await? {
                Matched::Names(names) => names,
                Matched::TooMany => return Err(Error::PatternTooBroad.into()),
            }
        }
    };
    Ok(Json(Listing {
        names: names.into_iter().map(Listed::from).collect(),
    }))
}

/// What of a search is in the view. A text without a wildcard may stand anywhere in a name, and no text finds every name.
///
/// # Errors
/// `Pattern` for a text that is too long with what stands for that.
fn within(pattern: Option<Glob>, view: &View) -> Result<Option<Glob>, Error> {
    if view.is_all() {
        return Ok(pattern);
    }
    let pattern = match &pattern {
        None => Glob::for_search("*")?,
        Some(pattern) => match pattern.literal() {
            Some(part) => Glob::for_search(&format!("*{part}*"))?,
            None => pattern.clone(),
        },
    };
    Ok(Some(view.all_within(pattern)))
}

/// Searches the index. Where that has fewer than `limit` names, it also asks the database for names that were counted since the index
/// was made, if that finds them quickly.
///
/// # Errors
/// `PatternTooBroad` for a pattern that costs too much, `TookTooLong` where no turn comes, `Centre` where no centre answers.
async fn search(
    api: &Api,
    index: &Arc<Index>,
    pattern: Option<Glob>,
    limit: usize,
) -> Result<Vec<Name>, Refusal> {
    let (all, asked) = (Arc::clone(index), pattern.clone());
    let find = move || all.search(asked.as_ref(), limit).map(entries);
    let names = api
        .searches
        .run(find)
        .await?
        .map_err(|TooBroad| Error::PatternTooBroad)?;
    let fresh = match pattern {
        Some(pattern) if names.len() < limit => just_counted(api, index, &pattern).await?,
        _ => Vec::new(),
    };
    Ok(merged(names, fresh, limit))
}

fn entries(found: Vec<(&str, u64)>) -> Vec<Name> {
    let entry = |(name, popularity): (&str, u64)| Name {
        name: name.to_owned(),
        id: EventId::of(name),
        popularity,
    };
    found.into_iter().map(entry).collect()
}

/// The names that the database finds by the whole name, and by the pattern's literal beginning where few names have it.
async fn just_counted(api: &Api, index: &Index, pattern: &Glob) -> Result<Vec<Name>, Refusal> {
    let mut whole = match pattern.literal() {
        Some(literal) => of_whole_name(api, literal).await?,
        None => Vec::new(),
    };
    let prefix = pattern.prefix();
    // How many names begin alike is counted as the database's index sees them, and in memory, which costs nothing.
    let head = &prefix[..prefix.len().min(KEY_BYTES)];
    if head.len() < FRESH_PREFIX_BYTES_MIN || index.beginning(&index.names(), head).len() > FRESH_ROWS_MAX {
        return Ok(whole);
    }
    let read = async |attempt: Attempt| {
        Ok::<_, centres::Error>(
            attempt
                .central()
                .names_beginning(&prefix, 2 * FRESH_ROWS_MAX)
                .await?,
        )
    };
    let mut names = api.centres.ask(read).await?;
    if pattern.literal().is_none() {
        let mut matcher = pattern.matcher();
        names.retain(|name| matcher.matches(&name.name));
    }
    whole.extend(names);
    Ok(whole)
}

/// The one name that is `literal`, found by its id, however many names begin alike; none where it was never counted.
async fn of_whole_name(api: &Api, literal: &str) -> Result<Vec<Name>, centres::Error> {
    let id = EventId::of(literal);
    let read = async |attempt: Attempt| {
        let each = |found: &mut Vec<Name>, name: &str, popularity| {
            if name == literal {
                let name = name.to_owned();
                found.push(Name { name, id, popularity });
            }
        };
        Ok::<_, centres::Error>(attempt.central().names_with_ids(&(id..=id), each).await?)
    };
    api.centres.ask(read).await
}

/// The `limit` most popular of both, equally popular ones by name. Of a name in both, the popularity of `fresh` is newer.
fn merged(names: Vec<Name>, fresh: Vec<Name>, limit: usize) -> Vec<Name> {
    let mut all: HashMap<String, Name> = HashMap::new();
    for name in names.into_iter().chain(fresh) {
        all.insert(name.name.clone(), name);
    }
    let mut all: Vec<Name> = all.into_values().collect();
    all.sort_unstable_by(|a, b| b.popularity.cmp(&a.popularity).then_with(|| a.name.cmp(&b.name)));
    all.truncate(limit);
    all
}

/// The pattern, if there is one, and how many names to list.
fn parse(query: Option<&str>) -> Result<(Option<Glob>, usize), Refusal> {
    let parameters = Parameters::parse(query, PARAMETERS)?;
    let limit = match parameters.one("limit")? {
        None => LIMIT_DEFAULT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=NAMES_MAX).contains(limit))
            .ok_or(Error::Limit)?,
    };
    let pattern = parameters.one("query")?.filter(|text| !text.is_empty());
    Ok((
        pattern.map(Glob::for_search).transpose().map_err(Error::from)?,
        limit,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_query_the_most_popular() {
        assert_eq!(parse(None).unwrap(), (None, 50));
        assert_eq!(parse(Some("query=&limit=1000")).unwrap(), (None, 1_000));
    }

    #[test]
    fn what_was_just_counted_takes_its_place() {
        let name = |text: &str, popularity| Name {
            name: text.to_owned(),
            id: EventId::of(text),
            popularity,
        };
        let known = vec![name("a", 9), name("b", 5), name("c", 4)];
        let fresh = vec![name("d", 5), name("c", 6)];
        let expected = [name("a", 9), name("c", 6), name("b", 5)];
        assert_eq!(merged(known, fresh, 3), expected);
    }

    #[test]
    fn a_search_is_cut_to_what_may_be_read() {
        let view = View::of(vec!["shop.".to_owned()]);
        let found = |pattern: Option<&str>, name: &str| {
            let pattern = pattern.map(|text| Glob::for_search(text).unwrap());
            let cut = within(pattern, &view).unwrap().unwrap();
            cut.matcher().matches(name)
        };
        assert!(found(None, "shop.item.sold") && !found(None, "web.requests"));
        assert!(found(Some("item"), "shop.item.sold") && !found(Some("item"), "web.item"));
        assert!(found(Some("*sold"), "shop.item.sold") && !found(Some("*sold"), "shop.item"));
        let all = Glob::for_search("item").unwrap();
        assert_eq!(within(Some(all.clone()), &View::all()).unwrap(), Some(all));
        assert_eq!(within(None, &View::all()).unwrap(), None);
    }

    #[test]
    fn limits_are_from_1_to_1000() {
        for limit in ["0", "1001", "-1", "ten", ""] {
            assert!(
                matches!(
                    parse(Some(&format!("limit={limit}"))),
                    Err(Refusal::Names(Error::Limit))
                ),
                "{limit}"
            );
        }
    }
}
