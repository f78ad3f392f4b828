//! `GET /openapi.json`: a description, in OpenAPI, of all that this server serves. `tests/pipeline/openapi.rs` compares it with real
//! answers.

use axum::http::header;
use axum::response::IntoResponse;

const DOCUMENT: &str = include_str!("openapi.json");

pub(crate) async fn get() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use serde_json::Value;

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
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
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
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let documented: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
        let missing: Vec<_> = paths.difference(&documented).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
