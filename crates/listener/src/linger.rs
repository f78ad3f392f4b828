//! The lingering close of a connection whose client may still be sending.

#![expect(
    clippy::disallowed_methods,
    reason = "what is left of a body is limited by time"
)]

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
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
const BUFFER_BYTES: u32 = 64 << 10;

/// How long a connection rests for each [`BUFFER_BYTES`] that it has taken in, times the number of those that do the same: all of them
/// together take in 64 MiB/s, and leave the processors to those that are still served.
const REST: Duration = Duration::from_millis(1);

/// Bytes that each may take in within [`TIME_MAX`], however many linger: twice the longest body that a role takes.
const BYTES_MIN: u32 = 2 << 20;

/// The number of a server's connections that linger and have taken something in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lingerers(Arc<AtomicU32>);

/// A connection that is closed only once its client has finished, within limits: after an answer that did not wait for the whole
/// request, such as a refusal. The kernel resets a connection that is closed with bytes left to read, and the client then may never
/// see the answer. nginx calls the same `lingering_close`.
pub(crate) struct Lingering<S> {
    inner: S,
    lingerers: Lingerers,
    /// The end, from the moment when everything is sent.
    end: Option<End>,
}

/// What is left for a client that goes on sending.
struct End {
    lingerers: Lingerers,
    /// Bytes that may still be taken in.
    bytes_left: u64,
    /// The end of the time for all of it.
    latest: Instant,
    /// Whether the connection rests, and does not wait for its client.
    is_resting: bool,
    /// The end of the rest, or of the client's present pause.
    until: Pin<Box<Sleep>>,
}

impl End {
    fn begin(lingerers: Lingerers) -> Self {
        let now = Instant::now();
        Self {
            lingerers,
            bytes_left: BYTES_MAX,
            latest: now + TIME_MAX,
            is_resting: false,
            until: Box::pin(sleep_until(now + PAUSE_MAX)),
        }
    }

    /// Takes note of bytes that came, and rests; false where it was enough.
    fn take_in(&mut self, bytes: usize) -> bool {
        if self.bytes_left == BYTES_MAX {
            self.lingerers.0.fetch_add(1, Ordering::Relaxed);
        }
        let taken = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.bytes_left = self.bytes_left.saturating_sub(u64::from(taken));
        self.is_resting = true;
        let others = REST * self.lingerers.0.load(Ordering::Relaxed) / BUFFER_BYTES;
        let rest = others.min(TIME_MAX / BYTES_MIN) * taken;
        self.until
            .as_mut()
            .reset((Instant::now() + rest).min(self.latest));
        self.bytes_left > 0
    }

    /// Waits for the end of a rest; false where the time for all is over.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.is_resting {
            ready!(self.until.as_mut().poll(context));
            self.is_resting = false;
            let now = Instant::now();
            self.until.as_mut().reset((now + PAUSE_MAX).min(self.latest));
            return Poll::Ready(now < self.latest);
        }
        Poll::Ready(true)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.bytes_left < BYTES_MAX {
            self.lingerers.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<S> Lingering<S> {
    pub(crate) fn new(inner: S, lingerers: Lingerers) -> Self {
        Self {
            inner,
            lingerers,
            end: None,
        }
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
        let lingerers = &this.lingerers;
        let end = this.end.get_or_insert_with(|| End::begin(lingerers.clone()));
        while ready!(end.poll_rest(context)) {
            let mut bytes = [const { MaybeUninit::uninit() }; BUFFER_BYTES as usize];
            let mut buffer = ReadBuf::uninit(&mut bytes);
            match Pin::new(&mut this.inner).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && end.take_in(buffer.filled().len()) => {}
                // The client has finished, or is gone, or has had its bytes.
                Poll::Ready(_) => break,
                Poll::Pending => {
                    ready!(end.until.as_mut().poll(context));
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn pair() -> (DuplexStream, Lingering<DuplexStream>) {
        let (client, server) = duplex(BUFFER_BYTES as usize);
        (client, Lingering::new(server, Lingerers::default()))
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
            client
                .write_all(&vec![b'x'; 16 * BUFFER_BYTES as usize])
                .await
                .unwrap();
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
        let sending =
            tokio::spawn(
                async move { while flood.write_all(&[b'x'; BUFFER_BYTES as usize]).await.is_ok() {} },
            );
        let begun = Instant::now();
        server.shutdown().await.unwrap();
        assert!(begun.elapsed() < PAUSE_MAX);
        assert_eq!(server.end.unwrap().bytes_left, 0);
        drop(server.inner);
        sending.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_more_linger_the_less_each_takes_in() {
        const CONNECTIONS: u32 = 100;
        let lingerers = Lingerers::default();
        let mut ends = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (mut flood, server) = duplex(BUFFER_BYTES as usize);
            let mut server = Lingering::new(server, lingerers.clone());
            tokio::spawn(
                async move { while flood.write_all(&[b'x'; BUFFER_BYTES as usize]).await.is_ok() {} },
            );
            ends.spawn(async move {
                server.shutdown().await.unwrap();
                BYTES_MAX - server.end.as_ref().unwrap().bytes_left
            });
        }
        let taken: u64 = ends.join_all().await.into_iter().sum();
        let most = TIME_MAX.div_duration_f64(REST) * f64::from(BUFFER_BYTES);
        assert!(
            (0.8..1.1).contains(&(f64::from(u32::try_from(taken).unwrap()) / most)),
            "{taken}"
        );
        assert_eq!(lingerers.0.load(Ordering::Relaxed), 0);
    }
}
