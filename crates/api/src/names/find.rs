//! `/metrics/find`, `/metrics/expand` and `/metrics/index.json`: the tree of names and their list, as Graphite answers for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use gate::View;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::error::Error;
use super::search::FRESH_PREFIX_BYTES_MIN;
use crate::admission::Asker;
use crate::centres;
use crate::form::Form;
use crate::limits::{NODES_MAX, QUERIES_MAX};
use crate::refusal::Refusal;
use crate::room;
use crate::state::Api;
use name_index::tree::{self, Node, Path, TooMany};
use name_index::{Index, Unsorted};
use store::central::Name;

/// Names that are read for one request as long as there is no index: a tenth of a second and 10 MB.
const NAMES_BELOW_MAX: usize = 100_000;

/// An entry of Graphite's `treejson`, with how many names lie below it and their popularity.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    text: String,
    id: String,
    #[schemars(range(max = 1))]
    leaf: u8,
    #[schemars(range(max = 1))]
    expandable: u8,
    #[schemars(range(max = 1))]
    allow_children: u8,
    /// How many names lie below it.
    names: usize,
    /// That of all these names.
    popularity: u64,
}

/// Graphite's format `completer`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Completions {
    metrics: Vec<Completion>,
}

/// An entry of Graphite's format `completer`.
#[derive(Debug, Serialize, JsonSchema)]
struct Completion {
    path: String,
    name: String,
    #[schemars(extend("enum" = ["0", "1"]))]
    is_leaf: &'static str,
}

/// `/metrics/find`: the nodes that `query` matches; `format` is `treejson` or `completer`. Whatever else Graphite's clients send, such
/// as `from` and `until`, is ignored.
pub(crate) async fn find(State(api): State<Api>, asker: Asker, form: Form) -> Result<Response, Refusal> {
    let query = form
        .one("query")
        .filter(|query| !query.is_empty())
        .ok_or(Error::NoQuery)?;
    let query = &*query;
    match form.one("format").as_deref().unwrap_or("treejson") {
        "treejson" => {
            let mut nodes = nodes(&api, &asker.view(), &[query]).await?.remove(0);
            if is_set(&form, "leavesOnly") {
                nodes.retain(|node| node.is_leaf);
            }
            Ok(room::json(&api.points, &tree_json(query, &nodes))?)
        }
        "completer" => {
            let mut query = query.replace("..", "*.");
            if !query.ends_with('*') {
                query.push('*');
            }
            let nodes = nodes(&api, &asker.view(), &[&query]).await?.remove(0);
            let metrics = nodes.into_iter().map(completion).collect();
            Ok(room::json(&api.points, &Completions { metrics })?)
        }
        _ => Err(Error::Format.into()),
    }
}

/// `/metrics/expand`: the paths that the queries match, all together or, with `groupByExpr=1`, by query.
pub(crate) async fn expand(State(api): State<Api>, asker: Asker, form: Form) -> Result<Response, Refusal> {
    let mut distinct = BTreeSet::new();
    for query in form.all("query") {
        distinct.insert(query);
        if distinct.len() > QUERIES_MAX {
            return Err(Error::TooManyQueries.into());
        }
    }
    let queries: Vec<&str> = distinct.iter().map(|query| &**query).collect();
    if queries.is_empty() {
        return Err(Error::NoQuery.into());
    }
    let leaves_only = is_set(&form, "leavesOnly");
    let paths = |nodes: Vec<Node>| -> BTreeSet<String> {
        let wanted = nodes.into_iter().filter(|node| node.is_leaf || !leaves_only);
        wanted.map(|node| node.path).collect()
    };
    let found = nodes(&api, &asker.view(), &queries).await?.into_iter().map(paths);
    let results: Value = if is_set(&form, "groupByExpr") {
        json!(queries.iter().zip(found).collect::<BTreeMap<_, _>>())
    } else {
        json!(found.flatten().collect::<BTreeSet<_>>())
    };
    Ok(room::json(&api.points, &json!({ "results": results }))?)
}

/// `/metrics/index.json`: all names in their order, as the database has them now.
pub(crate) async fn index_json(State(api): State<Api>, asker: Asker) -> Result<Response, Refusal> {
    // The turn comes before the names are read: only so is it bounded how many of them all requests hold at once.
    let turn = api.searches.wait().await?;
    let names = names_beginning(&api, &asker.view().beginning("")).await?;
    if names.len() > NAMES_BELOW_MAX {
        return Err(Error::TooManyToList(NAMES_BELOW_MAX).into());
    }
    let sorted = turn.run(move || {
        let mut sorted: Vec<String> = names.into_iter().map(|name| name.name).collect();
        sorted.sort_unstable();
        sorted
    });
    Ok(room::json(&api.points, &sorted.await?)?)
}

