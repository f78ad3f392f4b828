//! The time that a connection's present answer has taken.

#![expect(clippy::disallowed_methods, reason = "answers are limited by time")]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

/// The beginning of the answer that a connection is sending. It is only looked at when that answer could have taken too long, so that an
/// answer costs no timer.
#[derive(Debug, Clone)]
pub(crate) struct AnswerClock {
    created: Instant,
    /// Microseconds from `created` to the answer's beginning, or [`NONE`] between two answers.
    begun: Arc<AtomicU64>,
}

/// The value of [`AnswerClock::begun`] between two answers.
const NONE: u64 = u64::MAX;

impl AnswerClock {
    pub(crate) fn new() -> Self {
        Self {
            created: Instant::now(),
            begun: Arc::new(AtomicU64::new(NONE)),
        }
    }

    /// Notes that `response` begins now, and wraps its body so that its end is noted.
    pub(crate) fn time(&self, response: Response) -> Response<TimedBody> {
        self.begin();
        let clock = self.clone();
        response.map(|inner| TimedBody { inner, clock })
    }

    /// Returns when an answer takes longer than `limit`.
    pub(crate) async fn takes_longer_than(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let begun = match self.begun.load(Ordering::Relaxed) {
                NONE => now,
                us => self.created + Duration::from_micros(us),
            };
            if now >= begun + limit {
                return;
            }
            tokio::time::sleep_until(begun + limit).await;
        }
    }

    fn begin(&self) {
        let us = u64::try_from(self.created.elapsed().as_micros()).unwrap_or(NONE);
        self.begun.store(us, Ordering::Relaxed);
    }

    fn end(&self) {
        self.begun.store(NONE, Ordering::Relaxed);
    }
}

/// A body whose end is noted when it is dropped. hyper drops it once it has all of it, and holds no more than its buffer of what is left
/// to send.
pub(crate) struct TimedBody {
    inner: Body,
    clock: AnswerClock,
}

impl Drop for TimedBody {
    fn drop(&mut self) {
        self.clock.end();
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_time() {
        let clock = AnswerClock::new();
        let mut cut_off = Box::pin(clock.takes_longer_than(LIMIT));
        let mut lasts = async |duration| tokio::time::timeout(duration, &mut cut_off).await.is_err();
        assert!(lasts(10 * LIMIT).await, "no answer has begun");
        for _ in 0..3 {
            clock.begin();
            assert!(lasts(LIMIT - Duration::from_millis(1)).await);
            clock.end();
        }
        let response = clock.time(Response::new(Body::from("answer")));
        assert!(!lasts(LIMIT + Duration::from_millis(1)).await);
        drop(response);
        assert_eq!(clock.begun.load(Ordering::Relaxed), NONE);
    }
}
