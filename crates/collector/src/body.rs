//! The body of a request: received and unpacked within limits of size, time and memory.

#![expect(
    clippy::disallowed_methods,
    reason = "what a client sends, and its turns, are limited by time"
)]

use std::borrow::Cow;
use std::io::Read;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use gate::{ClientKey, Held, Place, Places, Pool};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout, timeout_at};

use crate::limits::{UNPACKED_BYTES_MAX, WIRE_BYTES_MAX};
use crate::request::Encoding;

/// Most bytes of all bodies being received at once, of which one client alone has half; 503 above it.
pub(crate) const IN_FLIGHT_BYTES_MAX: usize = 24 << 20;

/// Bytes of one turn: tens of microseconds.
const BYTES_PER_TURN: usize = 64 << 10;

/// Longest wait of a body for its turns, all together.
const TURNS_WAIT_MAX: Duration = Duration::from_secs(10);

/// How much longer bytes take to read than to take in, about.
const READ_COST: usize = 10;

/// Most bytes of a body that takes less time to take in, and, not compressed, to read, than a turn or another thread costs.
pub(crate) const SHORT_BYTES_MAX: usize = 16 << 10;

/// zstd frames that need a larger window than 2^23 bytes are refused: the window is held in memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Why a body was not received.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    #[error("body is longer than {WIRE_BYTES_MAX} bytes")]
    TooLong,
    #[error("body did not arrive within {} ms", .0.as_millis())]
    TooSlow(Duration),
    #[error("too many bodies are being received")]
    NoRoom,
    #[error("too many long bodies wait for their turn")]
    NoTurn,
    #[error("body ended early")]
    Broken(#[source] axum::Error),
}

/// Why a body was not unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    #[error("body is longer than {UNPACKED_BYTES_MAX} bytes once unpacked")]
    TooLong,
    #[error("body is not what Content-Encoding says, or is cut off")]
    Broken(#[source] std::io::Error),
}

/// What bodies share that are being received: the memory, of which each takes a part for its length and each client a share, and the turns
/// for taking in what has come, without which a hundred long bodies would all go before a short one.
#[derive(Debug, Clone)]
pub(crate) struct Bodies {
    memory: Pool,
    turns: Places,
}

/// A whole body, and its part of the memory of [`Bodies`], which is free again when this is dropped.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _held: Held,
}

impl Bodies {
    /// `turns` are for the bytes of long bodies that have come, which are copied on the threads that serve all connections.
    pub(crate) fn new(is_fair: bool, turns: Places) -> Self {
        Self {
            memory: Pool::new(IN_FLIGHT_BYTES_MAX, is_fair),
            turns,
        }
    }

    /// Receives a whole body of a client of so much weight, which has `limit` to send it. Waits for turns are the collector's.
    ///
    /// # Errors
    /// The body is too long, too slow or cut off, or there is no memory or no turn for it; what came of it is dropped.
    pub(crate) async fn receive(
        &self,
        (client, weight): (&ClientKey, u32),
        mut body: Body,
        limit: Duration,
    ) -> Result<Received, ReceiveError> {
        // Room for what is announced: memory pages that are never written cost nothing.
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        let mut bytes = BytesMut::with_capacity(announced.min(WIRE_BYTES_MAX));
        let mut held = self
            .memory
            .take(client, weight, 0)
            .map_err(|_| ReceiveError::NoRoom)?;
        let (mut turn, mut left_of_turn) = (None::<Place>, SHORT_BYTES_MAX);
        let (mut latest, mut waited) = (Instant::now() + limit, Duration::ZERO);
        loop {
            let frame = match body.frame().now_or_never() {
                Some(frame) => frame,
                None => {
                    // Nobody waits for a client that sends slowly.
                    if turn.take().is_some() {
                        left_of_turn = 0;
                    }
                    let frame = timeout_at(latest, body.frame()).await;
                    frame.map_err(|_| ReceiveError::TooSlow(limit))?
                }
            };
            let Some(frame) = frame else { break };
            let Ok(data) = frame.map_err(ReceiveError::Broken)?.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > WIRE_BYTES_MAX {
                return Err(ReceiveError::TooLong);
            }
            // Memory is taken for bytes that have come, not for those announced: clients that only announce keep nobody out.
            held.grow(weight, data.len()).map_err(|_| ReceiveError::NoRoom)?;
            if left_of_turn == 0 {
                drop(turn.take());
                let since = Instant::now();
                // Requests that have come meanwhile are next, even where nobody waits for a turn.
                tokio::task::yield_now().await;
                let next = timeout(
                    TURNS_WAIT_MAX.saturating_sub(waited),
                    self.turns.take(client, weight, 1),
                )
                .await;
                turn = Some(next.ok().and_then(Result::ok).ok_or(ReceiveError::NoTurn)?);
                waited += since.elapsed();
                latest += since.elapsed();
                left_of_turn = BYTES_PER_TURN;
            }
            bytes.extend_from_slice(&data);
            left_of_turn = left_of_turn.saturating_sub(data.len());
        }
        Ok(Received {
            bytes: bytes.freeze(),
            _held: held,
        })
    }
}

