//! The requests of a connection in progress, and the time that their answers take.

#![expect(
    clippy::disallowed_methods,
    reason = "answers and idle connections are limited by time"
)]

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

/// The requests of a connection in progress: one at a time in HTTP/1.1, several in HTTP/2. They are only looked at when an answer could have
/// taken too long, so that an answer costs no timer. Clones share one state.
#[derive(Debug, Clone)]
pub(crate) struct InProgress(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    requests: usize,
    /// When there was last one, or the connection's beginning.
    idle_since: Instant,
    /// The number that the next request gets.
    next: u64,
    /// The answers that are being sent, by their requests' numbers, the one that began first before the others.
    answers: VecDeque<(u64, Instant)>,
}

/// A request in progress, until it is dropped: when its answer was taken in, or given up.
#[derive(Debug)]
pub(crate) struct Request {
    number: u64,
    of: InProgress,
}

impl InProgress {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            requests: 0,
            idle_since: Instant::now(),
            next: 0,
            answers: VecDeque::new(),
        })))
    }

    /// Notes that a request is in progress.
    pub(crate) fn begin(&self) -> Request {
        let mut state = self.lock();
        state.requests += 1;
        state.next += 1;
        Request {
            number: state.next,
            of: self.clone(),
        }
    }

    /// Returns when an answer takes longer than `limit`.
    pub(crate) async fn take_longer_than(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let begun = self.lock().answers.front().map_or(now, |&(_, begun)| begun);
            if now >= begun + limit {
                return;
            }
            tokio::time::sleep_until(begun + limit).await;
        }
    }

    /// Returns when there was no request for longer than `limit` from now on.
    pub(crate) async fn rest_for(&self, limit: Duration) {
        let begun = Instant::now();
        loop {
            let now = Instant::now();
            let since = {
                let state = self.lock();
                if state.requests > 0 {
                    now
                } else {
                    begun.max(state.idle_since)
                }
            };
            if now >= since + limit {
                return;
            }
            tokio::time::sleep_until(since + limit).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Request {
    /// Notes that `response` begins now, and wraps its body so that its end is noted, and no frame is longer than `frame_bytes_max`.
    pub(crate) fn answer(self, response: Response, frame_bytes_max: usize) -> Response<TimedBody> {
        self.of.lock().answers.push_back((self.number, Instant::now()));
        response.map(|inner| TimedBody {
            inner,
            frame_bytes_max,
            rest: Bytes::new(),
            _request: self,
        })
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut state = self.of.lock();
        state.requests -= 1;
        state.idle_since = Instant::now();
        if let Some(at) = state
            .answers
            .iter()
            .position(|&(number, _)| number == self.number)
        {
            state.answers.remove(at);
        }
    }
}

/// A body whose end is noted when it is dropped. hyper drops it once it has all of it. Of what is left to send it holds no more than its
/// buffer in HTTP/1.1, and one frame in HTTP/2, however long that is.
pub(crate) struct TimedBody {
    inner: Body,
    frame_bytes_max: usize,
    /// What of a longer frame is still to come.
    rest: Bytes,
    _request: Request,
}

impl TimedBody {
    /// The next frame out of some bytes; the rest comes after it.
    fn next_of(&mut self, mut bytes: Bytes) -> Frame<Bytes> {
        if bytes.len() > self.frame_bytes_max {
            self.rest = bytes.split_off(self.frame_bytes_max);
        }
        Frame::data(bytes)
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(self.next_of(rest))));
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame.into_data() {
                Ok(bytes) => self.next_of(bytes),
                Err(frame) => frame,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.size_hint();
        let rest = self.rest.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn response() -> Response {
        Response::new(Body::from("answer"))
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_time() {
        let in_progress = InProgress::new();
        let mut cut_off = Box::pin(in_progress.take_longer_than(LIMIT));
        let mut lasts = async |duration| tokio::time::timeout(duration, &mut cut_off).await.is_err();
        assert!(lasts(10 * LIMIT).await, "no answer has begun");
        for _ in 0..3 {
            let answer = in_progress.begin().answer(response(), usize::MAX);
            assert!(lasts(LIMIT - Duration::from_millis(1)).await);
            drop(answer);
        }
        let slow = in_progress.begin().answer(response(), usize::MAX);
        assert!(lasts(LIMIT / 2).await);
        let quick = in_progress.begin().answer(response(), usize::MAX);
        assert!(!lasts(LIMIT / 2 + Duration::from_millis(1)).await, "the slow one");
        drop((slow, quick));
        assert!(in_progress.lock().answers.is_empty());
    }

    #[tokio::test]
    async fn frames_are_no_longer_than_they_may_be() {
        let in_progress = InProgress::new();
        let mut body = in_progress.begin().answer(response(), 4).into_body();
        let mut frames = Vec::new();
        while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            frames.push(frame.unwrap().into_data().unwrap());
            let left: usize = 6 - frames.iter().map(Bytes::len).sum::<usize>();
            assert_eq!(body.size_hint().exact(), Some(left as u64));
            assert_eq!(body.is_end_stream(), left == 0);
        }
        assert_eq!(frames, ["answ", "er"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_rests_between_requests() {
        let in_progress = InProgress::new();
        let mut rested = Box::pin(in_progress.rest_for(LIMIT));
        let mut lasts = async |duration| tokio::time::timeout(duration, &mut rested).await.is_err();
        let (one, other) = (in_progress.begin(), in_progress.begin());
        assert!(lasts(10 * LIMIT).await, "two are in progress");
        drop(one);
        assert!(lasts(10 * LIMIT).await, "one is");
        drop(other.answer(response(), usize::MAX));
        assert!(lasts(LIMIT - Duration::from_millis(1)).await);
        assert!(!lasts(Duration::from_millis(2)).await);
    }
}
