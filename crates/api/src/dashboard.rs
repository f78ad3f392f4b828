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
use rust_embed::{Embed, EmbeddedFile};

/// The Content-Security-Policy: everything comes from here, nothing is written into the markup, and no other page shows this one in a
/// frame. Files for download are made in the page, but not loaded by it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is served at `/`; every other file is below `/dashboard/`.
const PAGE: &str = "index.html";

#[derive(Embed)]
#[folder = "dashboard/"]
#[exclude = "*.md"]
#[exclude = "package.json"]
#[exclude = "vendor/*.LICENSE"]
struct Files;

/// A file and its headers.
struct Asset {
    content_type: String,
    content: Bytes,
    /// The content in gzip; `None` where it would not be shorter.
    compressed: Option<Bytes>,
    /// The ETag, with its quotes: a hash of the content.
    tag: String,
}

/// Each with its path.
static ASSETS: LazyLock<Vec<(String, Asset)>> = LazyLock::new(|| {
    let found = Files::iter().filter_map(|name| Some((path(&name), Asset::of(Files::get(&name)?))));
    found.collect()
});

fn path(name: &str) -> String {
    match name {
        PAGE => "/".to_owned(),
        other => format!("/dashboard/{other}"),
    }
}

impl Asset {
    fn of(file: EmbeddedFile) -> Self {
        let content_type = match file.metadata.mimetype() {
            "text/html" => "text/html; charset=utf-8".to_owned(),
            other => other.to_owned(),
        };
        let hash = file.metadata.sha256_hash();
        let tag: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let content = Bytes::from(file.data.into_owned());
        Self {
            content_type,
            compressed: compressed(&content).filter(|short| short.len() < content.len()),
            content,
            tag: format!("\"{tag}\""),
        }
    }

    /// The file, compressed where the client takes that; 304 where it has it already.
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
        // A weight of 0 refuses it (RFC 9110, 12.5.3).
        let takes_gzip = |listed: &str| {
            let mut parts = listed.split(';').map(str::trim);
            parts.next() == Some("gzip")
                && parts
                    .filter_map(|part| part.strip_prefix("q="))
                    .all(|weight| weight.parse().is_ok_and(|weight: f32| weight > 0.0))
        };
        // `no-cache` lets the browser keep files, but ask for each whether it has changed: a newer program has other ones.
        let common = [
            (header::ETAG, self.tag.as_str()),
            (header::CACHE_CONTROL, "no-cache"),
            (header::VARY, "accept-encoding"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CONTENT_TYPE, self.content_type.as_str()),
        ];
        if listed(header::IF_NONE_MATCH, &known) {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        match &self.compressed {
            Some(short) if listed(header::ACCEPT_ENCODING, &takes_gzip) => {
                (common, [(header::CONTENT_ENCODING, "gzip")], short.clone()).into_response()
            }
            _ => (common, self.content.clone()).into_response(),
        }
    }
}

fn compressed(content: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// The routes of all files.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.iter().fold(Router::new(), |routes, (path, asset)| {
        routes.route(path, get(async move |headers: HeaderMap| asset.answer(&headers)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asset(path: &str) -> &'static Asset {
        let (_, asset) = ASSETS.iter().find(|(known, _)| known == path).unwrap();
        asset
    }

    fn has(path: &str) -> bool {
        ASSETS.iter().any(|(known, _)| known == path)
    }

    fn text(path: &str) -> &'static str {
        std::str::from_utf8(&asset(path).content).unwrap()
    }

    #[test]
    fn types_are_those_that_browsers_want() {
        for (path, content_type) in [
            ("/", "text/html; charset=utf-8"),
            ("/dashboard/icon.svg", "image/svg+xml"),
            ("/dashboard/style.css", "text/css"),
            ("/dashboard/main.js", "text/javascript"),
            ("/dashboard/vendor/uPlot.esm.js", "text/javascript"),
        ] {
            assert_eq!(asset(path).content_type, content_type, "{path}");
        }
        let others = ["README.md", "package.json", "vendor/uPlot.LICENSE"];
        assert!(others.iter().all(|name| !has(&format!("/dashboard/{name}"))));
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
        for (path, asset) in ASSETS.iter() {
            if asset.content_type != "text/javascript" || path.contains("/vendor/") {
                continue;
            }
            let lines = text(path).lines();
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
        let asset = asset("/");
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