/// How long it takes to read a body of so many bytes, in turns for taking in [`BYTES_PER_TURN`]. What is packed may become as long as may be.
pub(crate) fn turns_to_read(encoding: Encoding, bytes: usize) -> usize {
    let unpacked = match encoding {
        Encoding::Identity => bytes,
        Encoding::Gzip | Encoding::Zstd => UNPACKED_BYTES_MAX,
    };
    READ_COST * unpacked.div_ceil(BYTES_PER_TURN)
}

/// Undoes `encoding`, never producing more than [`UNPACKED_BYTES_MAX`] and one byte.
///
/// # Errors
/// The body is too long once unpacked, or is not what `encoding` says.
pub(crate) fn unpack(encoding: Encoding, body: &[u8]) -> Result<Cow<'_, [u8]>, UnpackError> {
    match encoding {
        Encoding::Identity => Ok(Cow::Borrowed(body)),
        Encoding::Gzip => gunzip(body).map(Cow::Owned),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(UnpackError::Broken)?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(UnpackError::Broken)?;
            let mut unpacked = output_buffer();
            read_on(decoder, &mut unpacked)?;
            Ok(Cow::Owned(unpacked))
        }
    }
}

/// Unpacks one gzip member (RFC 1952) after the other. Zeros behind the last are skipped, as gzip(1) does: tapes and block devices fill
/// up with zeros.
fn gunzip(mut packed: &[u8]) -> Result<Vec<u8>, UnpackError> {
    let mut unpacked = output_buffer();
    loop {
        let mut member = flate2::bufread::GzDecoder::new(packed);
        read_on(&mut member, &mut unpacked)?;
        packed = member.into_inner();
        if packed.iter().all(|&b| b == 0) {
            return Ok(unpacked);
        }
    }
}

/// A buffer for the largest body, taken at once: growing by doubling would hold up to three times as much, and memory pages that are
/// never written cost nothing.
fn output_buffer() -> Vec<u8> {
    Vec::with_capacity(UNPACKED_BYTES_MAX + 1)
}

