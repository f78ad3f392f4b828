//! `GET /functions`: descriptions of the functions, for Grafana's editor.

use axum::Json;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// `GET /functions`: all by name, or by group and name.
pub(super) async fn all(uri: Uri) -> Json<Value> {
    let (mut is_grouped, mut group) = (false, None);
    for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        match &*key {
            "grouped" => is_grouped = value == "1" || value.eq_ignore_ascii_case("true"),
            "group" => group = Some(value.into_owned()),
            _ => {}
        }
    }
    Json(graphite::catalogue(group.as_deref(), is_grouped))
}

/// `GET /functions/NAME`; 404 for a name that is no function's, or no text.
pub(super) async fn one(name: Result<Path<String>, PathRejection>) -> Response {
    match name.ok().and_then(|Path(name)| graphite::described(&name)) {
        Some(description) => Json(description).into_response(),
        None => (
            StatusCode::NOT_FOUND,
            Json(json!({ "error": "no such function" })),
        )
            .into_response(),
    }
}
