//! `/events/get_data` and `POST /events/`: annotations in Graphite's format (its `webapp/graphite/events/views.py`).

#![expect(clippy::disallowed_methods, reason = "a mark without a time is of now")]

use std::time::SystemTime;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use graphite::Zone;
use model::{Annotation, AnnotationId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::central::AnnotationQuery;

use crate::admission::Asker;
use crate::annotations::error::Error;
use crate::annotations::{When, read, read_json, write};
use crate::form::Form;
use crate::limits::ANNOTATIONS_MAX;
use crate::refusal::Refusal;
use crate::room;
use crate::state::Api;

/// An event as Graphite's answers have it; `until` has no place there.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub(crate) struct Listed {
    #[schemars(extend("format" = "uuid"))]
    id: String,
    /// Unix seconds.
    when: i64,
    what: String,
    data: String,
    tags: Vec<String>,
}

/// An event as Graphite's clients send it. Other fields are ignored, as Graphite does.
#[derive(Debug, Deserialize)]
struct Sent {
    what: String,
    when: Option<When>,
    data: Option<String>,
    tags: Option<Tags>,
}

/// Tags in either of the two forms that senders use.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Tags {
    List(Vec<String>),
    /// Tags separated by blanks or commas.
    Text(String),
}

/// `GET` and `POST /events/get_data`. `until` is included. Without `set` an annotation needs all tags; with `set=union` one of them is
/// enough.
pub(crate) async fn get_data(State(api): State<Api>, form: Form) -> Result<Response, Refusal> {
    let now = Timestamp::from(SystemTime::now());
    let now_s = now.unix_ms().div_euclid(1000);
    let zone = Zone::named(&form.one("tz").unwrap_or_default()).ok_or(graphite::Error::Zone)?;
    let time = |key: &'static str, default| match form.one(key).as_deref() {
        None | Some("") => Ok(default),
        Some(text) => graphite::unix_s(text, now_s, zone)
            .map(|unix_s| Timestamp::from_unix_ms(unix_s.saturating_mul(1000)))
            .ok_or(Error::GraphiteTime(key)),
    };
    let wanted = AnnotationQuery {
        from: time("from", Timestamp::from_unix_ms(0))?,
        // The whole second that `until` names: the range is half open, and annotations are stored to the millisecond.
        until: time("until", now)?.plus_ms(1_000),
        tags: words(&form.one("tags").unwrap_or_default()),
        any_tag: form.one("set").as_deref() == Some("union"),
        limit: ANNOTATIONS_MAX + 1,
    };
    let (found, _) = read(&api, &wanted).await?;
    let events: Vec<Listed> = found.into_iter().map(Listed::from).collect();
    Ok(room::json(&api.points, &events)?)
}

impl From<Annotation> for Listed {
    fn from(annotation: Annotation) -> Self {
        Self {
            id: annotation.id.to_string(),
            when: annotation.when.unix_ms().div_euclid(1000),
            what: annotation.what,
            data: annotation.data,
            tags: annotation.tags,
        }
    }
}

/// `POST /events/`: an empty 200, as Graphite answers.
pub(crate) async fn post(
    State(api): State<Api>,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let sent: Sent = read_json(&api, &headers, body).await?;
    let now = Timestamp::from(SystemTime::now());
    let when = match sent.when {
        None => now,
        Some(when) => when.instant().ok_or(Error::JsonTime("when"))?,
    };
    let annotation = Annotation {
        id: AnnotationId::generate(now),
        when,
        until: None,
        what: sent.what,
        data: sent.data.unwrap_or_default(),
        tags: match sent.tags {
            None => Vec::new(),
            Some(Tags::List(tags)) => tags,
            Some(Tags::Text(text)) => words(&text),
        },
    };
    write(&api, &asker, &annotation.checked().map_err(Error::from)?).await?;
    Ok(StatusCode::OK.into_response())
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace());
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
