//! Which functions there are: `GET /functions`, out of the table that the evaluator looks them up in.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Json;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Document, json};

use super::Fault;
use super::function::{Default, Function, Parameter};
use super::functions::TABLES;
use super::plan::SERIES_BY_TAG;

/// By each of its names.
static FUNCTIONS: LazyLock<BTreeMap<&'static str, &'static Function>> = LazyLock::new(|| {
    let functions = TABLES.iter().copied().flatten();
    let named = functions.flat_map(|function| function.names.iter().map(move |name| (*name, function)));
    named.collect()
});

/// # Errors
/// `UnknownFunction`.
pub(super) fn find(name: &str) -> Result<&'static Function, Fault> {
    FUNCTIONS
        .get(name)
        .copied()
        .ok_or_else(|| Fault::UnknownFunction(name.chars().take(NAME_SHOWN_CHARS_MAX).collect()))
}

/// How much of an unknown name its refusal repeats.
const NAME_SHOWN_CHARS_MAX: usize = 40;

/// `GET /functions`: all by name, or by group and name.
pub(super) async fn functions(uri: Uri) -> Json<Document> {
    let (mut grouped, mut wanted) = (false, None);
    for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        match &*key {
            "grouped" => grouped = value == "1" || value.eq_ignore_ascii_case("true"),
            "group" => wanted = Some(value.into_owned()),
            _ => {}
        }
    }
    let mut answer = serde_json::Map::new();
    for name in FUNCTIONS.keys().copied().chain([SERIES_BY_TAG]) {
        let Some(description) = described(name) else {
            continue;
        };
        let group = description["group"].as_str().unwrap_or_default().to_owned();
        if wanted.as_ref().is_some_and(|wanted| *wanted != group) {
            continue;
        }
        if grouped {
            answer.entry(group).or_insert_with(|| json!({}))[name] = description;
        } else {
            answer.insert(name.to_owned(), description);
        }
    }
    Json(Document::Object(answer))
}

/// `GET /functions/NAME`. What is no text is no function either.
pub(super) async fn function(name: Result<Path<String>, PathRejection>) -> Response {
    match name.ok().and_then(|Path(name)| described(&name)) {
        Some(description) => Json(description).into_response(),
        None => (
            StatusCode::NOT_FOUND,
            Json(json!({ "error": "no such function" })),
        )
            .into_response(),
    }
}

fn described(name: &str) -> Option<Document> {
    if name == SERIES_BY_TAG {
        return Some(json!({
            "name": SERIES_BY_TAG,
            "function": "seriesByTag(*tagExpressions)",
            "description": "The series of a name, as in seriesByTag('name=shop.item.sold'): the name is the only tag.",
            "module": MODULE,
            "group": "Special",
            "params": [{ "name": "tagExpressions", "type": "string", "required": true, "multiple": true }],
        }));
    }
    let function = FUNCTIONS.get(name)?;
    Some(json!({
        "name": name,
        "function": signature(name, function),
        "description": function.description,
        "module": MODULE,
        "group": function.group,
        "params": function.parameters.iter().map(parameter).collect::<Vec<_>>(),
    }))
}

/// Where Graphite's own functions say that they live; Grafana tells others apart by it.
const MODULE: &str = "graphite.render.functions";

fn parameter(parameter: &Parameter) -> Document {
    let mut described = json!({ "name": parameter.name, "type": parameter.kind.word() });
    if parameter.is_required {
        described["required"] = json!(true);
    }
    if let Some(default) = parameter.default {
        described["default"] = default_as_json(default);
    }
    if parameter.is_multiple {
        described["multiple"] = json!(true);
    }
    if !parameter.options.is_empty() {
        described["options"] = json!(parameter.options);
    }
    if !parameter.suggestions.is_empty() {
        described["suggestions"] = json!(parameter.suggestions);
    }
    described
}

/// Infinity is a word: JSON has no number for it.
fn default_as_json(default: Default) -> Document {
    match default {
        Default::Number(number) => json!(number),
        Default::Implied => json!(0),
        Default::Tenth => json!(0.1),
        Default::Infinity => json!("inf"),
        Default::Text(text) => json!(text),
        Default::Boolean(boolean) => json!(boolean),
    }
}

/// `scale(seriesList, factor)`, as Python would write it.
fn signature(name: &str, function: &Function) -> String {
    let parameter = |parameter: &Parameter| match parameter.default {
        _ if parameter.is_multiple => format!("*{}", parameter.name),
        Some(Default::Text(text)) => format!("{}='{text}'", parameter.name),
        Some(default) => format!(
            "{}={}",
            parameter.name,
            default_as_json(default).to_string().trim_matches('"')
        ),
        None if !parameter.is_required => format!("{}=None", parameter.name),
        None => parameter.name.to_owned(),
    };
    let parameters: Vec<String> = function.parameters.iter().map(parameter).collect();
    format!("{name}({})", parameters.join(", "))
}
