//! A request's body: received and unpacked within limits of size, time and memory.

use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::request::Encoding;

/// Most bytes of a body as received.
pub(crate) const WIRE_BYTES_MAX: usize = 1 << 20;

/// Most bytes of a body once unpacked.
pub(crate) const UNPACKED_BYTES_MAX: usize = 8 << 20;

/// Bytes of all bodies being received at once; 503 above it.
const IN_FLIGHT_BYTES_MAX: usize = 12 << 20;

/// zstd frames that need a larger window than 2^23 bytes are refused: the window is held in memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    #[error("body is longer than {WIRE_BYTES_MAX} bytes")]
    TooLong,
    #[error("body did not arrive within {} ms", .0.as_millis())]
    TooSlow(Duration),
    #[error("too many bodies are being received")]
    NoRoom,
    #[error("body ended early")]
    Broken(#[source] axum::Error),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    #[error("body is longer than {UNPACKED_BYTES_MAX} bytes once unpacked")]
    TooLong,
    #[error("body is not what Content-Encoding says, or is cut off")]
    Broken(#[source] std::io::Error),
}

/// Memory for bodies in flight.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Semaphore>);

/// A whole body, and the memory that it takes.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX)))
    }

    pub(crate) async fn receive(&self, body: Body, limit: Duration) -> Result<Received, ReceiveError> {
        let received = tokio::time::timeout(limit, self.frames(body)).await;
        received.unwrap_or(Err(ReceiveError::TooSlow(limit)))
    }

    async fn frames(&self, mut body: Body) -> Result<Received, ReceiveError> {
        let mut bytes = BytesMut::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(ReceiveError::Broken)?.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > WIRE_BYTES_MAX {
                return Err(ReceiveError::TooLong);
            }
            let length = u32::try_from(data.len()).map_err(|_| ReceiveError::TooLong)?;
            let more = self
                .0
                .clone()
                .try_acquire_many_owned(length)
                .map_err(|_| ReceiveError::NoRoom)?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Received {
            bytes: bytes.freeze(),
            _room: room,
        })
    }
}

/// Undoes `encoding`, never producing more than [`UNPACKED_BYTES_MAX`].
pub(crate) fn unpack(encoding: Encoding, body: &[u8]) -> Result<Cow<'_, [u8]>, UnpackError> {
    match encoding {
        Encoding::Identity => Ok(Cow::Borrowed(body)),
        Encoding::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(body)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(UnpackError::Broken)?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(UnpackError::Broken)?;
            read_bounded(decoder)
        }
    }
}

fn read_bounded(decoder: impl Read) -> Result<Cow<'static, [u8]>, UnpackError> {
    // All at once: growing by doubling would hold up to three times as much. Pages that are never written cost nothing.
    let mut unpacked = Vec::with_capacity(UNPACKED_BYTES_MAX + 1);
    let limit = UNPACKED_BYTES_MAX as u64 + 1;
    decoder
        .take(limit)
        .read_to_end(&mut unpacked)
        .map_err(UnpackError::Broken)?;
    if unpacked.len() > UNPACKED_BYTES_MAX {
        Err(UnpackError::TooLong)
    } else {
        Ok(Cow::Owned(unpacked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn packed_bodies_come_out_as_they_went_in() {
        assert_eq!(&*unpack(Encoding::Gzip, &gzip(b"hello")).unwrap(), b"hello");
        let packed = zstd::stream::encode_all(&b"hello"[..], 3).unwrap();
        assert_eq!(&*unpack(Encoding::Zstd, &packed).unwrap(), b"hello");
        assert_eq!(&*unpack(Encoding::Identity, b"hello").unwrap(), b"hello");
    }

    #[test]
    fn torn_and_swollen_bodies_are_refused() {
        let packed = gzip(&b"hello ".repeat(1000));
        let torn = unpack(Encoding::Gzip, &packed[..packed.len() - 9]);
        assert!(matches!(torn, Err(UnpackError::Broken(_))));
        assert!(matches!(
            unpack(Encoding::Zstd, b"hello"),
            Err(UnpackError::Broken(_))
        ));
        let packed = zstd::stream::encode_all(&b"hello"[..], 3).unwrap();
        assert!(matches!(
            unpack(Encoding::Zstd, &packed[..packed.len() - 2]),
            Err(UnpackError::Broken(_))
        ));
        let bomb = vec![0; UNPACKED_BYTES_MAX + 1];
        assert!(matches!(
            unpack(Encoding::Gzip, &gzip(&bomb)),
            Err(UnpackError::TooLong)
        ));
        let bomb = zstd::stream::encode_all(&bomb[..], 3).unwrap();
        assert!(matches!(unpack(Encoding::Zstd, &bomb), Err(UnpackError::TooLong)));
        assert!(unpack(Encoding::Gzip, &gzip(&vec![0; UNPACKED_BYTES_MAX])).is_ok());
    }
}
