//! `/v1/annotations`: deployments and other marks, drawn on every graph.

#![expect(clippy::disallowed_methods, reason = "a mark without a time is of now")]

use std::time::SystemTime;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use model::{Annotation, AnnotationId, TAG_CHARS_MAX, TAGS_MAX, Timestamp, WHAT_CHARS_MAX, utf8};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::central::AnnotationQuery;

pub(crate) mod error;

use self::error::Error;
use crate::admission::{self, Asker};
use crate::centres::{self, Attempt};
use crate::form::{WrongType, content_type, shown_type};
use crate::limits::{ANNOTATION_BYTES_MAX, ANNOTATIONS_MAX};
use crate::parameters::Parameters;
use crate::range::{self, time};
use crate::refusal::Refusal;
use crate::room;
use crate::state::Api;

const PARAMETERS: &[&str] = &["from", "until", "tags"];

const JSON: &str = "application/json";

/// An annotation as it is sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewAnnotation")]
pub(crate) struct Sent {
    /// Makes a repetition harmless; made up where it is missing.
    #[schemars(extend("format" = "uuid"))]
    id: Option<String>,
    #[schemars(length(min = 1, max = WHAT_CHARS_MAX))]
    what: String,
    /// Now where it is missing.
    when: Option<When>,
    /// For what lasts: at most 366 days after `when`.
    until: Option<When>,
    /// At most 2,000 bytes.
    data: Option<String>,
    #[serde(default)]
    #[schemars(length(max = TAGS_MAX), inner(length(min = 1, max = TAG_CHARS_MAX), regex(pattern = r"^\S+$")))]
    tags: Vec<String>,
}

/// A time as a body has it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum When {
    /// Unix seconds, with or without a fraction.
    UnixS(f64),
    /// RFC 3339.
    Text(#[schemars(extend("format" = "date-time"))] String),
}

/// The annotations of a range, in order of time; of more than fit the newest.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Annotations")]
pub(crate) struct Page {
    #[schemars(length(max = ANNOTATIONS_MAX))]
    annotations: Vec<Listed>,
    /// Whether there are older ones in the range.
    more: bool,
}

/// An annotation as an answer has it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Annotation")]
pub(crate) struct Listed {
    #[schemars(extend("format" = "uuid"))]
    id: String,
    /// Unix seconds.
    when: f64,
    /// Unix seconds; null for what happened at an instant.
    until: Option<f64>,
    /// Text as it was sent: escape it where you show it.
    what: String,
    data: String,
    tags: Vec<String>,
}

impl From<Annotation> for Listed {
    fn from(annotation: Annotation) -> Self {
        Self {
            id: annotation.id.to_string(),
            when: annotation.when.unix_s(),
            until: annotation.until.map(Timestamp::unix_s),
            what: annotation.what,
            data: annotation.data,
            tags: annotation.tags,
        }
    }
}

impl When {
    /// The instant that is meant; `None` for a number or a text that is no time.
    pub(crate) fn instant(&self) -> Option<Timestamp> {
        match self {
            Self::UnixS(unix_s) => Timestamp::from_unix_s(*unix_s).ok(),
            Self::Text(text) => Timestamp::from_rfc3339(text).ok(),
        }
    }
}

impl Sent {
    /// The annotation, which happened `now` if nothing else is said.
    ///
    /// # Errors
    /// `Annotation` for a field that an annotation cannot have, `JsonTime` for what is no time.
    fn annotation(self, now: Timestamp) -> Result<Annotation, Error> {
        let instant = |when: Option<When>, key| {
            when.map(|when| when.instant().ok_or(Error::JsonTime(key)))
                .transpose()
        };
        let id = self.id.map(|id| id.parse::<AnnotationId>()).transpose()?;
        let annotation = Annotation {
            id: id.unwrap_or_else(|| AnnotationId::generate(now)),
            when: instant(self.when, "when")?.unwrap_or(now),
            until: instant(self.until, "until")?,
            what: self.what,
            data: self.data.unwrap_or_default(),
            tags: self.tags,
        };
        Ok(annotation.checked()?)
    }
}

