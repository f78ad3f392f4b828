//! Memory for the bodies and forms of all requests together: backpressure before anything is parsed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Reasons for which a body is not read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// Other requests held the memory for longer than the wait.
    #[error("too many large requests are being read: try again, or ask for less in one request")]
    Crowded,
    #[error("body is longer than {bytes_max} bytes, or was cut off")]
    TooLong { bytes_max: usize },
}

/// Bytes of all forms and bodies that are held, and of what is parsed from them before a count is read: hundreds of large dashboards
/// at once.
const BYTES_MAX: usize = 64 << 20;

/// Longest wait for memory that others have.
const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// The memory for what requests send: a permit for each byte. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Intake(Arc<Semaphore>);

impl Intake {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(BYTES_MAX)))
    }

    /// Waits for memory for `bytes`, which are taken until the permit is dropped. More than there are is taken as all of them.
    ///
    /// # Errors
    /// `Crowded` where others have it for too long.
    pub(crate) async fn place(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let permits = u32::try_from(bytes.min(BYTES_MAX)).map_err(|_| Error::Crowded)?;
        let place = Arc::clone(&self.0).acquire_many_owned(permits);
        match tokio::time::timeout(WAIT_LIMIT, place).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Error::Crowded),
        }
    }

    /// Reads a body of at most `bytes_max` bytes, and returns it with its memory. That is taken piece by piece: a client that sends
    /// slowly holds no more than it has sent.
    ///
    /// # Errors
    /// `Crowded`; `TooLong` for a body that is longer than `bytes_max`, or was cut off.
    pub(crate) async fn read(
        &self,
        body: Body,
        bytes_max: usize,
    ) -> Result<(Bytes, OwnedSemaphorePermit), Error> {
        let mut place = self.place(0).await?;
        let mut read = Vec::new();
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            let data = piece.map_err(|_| Error::TooLong { bytes_max })?;
            // Before its memory is waited for: what is refused anyway must not take any from others.
            if read.len() + data.len() > bytes_max {
                return Err(Error::TooLong { bytes_max });
            }
            place.merge(self.place(data.len()).await?);
            read.extend_from_slice(&data);
        }
        Ok((Bytes::from(read), place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_read_takes_its_bytes_until_it_is_dropped() {
        let intake = Intake::new();
        let (body, place) = intake.read(Body::from("12345"), 5).await.unwrap();
        assert_eq!((&*body, place.num_permits()), (&b"12345"[..], 5));
        let all = intake.place(BYTES_MAX).await;
        assert!(matches!(all, Err(Error::Crowded)), "waited for and not had");
        drop(place);
        let all = intake.place(BYTES_MAX + 1).await.unwrap();
        let crowded = intake.read(Body::from("1"), 5).await;
        assert!(matches!(crowded, Err(Error::Crowded)));
        drop(all);
        let long = intake.read(Body::from("123456"), 5).await;
        assert!(matches!(long, Err(Error::TooLong { bytes_max: 5 })));
    }
}
