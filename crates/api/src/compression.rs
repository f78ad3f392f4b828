//! Compressed answers, for clients that ask for them. Series are mostly digits and brackets, of which a sixth is left.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use tokio::sync::Semaphore;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate, SizeAbove};

/// Bytes of an answer below which nothing is won: it fits into two packets either way.
const BYTES_MIN: u16 = 2_048;

/// Requests at once whose answers are compressed. Each takes up to a megabyte until its client has all of it; what is more is sent as it is.
const AT_ONCE_MAX: usize = 64;

/// The layer that compresses: by zstd or gzip, whichever the client prefers, and quickly rather than well, since the client waits.
pub(crate) fn layer() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(DefaultPredicate::new().and(SizeAbove::new(BYTES_MIN)))
}

/// Places for answers that are compressed.
#[derive(Clone)]
pub(crate) struct Places(Arc<Semaphore>);

impl Places {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE_MAX)))
    }
}

/// Lets an answer be compressed if there is a place for it, which it keeps until it is sent. To be called outside of [`layer`].
pub(crate) async fn limited(State(places): State<Places>, mut request: Request, next: Next) -> Response {
    if !request.headers().contains_key(ACCEPT_ENCODING) {
        return next.run(request).await;
    }
    let Ok(place) = Arc::clone(&places.0).try_acquire_owned() else {
        metrics::counter!("api_answers_not_compressed_total").increment(1);
        request.headers_mut().remove(ACCEPT_ENCODING);
        return next.run(request).await;
    };
    let response = next.run(request).await;
    if !response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    response.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |piece| {
            let _kept_until_the_end = &place;
            piece
        }))
    })
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::{StatusCode, Uri};
    use axum::middleware::from_fn_with_state;
    use tower::ServiceExt;

    use super::*;

    /// The encoding of an answer of so many bytes, and the places that are left before it is sent.
    async fn encoding(places: &Places, path: &str, accepted: &str) -> (Option<String>, usize) {
        let routes = Router::new()
            .fallback(async |uri: Uri| "1234,".repeat(if uri.path() == "/long" { 10_000 } else { 10 }))
            .layer(layer())
            .layer(from_fn_with_state(places.clone(), limited));
        let request = Request::get(path)
            .header(ACCEPT_ENCODING, accepted)
            .body(Body::empty())
            .unwrap();
        let response = routes.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let encoding = response.headers().get(CONTENT_ENCODING);
        let encoding = encoding.map(|encoding| encoding.to_str().unwrap().to_owned());
        (encoding, places.0.available_permits())
    }

    #[tokio::test]
    async fn clients_get_what_they_ask_for_while_there_are_places() {
        let places = Places::new();
        for (path, accepted, expected) in [
            ("/long", "gzip", Some("gzip")),
            ("/long", "zstd", Some("zstd")),
            ("/long", "gzip;q=0.5, zstd;q=0.9", Some("zstd")),
            ("/long", "br, deflate", None),
            ("/long", "identity", None),
            ("/short", "gzip", None),
        ] {
            let left = AT_ONCE_MAX - usize::from(expected.is_some());
            let expected = (expected.map(str::to_owned), left);
            assert_eq!(
                encoding(&places, path, accepted).await,
                expected,
                "{path} {accepted}"
            );
            assert_eq!(places.0.available_permits(), AT_ONCE_MAX);
        }
        let all = places.0.acquire_many(u32::try_from(AT_ONCE_MAX).unwrap()).await;
        assert_eq!(encoding(&places, "/long", "gzip").await, (None, 0));
        drop(all);
    }
}
