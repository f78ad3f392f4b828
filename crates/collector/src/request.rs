//! The headers of a request that say how its body is to be read, and under which idempotency key.

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, TRANSFER_ENCODING};

/// Most bytes of an `Idempotency-Key`.
const KEY_BYTES_MAX: usize = 255;

/// Most characters of a content type that an error repeats.
const TYPE_CHARS_SHOWN: usize = 60;

/// The format of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One piece of JSON: an event, an array of them, or `{"events":[…]}`.
    Json,
    /// One event per line.
    Ndjson,
}

/// The compression of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Why a request is refused by its headers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error(
        "Content-Type {0}: send application/json for an event, an array of events or {{\"events\":[…]}}, \
         application/x-ndjson for a line each"
    )]
    ContentType(String),
    #[error("Transfer-Encoding must be chunked, if given")]
    TransferEncoding,
    #[error("Content-Encoding must be gzip, zstd or identity")]
    ContentEncoding,
    #[error("Idempotency-Key must be given once, with 1 to {KEY_BYTES_MAX} visible ASCII characters")]
    Key,
}

/// The head of a request, as far as it matters to the body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RequestHead {
    pub(crate) format: Format,
    pub(crate) encoding: Encoding,
    /// The `Idempotency-Key`, which makes a repetition safe.
    pub(crate) key: Option<Vec<u8>>,
}

impl RequestHead {
    /// Reads the headers.
    ///
    /// # Errors
    /// The first header that is none that the collector takes.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, HeaderError> {
        let transfer = headers.get_all(TRANSFER_ENCODING);
        if !transfer
            .iter()
            .all(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"))
        {
            return Err(HeaderError::TransferEncoding);
        }
        Ok(Self {
            format: format(headers)?,
            encoding: encoding(headers)?,
            key: key(headers)?,
        })
    }
}

fn format(headers: &HeaderMap) -> Result<Format, HeaderError> {
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/json" | "text/plain" => Ok(Format::Json),
        "application/x-ndjson" => Ok(Format::Ndjson),
        "" => Err(HeaderError::ContentType("is missing".to_owned())),
        "application/x-www-form-urlencoded" => Err(HeaderError::ContentType(
            "is that of a form, which is what curl -d says by itself".to_owned(),
        )),
        _ => {
            let given: String = essence.chars().take(TYPE_CHARS_SHOWN).collect();
            Err(HeaderError::ContentType(format!("is {given}")))
        }
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, HeaderError> {
    let mut given = headers.get_all(CONTENT_ENCODING).iter();
    let encoding = match given
        .next()
        .map(|value| value.as_bytes().to_ascii_lowercase())
        .as_deref()
    {
        None | Some(b"identity") => Encoding::Identity,
        Some(b"gzip" | b"x-gzip") => Encoding::Gzip,
        Some(b"zstd") => Encoding::Zstd,
        Some(_) => return Err(HeaderError::ContentEncoding),
    };
    if given.next().is_some() {
        Err(HeaderError::ContentEncoding)
    } else {
        Ok(encoding)
    }
}

fn key(headers: &HeaderMap) -> Result<Option<Vec<u8>>, HeaderError> {
    let mut given = headers.get_all("idempotency-key").iter();
    let Some(key) = given.next() else { return Ok(None) };
    let bytes = key.as_bytes();
    let fine = (1..=KEY_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    if fine && given.next().is_none() {
        Ok(Some(bytes.to_vec()))
    } else {
        Err(HeaderError::Key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request_head(headers: &[(&'static str, &str)]) -> Result<RequestHead, HeaderError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        RequestHead::of(&map)
    }

    #[test]
    fn content_types_and_encodings() {
        let of = |content_type| request_head(&[("content-type", content_type)]).map(|m| m.format);
        assert_eq!(of("Application/JSON; charset=utf-8"), Ok(Format::Json));
        assert_eq!(of("text/plain;charset=UTF-8"), Ok(Format::Json));
        assert_eq!(of("application/x-ndjson"), Ok(Format::Ndjson));
        for (given, reason) in [
            (
                "application/x-www-form-urlencoded",
                "what curl -d says by itself: send application/json",
            ),
            ("Application/NDJSON", "Content-Type is Application/NDJSON: send"),
            ("", "Content-Type is missing: send"),
        ] {
            let refusal = of(given).unwrap_err().to_string();
            assert!(
                refusal.contains(reason) && refusal.contains("application/x-ndjson"),
                "{refusal}"
            );
        }
        assert!(matches!(request_head(&[]), Err(HeaderError::ContentType(_))));
        let json = ("content-type", "application/json");
        assert_eq!(
            request_head(&[json, ("content-encoding", "zstd")])
                .unwrap()
                .encoding,
            Encoding::Zstd
        );
        assert_eq!(
            request_head(&[json, ("content-encoding", "br")]),
            Err(HeaderError::ContentEncoding)
        );
    }

    #[test]
    fn keys_are_visible_ascii() {
        let of = |keys: &[&str]| {
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(keys.iter().map(|key| ("idempotency-key", *key)));
            request_head(&headers).map(|m| m.key)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["order-1~!"]), Ok(Some(b"order-1~!".to_vec())));
        assert_eq!(of(&[""]), Err(HeaderError::Key));
        assert_eq!(of(&["a b"]), Err(HeaderError::Key));
        assert_eq!(of(&[&"k".repeat(256)]), Err(HeaderError::Key));
        assert_eq!(of(&["a", "a"]), Err(HeaderError::Key));
    }
}
