//! `GET /openapi.json`: a description, in OpenAPI, of all that this server serves. `tests/pipeline/openapi.rs` compares it with real
//! answers.
//!
//! Bodies are described by the types that they are written from or read into. Paths and parameters are written by hand in `openapi.json`,
//! as are the bodies that no one type makes: a series is streamed, `/functions` is a catalogue.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use crate::annotations;
use crate::audit::Audit;
use crate::events;
use crate::names::{Completions, Entry, Listing};
use crate::relation::Relation;
use crate::status::Status;

const WRITTEN: &str = include_str!("openapi.json");

const SCHEMAS: &str = "/components/schemas";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| format!("{:#}", document()));

pub(crate) async fn get() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

/// What is written by hand, and with it the schemas of the types.
fn document() -> Value {
    let mut document: Value = serde_json::from_str(WRITTEN).expect("it is JSON, as the tests see");
    let written = document.pointer_mut(SCHEMAS).and_then(Value::as_object_mut);
    written
        .expect("it has schemas, as the tests see")
        .extend(derived());
    document
}

/// The schemas of the bodies that have a type, and of the types within them, by name.
fn derived() -> serde_json::Map<String, Value> {
    let mut schemas = definitions(
        SchemaSettings::draft2020_12().for_serialize(),
        &[
            SchemaGenerator::subschema_for::<annotations::Page>,
            SchemaGenerator::subschema_for::<events::Listed>,
            SchemaGenerator::subschema_for::<Audit>,
            SchemaGenerator::subschema_for::<Completions>,
            SchemaGenerator::subschema_for::<Entry>,
            SchemaGenerator::subschema_for::<Listing>,
            SchemaGenerator::subschema_for::<Relation>,
            SchemaGenerator::subschema_for::<Status>,
        ],
    );
    schemas.extend(definitions(
        SchemaSettings::draft2020_12().for_deserialize(),
        &[SchemaGenerator::subschema_for::<annotations::Sent>],
    ));
    schemas
}

/// The schemas of `types`, and of the types within them, as they are written or as they are read.
fn definitions(
    settings: SchemaSettings,
    types: &[fn(&mut SchemaGenerator) -> Schema],
) -> serde_json::Map<String, Value> {
    let settings = settings.with(|settings| settings.definitions_path = SCHEMAS.into());
    let mut generator = settings
        .with_transform(RecursiveTransform(exact))
        .into_generator();
    for subschema in types {
        subschema(&mut generator);
    }
    generator.take_definitions(true)
}

/// Says of an object that it has no other fields than those of its type; leaves out what is of Rust or of a reader: how wide an integer
/// of its machine is, and what stands in for a field that an older server does not send.
fn exact(schema: &mut Schema) {
    if schema.get("properties").is_some() {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    schema.remove("default");
    if let Some("uint" | "uint128") = schema.get("format").and_then(Value::as_str) {
        schema.remove("format");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The paths that source files route, as they are written there.
    fn routed(dir: &Path, paths: &mut BTreeSet<String>) {
        // In two pieces, as this file is one of them.
        const ROUTE: &str = concat!(".rou", "te(");
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                routed(&path, paths);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let behind = text.split(ROUTE).skip(1);
            let found = behind.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
            paths.extend(found.map(str::to_owned));
        }
    }

    /// The keys are those that `graphite::Request` reads.
    #[test]
    fn every_parameter_of_render_is_documented_for_both_methods() {
        let read = include_str!("../../graphite/src/request.rs");
        let document = document();
        let form = document["components"]["schemas"]["RenderForm"]["properties"]
            .as_object()
            .unwrap();
        let keys = [
            "target",
            "from",
            "until",
            "format",
            "maxDataPoints",
            "xFilesFactor",
            "noNullPoints",
            "rawData",
            "tz",
        ];
        for key in keys {
            assert!(read.contains(&format!("\"{key}\"")), "{key} is not read");
        }
        let render = &document["paths"]["/render"];
        let queried = render["get"]["parameters"].as_array().unwrap().iter();
        let queried: BTreeSet<&str> = queried
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(queried, BTreeSet::from(keys));
        assert_eq!(form.keys().map(String::as_str).collect::<BTreeSet<_>>(), queried);
        let posted = &render["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"];
        assert_eq!(posted["schema"]["$ref"], "#/components/schemas/RenderForm");
    }

    #[test]
    fn every_route_is_documented() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut paths = BTreeSet::new();
        for dir in ["api/src", "listener/src"] {
            routed(&crates.join(dir), &mut paths);
        }
        assert!(
            paths.contains("/v1/series") && paths.contains("/healthz"),
            "{paths:?}"
        );
        let document = document();
        let documented: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
        let missing: Vec<_> = paths.difference(&documented).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// A reference to a schema that is neither written nor derived would describe nothing.
    #[test]
    fn every_reference_is_defined() {
        let document = document();
        let text = document.to_string();
        let references = text
            .split("\"$ref\":\"#")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        let undefined: Vec<_> = references
            .filter(|reference| document.pointer(reference).is_none())
            .collect();
        assert!(undefined.is_empty(), "{undefined:?}");
        let written: Value = serde_json::from_str(WRITTEN).unwrap();
        let written = written.pointer(SCHEMAS).unwrap().as_object().unwrap();
        let twice: Vec<_> = derived()
            .into_iter()
            .filter(|(name, _)| written.contains_key(name))
            .collect();
        assert!(twice.is_empty(), "written, too: {twice:?}");
    }
}