/// Appends what `decoder` gives. One byte more than allowed is read, to tell a body that is too long from one that just fits.
fn read_on(decoder: impl Read, unpacked: &mut Vec<u8>) -> Result<(), UnpackError> {
    let left = UNPACKED_BYTES_MAX - unpacked.len();
    let limit = left as u64 + 1;
    let read = decoder
        .take(limit)
        .read_to_end(unpacked)
        .map_err(UnpackError::Broken)?;
    if read > left {
        Err(UnpackError::TooLong)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::io::Write;

    use futures_util::{StreamExt, stream};
    use gate::PlaceLimits;

    const LIMIT: Duration = Duration::from_secs(1);

    fn client(host: u8) -> ClientKey {
        ClientKey::of_address([192, 0, 2, host].into())
    }

    fn bodies() -> Bodies {
        let turns = PlaceLimits {
            at_once_max: 2,
            beside_short_max: 1,
            waiting_max: 4,
            wait_max: LIMIT,
        };
        Bodies::new(true, Places::new(turns, true))
    }

    /// A body that comes in pieces, and then ends.
    fn in_pieces(lengths: &[usize]) -> Body {
        let pieces: Vec<_> = lengths
            .iter()
            .map(|n| Ok::<_, Infallible>(vec![b' '; *n]))
            .collect();
        Body::from_stream(stream::iter(pieces))
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_are_received_up_to_their_limits() {
        let (bodies, client) = (bodies(), client(1));
        let receive = async |body| bodies.receive((&client, 1), body, LIMIT).await;
        assert_eq!(receive(Body::from("hello")).await.unwrap().bytes, "hello");
        let longest = receive(in_pieces(&[WIRE_BYTES_MAX - 3, 3])).await;
        assert_eq!(longest.unwrap().bytes.len(), WIRE_BYTES_MAX);
        let too_long = receive(in_pieces(&[WIRE_BYTES_MAX, 1])).await;
        assert!(matches!(too_long, Err(ReceiveError::TooLong)));
        let unfinished = stream::iter([Ok::<_, Infallible>("hello")]).chain(stream::pending());
        let too_slow = receive(Body::from_stream(unfinished)).await;
        assert!(matches!(too_slow, Err(ReceiveError::TooSlow(LIMIT))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_for_a_turn_is_not_the_clients() {
        let bodies = bodies();
        let (flood, polite) = (client(1), client(2));
        let receive = async |lengths: &[usize]| {
            let received = bodies.receive((&polite, 1), in_pieces(lengths), LIMIT / 10).await;
            received.map(|received| received.bytes.len())
        };
        let taken = [
            bodies.turns.take(&flood, 1, 1).await.unwrap(),
            bodies.turns.take(&flood, 1, 1).await.unwrap(),
        ];
        assert_eq!(receive(&[SHORT_BYTES_MAX]).await.unwrap(), SHORT_BYTES_MAX);
        let long = [SHORT_BYTES_MAX, BYTES_PER_TURN, 1];
        assert!(matches!(receive(&long).await, Err(ReceiveError::NoTurn)));
        let (received, ()) = tokio::join!(receive(&long), async {
            tokio::time::sleep(LIMIT / 2).await;
            drop(taken);
        });
        assert_eq!(received.unwrap(), long.iter().sum::<usize>());
    }

    #[tokio::test]
    async fn memory_that_bodies_hold_is_finite_and_comes_back() {
        let bodies = bodies();
        let (flood, polite) = (client(1), client(2));
        let full = async |client| {
            bodies
                .receive((client, 1), in_pieces(&[WIRE_BYTES_MAX]), LIMIT)
                .await
        };
        let mut held = Vec::new();
        for _ in 0..IN_FLIGHT_BYTES_MAX / WIRE_BYTES_MAX / 2 {
            held.push(full(&flood).await.unwrap());
        }
        assert!(matches!(full(&flood).await, Err(ReceiveError::NoRoom)));
        assert!(
            full(&polite).await.is_ok(),
            "one that floods takes its share, not all"
        );
        held.pop();
        assert!(full(&flood).await.is_ok());
    }

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
    fn members_in_a_row_and_zeros_behind_are_what_gzip_takes() {
        let mut packed = gzip(b"hello ");
        packed.extend(gzip(b"world"));
        packed.extend([0; 512]);
        assert_eq!(&*unpack(Encoding::Gzip, &packed).unwrap(), b"hello world");
        packed.push(7);
        assert!(matches!(
            unpack(Encoding::Gzip, &packed),
            Err(UnpackError::Broken(_))
        ));
        let half = gzip(&vec![0; UNPACKED_BYTES_MAX / 2 + 1]);
        let both = [half.clone(), half].concat();
        assert!(matches!(unpack(Encoding::Gzip, &both), Err(UnpackError::TooLong)));
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
