//! How long the answer has taken that a connection is sending.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::Instant;

/// When the answer began that a connection is sending; `None` between two answers.
pub(crate) type Begun = watch::Receiver<Option<Instant>>;

/// What [`time`] needs, and what it tells.
pub(crate) fn timed() -> (watch::Sender<Option<Instant>>, Begun) {
    watch::channel(None)
}

/// Notes when an answer begins, and when the last of its body was handed to the connection.
pub(crate) async fn time(
    State(begun): State<watch::Sender<Option<Instant>>>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    begun.send_replace(Some(Instant::now()));
    response.map(|inner| Body::new(Timed { inner, begun }))
}

/// Returns when an answer takes longer than `limit`.
pub(crate) async fn takes_longer_than(limit: Duration, mut begun: Begun) {
    loop {
        let at = *begun.borrow_and_update();
        let changed = match at {
            None => begun.changed().await,
            Some(at) => tokio::select! {
                () = tokio::time::sleep_until(at + limit) => return,
                changed = begun.changed() => changed,
            },
        };
        if changed.is_err() {
            // The connection has no routes any more, and ends by itself.
            return std::future::pending().await;
        }
    }
}

/// A body whose end is noted. hyper drops it once it has all of it, and holds no more than its buffer of what is left to send.
struct Timed {
    inner: Body,
    begun: watch::Sender<Option<Instant>>,
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.begun.send_replace(None);
    }
}

impl HttpBody for Timed {
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
        let (timed, begun) = timed();
        let mut cut_off = Box::pin(takes_longer_than(LIMIT, begun));
        let mut lasts = async |duration| tokio::time::timeout(duration, &mut cut_off).await.is_err();
        assert!(lasts(10 * LIMIT).await, "no answer has begun");
        for _ in 0..3 {
            timed.send_replace(Some(Instant::now()));
            assert!(lasts(LIMIT - Duration::from_millis(1)).await);
            timed.send_replace(None);
        }
        timed.send_replace(Some(Instant::now()));
        assert!(!lasts(LIMIT + Duration::from_millis(1)).await);
    }
}
