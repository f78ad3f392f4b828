//! Room for answers: the memory that all of them take at once is bounded.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{POINTS_MAX, POINTS_PER_NAME, SERIES_MAX};

/// A refusal, because all room is taken.
#[derive(Debug, thiserror::Error)]
#[error("too many large answers are being sent: try again, or use a larger step")]
pub(crate) struct Busy;

/// Reasons for which an answer is not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error("the answer could not be written")]
    Unwritable(#[source] serde_json::Error),
}

/// Bytes that a permit stands for: the sum of one point.
const BYTES_PER_PERMIT: usize = size_of::<u128>();

/// Points of all long answers being made or sent, four of the longest: 138 MB of sums.
const LONG_POINTS_HELD_MAX: usize = 4 * (POINTS_MAX + SERIES_MAX * POINTS_PER_NAME);

/// Points of a short answer: a month of a name by the minute, or a day of a dozen names with what functions make of them.
const SHORT_POINTS_MAX: usize = 60_000;

/// Points of all short answers in the room that long ones do not take: 48 MB of sums.
const SHORT_POINTS_HELD_MAX: usize = 50 * SHORT_POINTS_MAX;

/// Longest wait for room that others' functions have, which work for two seconds at most.
const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// Time from one look for room to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Bytes that are handed to the connection at once.
const PIECE_BYTES: usize = 64 * 1024;

/// The room for answers: a permit for each point that is held in memory, until it is sent. Long answers, whose clients may be slow,
/// leave the room of short ones alone. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    long: Arc<Semaphore>,
    short: Arc<Semaphore>,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self {
            long: Arc::new(Semaphore::new(LONG_POINTS_HELD_MAX)),
            short: Arc::new(Semaphore::new(SHORT_POINTS_HELD_MAX)),
        }
    }

    /// Room for the sums of so many points, until the permit is dropped. It is there or it is not: nobody waits for it, since a slow
    /// client may hold it for a minute.
    ///
    /// # Errors
    /// `Busy` where other answers have it.
    pub(crate) fn of_points(&self, points: usize) -> Result<OwnedSemaphorePermit, Busy> {
        let permits = u32::try_from(points).map_err(|_| Busy)?;
        let short = (points <= SHORT_POINTS_MAX).then_some(&self.short);
        let found = short.into_iter().chain([&self.long]).find_map(|room| {
            let permit = Arc::clone(room).try_acquire_many_owned(permits);
            permit.ok()
        });
        found.ok_or(Busy)
    }

    /// Room as [`Self::of_points`], waiting for a moment: for what is given back as soon as it is worked on, whatever a client does.
    ///
    /// # Errors
    /// `Busy` where others have it for longer.
    pub(crate) async fn of_points_soon(&self, points: usize) -> Result<OwnedSemaphorePermit, Busy> {
        // Not in the semaphore's queue, where who wants much keeps what is free from all others.
        let found = async {
            loop {
                match self.of_points(points) {
                    Ok(permit) => break permit,
                    Err(Busy) => tokio::time::sleep(LOOK_AGAIN).await,
                }
            }
        };
        tokio::time::timeout(WAIT_LIMIT, found).await.map_err(|_| Busy)
    }
}

/// What is left of `room` where the rest of an answer takes no more than so many points.
pub(crate) fn shrunk(mut room: OwnedSemaphorePermit, points: usize) -> OwnedSemaphorePermit {
    room.split(points.min(room.num_permits())).unwrap_or(room)
}

/// An answer in JSON, which takes room for its text until it is sent.
///
/// # Errors
/// `Unwritable` for what is no JSON, `Busy` where there is no room.
pub(crate) fn json(room: &Room, answer: &impl Serialize) -> Result<Response, Error> {
    let text = serde_json::to_vec(answer).map_err(Error::Unwritable)?;
    held(room, text, "application/json")
}

/// An answer of a text that is made already, which takes room until it is sent.
///
/// # Errors
/// `Busy` where there is no room.
pub(crate) fn held(room: &Room, text: Vec<u8>, content_type: &'static str) -> Result<Response, Error> {
    let permit = room.of_points(text.len().div_ceil(BYTES_PER_PERMIT))?;
    // In pieces, so that the permit is held until the client has taken nearly all.
    let length = text.len();
    let mut left = Bytes::from(text);
    let pieces = std::iter::from_fn(move || {
        let _held_with_them = &permit;
        (!left.is_empty()).then(|| Ok::<_, Infallible>(left.split_to(left.len().min(PIECE_BYTES))))
    });
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    let mut response = ([(header::CONTENT_TYPE, content_type)], body).into_response();
    // Known, unlike that of a stream: so that what is short is not compressed.
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length.into());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn room_is_waited_for_up_to_a_limit() {
        let room = Room::new();
        let all = room.of_points(LONG_POINTS_HELD_MAX).unwrap();
        let wanted = SHORT_POINTS_MAX + 1;
        assert!(matches!(room.of_points_soon(wanted).await, Err(Busy)));
        let (waited, ()) = tokio::join!(room.of_points_soon(wanted), async {
            tokio::task::yield_now().await;
            drop(shrunk(all, LONG_POINTS_HELD_MAX - wanted));
        });
        let waited = waited.unwrap();
        assert_eq!(waited.num_permits(), wanted);
        assert_eq!(shrunk(waited, wanted + 1).num_permits(), wanted);
    }

    #[test]
    fn long_answers_leave_room_for_short_ones() {
        let room = Room::new();
        let longest = LONG_POINTS_HELD_MAX / 4;
        let long: Vec<_> = (0..4).map(|_| room.of_points(longest).unwrap()).collect();
        assert!(matches!(room.of_points(SHORT_POINTS_MAX + 1), Err(Busy)));
        let short: Vec<_> = (0..50)
            .map(|_| room.of_points(SHORT_POINTS_MAX).unwrap())
            .collect();
        assert!(matches!(room.of_points(1), Err(Busy)));
        drop(long);
        assert!(room.of_points(1).is_ok(), "it goes where there is room");
        drop(short);
    }
}
