//! Room for answers: what is held for all of them at once is bounded.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refusal::Refusal;

/// A permit of the room is for the sum of one point.
const BYTES_PER_PERMIT: usize = size_of::<u128>();

/// What is handed to the connection at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Room for the sums of so many points, until it is dropped.
pub(crate) fn of_points(room: &Arc<Semaphore>, points: usize) -> Result<OwnedSemaphorePermit, Refusal> {
    let permits = u32::try_from(points).map_err(|_| Refusal::Busy)?;
    Arc::clone(room)
        .try_acquire_many_owned(permits)
        .map_err(|_| Refusal::Busy)
}

/// An answer in JSON, which takes its bytes of `room` until it is sent.
pub(crate) fn json(room: &Arc<Semaphore>, answer: &impl Serialize) -> Result<Response, Refusal> {
    let text = serde_json::to_vec(answer).map_err(Refusal::Unwritable)?;
    held(room, text, "application/json")
}

pub(crate) fn held(
    room: &Arc<Semaphore>,
    text: Vec<u8>,
    content_type: &'static str,
) -> Result<Response, Refusal> {
    let permit = of_points(room, text.len().div_ceil(BYTES_PER_PERMIT))?;
    // In pieces, so that the permit is held until the client has taken nearly all.
    let mut left = Bytes::from(text);
    let pieces = std::iter::from_fn(move || {
        let _held_with_them = &permit;
        (!left.is_empty()).then(|| Ok::<_, Infallible>(left.split_to(left.len().min(PIECE_BYTES))))
    });
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}