/// `POST /v1/annotations`: 201 for a new one, 200 where there is one of this id already; both with what is there.
pub(crate) async fn post(
    State(api): State<Api>,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let sent: Sent = read_json(&api, &headers, body).await?;
    let annotation = sent.annotation(Timestamp::from(SystemTime::now()))?;
    let (written, is_new) = write(&api, &asker, &annotation).await?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(Listed::from(written))).into_response())
}

/// The body of a request that writes.
///
/// Its type has to be JSON: a page of a foreign site can make a browser inside the network post a form or plain text here without
/// asking, but for JSON the browser asks first (a CORS preflight), and nobody here says yes.
///
/// # Errors
/// `ContentType`, `Body` or `NoAnnotation` for another type, a body that is not read, or one
/// that is no `T`.
pub(crate) async fn read_json<T: DeserializeOwned>(
    api: &Api,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Refusal> {
    if !content_type(headers).is_some_and(|given| given.eq_ignore_ascii_case(JSON)) {
        let given = shown_type(headers);
        return Err(Error::from(WrongType { wanted: JSON, given }).into());
    }
    let read = api.intake.read(body, ANNOTATION_BYTES_MAX).await;
    let (body, _place) = read.map_err(Error::from)?;
    Ok(serde_json::from_slice(utf8::without_mark(&body)).map_err(Error::NoAnnotation)?)
}

/// Writes an annotation of who asks at the centre in charge; then under the same id at every other one that answers. One that does not will lack
/// it. Returns what the first has under this id, and whether it is new.
///
/// # Errors
/// `Centre` where no centre takes it. That another one misses it is no error: it is counted and logged.
pub(crate) async fn write(
    api: &Api,
    asker: &Asker,
    annotation: &Annotation,
) -> Result<(Annotation, bool), Refusal> {
    let by = asker.client();
    let (at, ((written, client), is_new)) = api
        .centres
        .ask(async |attempt| {
            Ok::<_, centres::Error>((
                attempt.number(),
                attempt.central().annotate(annotation, by).await?,
            ))
        })
        .await?;
    // What the first centre has, not what was sent: under an id that was there already, the centres would differ for ever.
    for (name, central) in api.centres.others(at) {
        match central {
            Some(central) => note_missed(name, central.annotate(&written, client.as_ref()).await.err()),
            None => note_away(name),
        }
    }
    Ok((written, is_new))
}

/// Counts and logs a change that another centre lacks. Nobody sees that it does before that centre is in charge.
fn note_missed(centre: &str, error: Option<store::Error>) {
    if let Some(error) = error {
        count_missed(centre);
        let error: &dyn std::error::Error = &error;
        tracing::warn!(
            centre,
            error,
            "a change of annotations did not reach another centre"
        );
    }
}

/// Counts and logs a change that a centre lacks because it was not asked, so that nobody waits for it.
fn note_away(centre: &str) {
    count_missed(centre);
    tracing::warn!(centre, "a change of annotations misses a centre that is away");
}

fn count_missed(centre: &str) {
    metrics::counter!("api_annotations_missed_total", "centre" => centre.to_owned()).increment(1);
}

/// Checks that who asks may remove an annotation: one of his own, or any with the scope `admin`.
///
/// # Errors
/// `ForeignAnnotation`; `NoSuchAnnotation`; `Centre` where no centre answers.
async fn check_writer(api: &Api, asker: &Asker, id: AnnotationId) -> Result<(), Refusal> {
    let Some(client) = asker.client().filter(|_| !asker.is_admin()) else {
        return Ok(());
    };
    let ask =
        async |attempt: Attempt| Ok::<_, centres::Error>(attempt.central().writer_of_annotation(id).await?);
    match api.centres.ask(ask).await? {
        None => Err(Error::NoSuchAnnotation.into()),
        Some(writer) if writer.as_deref() == Some(client.as_str()) => Ok(()),
        Some(_) => Err(admission::Error::ForeignAnnotation.into()),
    }
}

/// `DELETE /v1/annotations/ID`, at all centres as [`write`]; 204, or 404 where the centre in charge has none of this id.
pub(crate) async fn delete(
    State(api): State<Api>,
    asker: Asker,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Refusal> {
    let Path(id) = id.map_err(|_| Error::NoSuchAnnotation)?;
    let id: AnnotationId = id.parse().map_err(|_| Error::NoSuchAnnotation)?;
    check_writer(&api, &asker, id).await?;
    let (at, was_there) = api
        .centres
        .ask(async |attempt| {
            Ok::<_, centres::Error>((attempt.number(), attempt.central().remove_annotation(id).await?))
        })
        .await?;
    for (name, central) in api.centres.others(at) {
        match central {
            Some(central) => note_missed(name, central.remove_annotation(id).await.err()),
            None => note_away(name),
        }
    }
    if was_there {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::NoSuchAnnotation.into())
    }
}

/// `GET /v1/annotations`.
pub(crate) async fn get(State(api): State<Api>, uri: Uri) -> Result<Response, Refusal> {
    let parameters = Parameters::parse(uri.query(), PARAMETERS)?;
    let now = Timestamp::from(SystemTime::now());
    let wanted = AnnotationQuery {
        from: time(&parameters, "from", "-24h", now)?,
        until: time(&parameters, "until", "now", now)?,
        tags: parameters.all("tags").map(str::to_owned).collect(),
        any_tag: false,
        limit: ANNOTATIONS_MAX + 1,
    };
    if wanted.from >= wanted.until {
        return Err(range::Error::Empty.into());
    }
    let (found, more) = read(&api, &wanted).await?;
    let annotations = found.into_iter().map(Listed::from).collect();
    Ok(room::json(&api.points, &Page { annotations, more })?)
}

/// The annotations that are wanted, at most [`ANNOTATIONS_MAX`], and whether there are older ones. `wanted.limit` has to be one more
/// than that, to tell.
///
/// # Errors
/// `TooManyTags`; `Centre` where no centre answers.
pub(crate) async fn read(api: &Api, wanted: &AnnotationQuery) -> Result<(Vec<Annotation>, bool), Refusal> {
    if wanted.tags.len() > TAGS_MAX {
        return Err(Error::TooManyTags.into());
    }
    let mut found = api
        .centres
        .ask(async |attempt| Ok::<_, centres::Error>(attempt.central().annotations(wanted).await?))
        .await?;
    let over = found.len().saturating_sub(ANNOTATIONS_MAX);
    found.drain(..over);
    Ok((found, over > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Annotation, Error> {
        let sent: Sent = serde_json::from_str(text).map_err(Error::NoAnnotation)?;
        sent.annotation(Timestamp::from_unix_ms(1_763_787_600_500))
    }

    #[test]
    fn only_what_happened_is_needed() {
        let annotation = parse(r#"{"what":"deploy"}"#).unwrap();
        assert_eq!(annotation.when.unix_ms(), 1_763_787_600_500);
        assert_eq!((annotation.until, &*annotation.data), (None, ""));
        let id = "0199AA55-0000-7000-8000-000000000001";
        let whole = format!(
            r#"{{"id":"{id}","what":"d","when":1763787600.25,"until":"2025-11-22T06:01:00+01:00","data":"v","tags":["a"]}}"#
        );
        let whole = parse(&whole).unwrap();
        assert_eq!(whole.id.to_string(), id.to_ascii_lowercase());
        assert_eq!(whole.until.unwrap().ms_since(whole.when), 59_750);
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (text, sentence) in [
            ("", "body is not an annotation: EOF while parsing"),
            ("[]", "body is not an annotation: "),
            (r#"{"what":"a","wann":1}"#, "unknown field `wann`"),
            (r#"{"what":7}"#, "invalid type"),
            (r#"{"what":"a","when":"soon"}"#, "when is not a time"),
            (r#"{"what":"a","when":[]}"#, "body is not an annotation: "),
            (r#"{"what":"a","until":1e300}"#, "until is not a time"),
            (r#"{"what":"a","id":"1"}"#, "id is not a UUID"),
            (r#"{"what":""}"#, "what is empty"),
            (r#"{"what":"a","tags":"a b"}"#, "body is not an annotation: "),
        ] {
            let refusal = parse(text).unwrap_err().to_string();
            assert!(refusal.contains(sentence), "{text}: {refusal}");
        }
    }
}
