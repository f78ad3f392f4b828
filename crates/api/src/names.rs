//! `GET /v1/names`.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use model::Glob;
use serde::Serialize;
use store::{Found, Name};

use crate::centres::Visit;
use crate::parameters::Parameters;
use crate::refusal::Refusal;
use crate::routes::Api;

/// Names of one answer: a search shows the best, it is no listing.
pub(crate) const NAMES_MAX: usize = 1_000;

const LIMIT_DEFAULT: usize = 50;

const PARAMETERS: &[&str] = &["query", "limit"];

#[derive(Serialize)]
pub(crate) struct Answer {
    names: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    name: String,
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

pub(crate) async fn get(State(api): State<Api>, uri: Uri) -> Result<Json<Answer>, Refusal> {
    let (pattern, limit) = parse(uri.query())?;
    let pattern = pattern.as_ref();
    let search = async |visit: Visit| Ok(visit.central().names(pattern, limit).await?);
    let Found::Names(names) = api.centres.ask(search).await? else {
        return Err(Refusal::PatternTooBroad);
    };
    Ok(Json(Answer {
        names: names.into_iter().map(Listed::from).collect(),
    }))
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
            .ok_or(Refusal::Limit)?,
    };
    let pattern = parameters.one("query")?.filter(|text| !text.is_empty());
    Ok((pattern.map(Glob::for_search).transpose()?, limit))
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
    fn limits_are_from_1_to_1000() {
        for limit in ["0", "1001", "-1", "ten", ""] {
            assert!(
                matches!(parse(Some(&format!("limit={limit}"))), Err(Refusal::Limit)),
                "{limit}"
            );
        }
    }
}
