//! The dashboard's page: files that are part of the program, under a policy that lets the browser load nothing else.

use std::io::Write;
use std::sync::LazyLock;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use twox_hash::XxHash3_64;

/// Everything comes from here, nothing is written into the markup, and no other page shows this one in a frame.
/// Files for download are made in the page, but not loaded by it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Path, content type, content.
type File = (&'static str, &'static str, &'static [u8]);

macro_rules! files {
    ($($path:literal $content_type:literal $name:literal,)*) => {
        [$(($path, $content_type, include_bytes!(concat!("../dashboard/", $name)).as_slice()),)*]
    };
}

const FILES: [File; 24] = files![
    "/" "text/html; charset=utf-8" "index.html",
    "/dashboard/icon.svg" "image/svg+xml" "icon.svg",
    "/dashboard/style.css" "text/css" "style.css",
    "/dashboard/views.css" "text/css" "views.css",
    "/dashboard/vendor/uPlot.min.css" "text/css" "vendor/uPlot.min.css",
    "/dashboard/vendor/uPlot.esm.js" "text/javascript" "vendor/uPlot.esm.js",
    "/dashboard/api.js" "text/javascript" "api.js",
    "/dashboard/chart.js" "text/javascript" "chart.js",
    "/dashboard/controls.js" "text/javascript" "controls.js",
    "/dashboard/csv.js" "text/javascript" "csv.js",
    "/dashboard/dom.js" "text/javascript" "dom.js",
    "/dashboard/finder.js" "text/javascript" "finder.js",
    "/dashboard/graph.js" "text/javascript" "graph.js",
    "/dashboard/health.js" "text/javascript" "health.js",
    "/dashboard/main.js" "text/javascript" "main.js",
    "/dashboard/marks.js" "text/javascript" "marks.js",
    "/dashboard/popular.js" "text/javascript" "popular.js",
    "/dashboard/relation.js" "text/javascript" "relation.js",
    "/dashboard/series.js" "text/javascript" "series.js",
    "/dashboard/state.js" "text/javascript" "state.js",
    "/dashboard/status.js" "text/javascript" "status.js",
    "/dashboard/theme.js" "text/javascript" "theme.js",
    "/dashboard/time.js" "text/javascript" "time.js",
    "/dashboard/tree.js" "text/javascript" "tree.js",
];

struct Asset {
    content_type: &'static str,
    content: &'static [u8],
    /// `None` where it would not be shorter.
    compressed: Option<Bytes>,
    tag: String,
}

static ASSETS: LazyLock<Vec<(&'static str, Asset)>> =
    LazyLock::new(|| FILES.iter().map(|file| (file.0, Asset::of(file))).collect());

impl Asset {
    fn of(&(_, content_type, content): &File) -> Self {
        Self {
            content_type,
            content,
            compressed: compressed(content).filter(|short| short.len() < content.len()),
            tag: format!("\"{:016x}\"", XxHash3_64::oneshot(content)),
        }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let listed = |name: HeaderName, fits: &dyn Fn(&str) -> bool| {
            let values = request.get_all(name).into_iter();
            let mut words = values
                .filter_map(|value| value.to_str().ok())
                .flat_map(|v| v.split(','));
            words.any(|listed| fits(listed.trim()))
        };
        // A proxy that compresses makes a tag weak.
        let known = |listed: &str| listed.trim_start_matches("W/") == self.tag;
        // With parameters it may be refused (`gzip;q=0`), which browsers never do.
        let takes_gzip = |listed: &str| {
            listed == "gzip" || listed.starts_with("gzip;q=0.") || listed.starts_with("gzip;q=1")
        };
        // A newer program has other files: each is asked for, and seldom sent again.
        let common = [
            (header::ETAG, self.tag.as_str()),
            (header::CACHE_CONTROL, "no-cache"),
            (header::VARY, "accept-encoding"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CONTENT_TYPE, self.content_type),
        ];
        if listed(header::IF_NONE_MATCH, &known) {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        match &self.compressed {
            Some(short) if listed(header::ACCEPT_ENCODING, &takes_gzip) => {
                (common, [(header::CONTENT_ENCODING, "gzip")], short.clone()).into_response()
            }
            _ => (common, self.content).into_response(),
        }
    }
}

fn compressed(content: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.iter().fold(Router::new(), |routes, (path, asset)| {
        routes.route(path, get(async move |headers: HeaderMap| asset.answer(&headers)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(path: &str) -> bool {
        FILES.iter().any(|(known, ..)| *known == path)
    }

    fn text(path: &str) -> &'static str {
        let (.., content) = FILES.iter().find(|(known, ..)| *known == path).unwrap();
        std::str::from_utf8(content).unwrap()
    }

    #[test]
    fn every_file_that_is_named_is_there() {
        let page = text("/");
        let parts = page.split(['"', '\'']);
        let named: Vec<&str> = parts.filter(|part| part.starts_with("dashboard/")).collect();
        assert!(named.len() >= 6, "{named:?}");
        for name in named {
            assert!(has(&format!("/{name}")), "{name}");
        }
        for (path, content_type, content) in FILES {
            if content_type != "text/javascript" || path.contains("/vendor/") {
                continue;
            }
            let lines = std::str::from_utf8(content).unwrap().lines();
            for line in lines.filter(|line| line.starts_with("import ") || line.starts_with("} from ")) {
                let module = line.split("\"./").nth(1).unwrap().trim_end_matches("\";");
                assert!(has(&format!("/dashboard/{module}")), "{path}: {line}");
            }
        }
    }

    #[test]
    fn nothing_is_in_the_markup_that_the_policy_forbids() {
        let page = text("/");
        for forbidden in [" style=", "<style", " onclick=", "javascript:", "http:", "https:"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert_eq!(
            page.matches("<script").count(),
            page.matches("<script src=").count() + 1
        );
        assert!(page.contains("<script type=\"module\" src="));
    }

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        let (_, asset) = &ASSETS[0];
        let status = |request: HeaderMap| asset.answer(&request).status();
        assert_eq!(status(HeaderMap::new()), StatusCode::OK);
        let tag = |tag: &str| HeaderMap::from_iter([(header::IF_NONE_MATCH, tag.parse().unwrap())]);
        assert_eq!(status(tag(&asset.tag)), StatusCode::NOT_MODIFIED);
        assert_eq!(status(tag(&format!("W/{}", asset.tag))), StatusCode::NOT_MODIFIED);
        assert_eq!(status(tag("\"other\"")), StatusCode::OK);
        let encoding = |accepted: &'static str| {
            let request = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accepted.parse().unwrap())]);
            asset
                .answer(&request)
                .headers()
                .get(header::CONTENT_ENCODING)
                .cloned()
        };
        assert_eq!(encoding("br, gzip;q=0.8").unwrap(), "gzip");
        assert_eq!(encoding("gzip;q=0"), None);
    }
}
