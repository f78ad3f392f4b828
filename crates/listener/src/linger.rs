//! The lingering close of a connection whose client may still be sending.

#![expect(
    clippy::disallowed_methods,
    reason = "what is left of a body is limited by time"
)]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Most bytes that are taken in and thrown away after the last answer.
const BYTES_MAX: u64 = 64 << 20;

/// Longest time from the last answer to the end, and longest pause of the client's in it.
const TIME_MAX: Duration = Duration::from_secs(15);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Bytes that are taken in at once.
const BUFFER_BYTES: usize = 16 << 10;

/// A connection that is closed only once its client has finished, within limits: after an answer that did not wait for the whole
/// request, such as a refusal. The kernel resets a connection that is closed with bytes left to read, and the client then may never
/// see the answer. nginx calls the same `lingering_close`.
pub(crate) struct Lingering<S> {
    inner: S,
    /// The limits of the end, from the moment when everything is sent.
    end: Option<LingerLimits>,
}

/// The limits that are left for a client that goes on sending.
struct LingerLimits {
    /// Bytes that may still be taken in.
    bytes_left: u64,
    /// The end of the time for all of it.
    latest: Instant,
    /// The end of the client's present pause.
    pause: Pin<Box<Sleep>>,
}

impl LingerLimits {
    fn begin() -> Self {
        let now = Instant::now();
        Self {
            bytes_left: BYTES_MAX,
            latest: now + TIME_MAX,
            pause: Box::pin(sleep_until(now + PAUSE_MAX)),
        }
    }
}

impl<S> Lingering<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, end: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    /// Closes the sending side first, so that the client knows that no more comes and may stop sending; then takes in what the client
    /// still sends, within limits.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.end.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(context))?;
        }
        let end = this.end.get_or_insert_with(LingerLimits::begin);
        let mut bytes = [0; BUFFER_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut this.inner).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let taken = u64::try_from(buffer.filled().len()).unwrap_or(u64::MAX);
                    end.bytes_left = end.bytes_left.saturating_sub(taken);
                    let now = Instant::now();
                    if end.bytes_left == 0 || now >= end.latest {
                        return Poll::Ready(Ok(()));
                    }
                    end.pause.as_mut().reset((now + PAUSE_MAX).min(end.latest));
                }
                // The client has finished, or is gone.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(end.pause.as_mut().poll(context));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn pair() -> (DuplexStream, Lingering<DuplexStream>) {
        let (client, server) = duplex(1 << 10);
        (client, Lingering::new(server))
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_client_still_sends_is_taken_in_and_it_sees_the_answer() {
        let (mut client, mut server) = pair();
        let answering = async {
            server.write_all(b"refused").await.unwrap();
            server.shutdown().await.unwrap();
        };
        let sending = async {
            // Far more than fits into the connection, and a pause.
            client.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
            tokio::time::sleep(PAUSE_MAX / 2).await;
            client.write_all(b"x").await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            drop(client);
            answer
        };
        assert_eq!(tokio::join!(answering, sending).1, "refused");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_without_end() {
        let (_silent, mut server) = pair();
        let begun = Instant::now();
        server.shutdown().await.unwrap();
        assert!((PAUSE_MAX..TIME_MAX).contains(&begun.elapsed()));

        let (mut endless, mut server) = pair();
        let sending = tokio::spawn(async move {
            while endless.write_all(b"x").await.is_ok() {
                tokio::time::sleep(PAUSE_MAX / 2).await;
            }
        });
        let begun = Instant::now();
        server.shutdown().await.unwrap();
        assert!((TIME_MAX..TIME_MAX + PAUSE_MAX).contains(&begun.elapsed()));
        drop(server);
        sending.await.unwrap();

        let (mut flood, mut server) = pair();
        let sending = tokio::spawn(async move { while flood.write_all(&[b'x'; 1 << 10]).await.is_ok() {} });
        server.shutdown().await.unwrap();
        assert_eq!(server.end.unwrap().bytes_left, 0);
        drop(server.inner);
        sending.await.unwrap();
    }
}