/// Whether a switch is set: as in Graphite, to anything but 0.
fn is_set(form: &Form, key: &str) -> bool {
    form.one(key).is_some_and(|value| value != "0")
}

/// The nodes of names in the view that each query matches, in the order of the queries.
///
/// # Errors
/// `TooManyNodes` for more than [`NODES_MAX`] over all queries; `Pattern` for what is none; those of [`index_of`].
async fn nodes(api: &Api, view: &View, queries: &[&str]) -> Result<Vec<Vec<Node>>, Refusal> {
    let mut all = Vec::with_capacity(queries.len());
    let mut left = NODES_MAX;
    for query in queries {
        let path = Path::parse(query).map_err(Error::from)?;
        let beginnings = view.beginning(&path.prefix());
        let index = index_of(api, &beginnings).await?;
        let found = api
            .searches
            .run(move || tree::find(&index, &path, &beginnings, left))
            .await?
            .map_err(|TooMany| Error::TooManyNodes)?;
        left -= found.len();
        all.push(found);
    }
    Ok(all)
}

/// The index of all names; as long as there is none, or where it lacks some, one of the names that begin with any of `beginnings`, if they are
/// not too many.
///
/// # Errors
/// `NotInMemory` or `TooManyNames` where there is no index and too many names begin so; `TookTooLong` where a turn does not come;
/// `Centre` where no centre answers.
pub(super) async fn index_of(api: &Api, beginnings: &[String]) -> Result<Arc<Index>, Refusal> {
    let all = api.names.index();
    if let Some(index) = &all
        && (!api.names.are_full()
            || beginnings
                .iter()
                .any(|begin| begin.len() < FRESH_PREFIX_BYTES_MIN))
    {
        return Ok(Arc::clone(index));
    }
    // The turn comes before the names are read: only so is it bounded how many of them all requests hold at once.
    let turn = api.searches.wait().await?;
    let names = names_beginning(api, beginnings).await?;
    let mut unsorted = Unsorted::default();
    if names.len() > NAMES_BELOW_MAX
        || !names
            .iter()
            .all(|name| unsorted.push(&name.name, name.popularity))
    {
        return all.ok_or_else(|| api.names.why_none().into());
    }
    Ok(turn.run(move || Arc::new(Index::from(unsorted))).await?)
}

/// The names that begin with any of `beginnings`, as the database has them now; some of them where they are more than are read.
///
/// # Errors
/// `Centre` where no centre answers.
async fn names_beginning(api: &Api, beginnings: &[String]) -> Result<Vec<Name>, centres::Error> {
    let mut names = Vec::new();
    for beginning in beginnings {
        let limit = (NAMES_BELOW_MAX + 1).saturating_sub(names.len());
        let read = api.centres.ask(async |attempt| {
            Ok::<_, centres::Error>(attempt.central().names_beginning(beginning, limit).await?)
        });
        names.extend(read.await?);
    }
    Ok(names)
}

/// The entries of `treejson`: one for each last part of the nodes' paths, branches before leaves. Its id has the query's path before
/// the part, wildcards and all, as in Graphite. A part that is both a branch and a leaf has one entry of each; Graphite would show one,
/// and hide the other.
fn tree_json(query: &str, nodes: &[Node]) -> Vec<Entry> {
    let base = query.rfind('.').map_or("", |dot| &query[..=dot]);
    let mut entries = BTreeMap::<(bool, &str), Entry>::new();
    for node in nodes {
        let text = &node.path[node.text_at..];
        let entry = entries.entry((node.is_leaf, text)).or_insert_with(|| Entry {
            text: text.to_owned(),
            id: format!("{base}{text}"),
            leaf: node.is_leaf.into(),
            expandable: (!node.is_leaf).into(),
            allow_children: (!node.is_leaf).into(),
            names: 0,
            popularity: 0,
        });
        entry.names += node.names;
        entry.popularity = entry.popularity.saturating_add(node.popularity);
    }
    entries.into_values().collect()
}

fn completion(node: Node) -> Completion {
    let name = node.path[node.text_at..].to_owned();
    Completion {
        path: if node.is_leaf { node.path } else { node.path + "." },
        name,
        is_leaf: if node.is_leaf { "1" } else { "0" },
    }
}
