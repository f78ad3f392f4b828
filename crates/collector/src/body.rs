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
use crate::readers::{UNPACKED_BYTES_PER_TURN, give_way};
use crate::request::Encoding;

/// Most bytes of all long bodies that are being received or wait to be read, and of all short ones, of which one client alone has half. Who
/// finds no room waits for it.
pub(crate) const LONG_BODIES_BYTES_MAX: usize = 20 << 20;
const SHORT_BODIES_BYTES_MAX: usize = 4 << 20;

/// Bytes for which there is room at first for a long body that does not announce its length.
const UNANNOUNCED_BYTES: usize = 128 << 10;

/// Bytes of one turn: tens of microseconds.
const BYTES_PER_TURN: usize = 64 << 10;

/// Longest wait of a body for room and for its turns, all together.
const WAIT_MAX: Duration = Duration::from_secs(10);

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
    #[error("the memory for bodies that are being received is used up")]
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
    short: Pool,
    long: Pool,
    turns: Places,
}

/// A whole body, and its part of the memory of [`Bodies`], which is free again when this is dropped.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _room: Held,
}

impl Bodies {
    /// `turns` are for the bytes of long bodies that have come, which are copied on the threads that serve all connections.
    pub(crate) fn new(is_fair: bool, turns: Places) -> Self {
        Self {
            short: Pool::new(SHORT_BODIES_BYTES_MAX, is_fair),
            long: Pool::new(LONG_BODIES_BYTES_MAX, is_fair),
            turns,
        }
    }

    /// Receives a whole body of a client of so much weight, which has `limit` to send it. Waits for room and for turns are the collector's.
    ///
    /// # Errors
    /// The body is too long, too slow or cut off, or there is no memory or no turn for it in time; what came of it is dropped.
    pub(crate) async fn receive(
        &self,
        (client, weight): (&ClientKey, u32),
        mut body: Body,
        limit: Duration,
    ) -> Result<Received, ReceiveError> {
        let most = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let announced = most(body.size_hint().lower());
        if announced > WIRE_BYTES_MAX {
            return Err(ReceiveError::TooLong);
        }
        let mut bytes = BytesMut::with_capacity(announced.min(SHORT_BYTES_MAX));
        let (mut is_short, mut room) = (true, self.short.none(client));
        let (mut turn, mut left_of_turn) = (None::<Place>, SHORT_BYTES_MAX);
        let mut time = Time::new(limit);
        loop {
            let frame = match body.frame().now_or_never() {
                Some(frame) => frame,
                None => {
                    // Nobody waits for a client that sends slowly.
                    if turn.take().is_some() {
                        left_of_turn = 0;
                    }
                    let frame = timeout_at(time.latest, body.frame()).await;
                    frame.map_err(|_| ReceiveError::TooSlow(limit))?
                }
            };
            let Some(frame) = frame else { break };
            let Ok(data) = frame.map_err(ReceiveError::Broken)?.into_data() else {
                continue;
            };
            let length = bytes.len() + data.len();
            if length > WIRE_BYTES_MAX {
                return Err(ReceiveError::TooLong);
            }
            if length > room.amount() {
                if is_short && length > SHORT_BYTES_MAX {
                    is_short = false;
                    room = self.long.none(client);
                }
                let whole = room_for(length, announced);
                let more = whole - room.amount();
                let grown = time.wait(async |left| room.grow(weight, more, left).await);
                grown.await.map_err(|_| ReceiveError::NoRoom)?;
                bytes.reserve(whole.min(announced).saturating_sub(bytes.len()));
            }
            if left_of_turn == 0 {
                drop(turn.take());
                let next = time.wait(async |left| {
                    // Requests that have come meanwhile are next, even where nobody waits for a turn.
                    tokio::task::yield_now().await;
                    timeout(left, self.turns.take(client, weight, 1)).await
                });
                turn = Some(next.await.ok().and_then(Result::ok).ok_or(ReceiveError::NoTurn)?);
                left_of_turn = BYTES_PER_TURN;
            }
            bytes.extend_from_slice(&data);
            left_of_turn = left_of_turn.saturating_sub(data.len());
        }
        room.shrink_to(bytes.len());
        Ok(Received {
            bytes: bytes.freeze(),
            _room: room,
        })
    }
}

/// The room that a body needs of which so much has come. For what has come, not for what is announced: clients that only begin keep nobody
/// out. Once more has come than of a short one, for all of it: many that are half there would wait for each other.
fn room_for(length: usize, announced: usize) -> usize {
    if length <= SHORT_BYTES_MAX {
        length
    } else if announced >= length {
        announced
    } else if length <= UNANNOUNCED_BYTES {
        UNANNOUNCED_BYTES
    } else {
        WIRE_BYTES_MAX
    }
}

/// The time that a body has.
struct Time {
    /// The end of its client's time to send it.
    latest: Instant,
    /// What is left of [`WAIT_MAX`].
    left: Duration,
}

impl Time {
    fn new(limit: Duration) -> Self {
        Self {
            latest: Instant::now() + limit,
            left: WAIT_MAX,
        }
    }

    /// Waits for others, which is not to be at the client's cost. `wait` has to end within the time that it is given.
    async fn wait<T>(&mut self, wait: impl AsyncFnOnce(Duration) -> T) -> T {
        let since = Instant::now();
        let outcome = wait(self.left).await;
        let waited = since.elapsed();
        self.left = self.left.saturating_sub(waited);
        self.latest += waited;
        outcome
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
fn read_on(mut decoder: impl Read, unpacked: &mut Vec<u8>) -> Result<(), UnpackError> {
    loop {
        let left = UNPACKED_BYTES_MAX + 1 - unpacked.len();
        let read = decoder
            .by_ref()
            .take(left.min(UNPACKED_BYTES_PER_TURN) as u64)
            .read_to_end(unpacked)
            .map_err(UnpackError::Broken)?;
        if read == left {
            return Err(UnpackError::TooLong);
        }
        if read < UNPACKED_BYTES_PER_TURN {
            return Ok(());
        }
        give_way();
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

    #[tokio::test(start_paused = true)]
    async fn memory_that_bodies_hold_is_finite_and_comes_back() {
        let bodies = bodies();
        let (flood, polite) = (client(1), client(2));
        let full = async |client| {
            bodies
                .receive((client, 1), in_pieces(&[WIRE_BYTES_MAX]), LIMIT)
                .await
        };
        let mut held = Vec::new();
        for _ in 0..LONG_BODIES_BYTES_MAX / WIRE_BYTES_MAX / 2 {
            held.push(full(&flood).await.unwrap());
        }
        let begun = Instant::now();
        assert!(matches!(full(&flood).await, Err(ReceiveError::NoRoom)));
        assert_eq!(begun.elapsed(), WAIT_MAX);
        assert!(
            full(&polite).await.is_ok(),
            "one that floods takes its share, not all"
        );
        let (waited, ()) = tokio::join!(full(&flood), async {
            tokio::time::sleep(WAIT_MAX / 2).await;
            held.pop();
        });
        assert!(waited.is_ok(), "what comes free is for those who wait");
    }

    #[tokio::test(start_paused = true)]
    async fn many_long_bodies_at_once_wait_for_each_other_and_all_arrive() {
        let (bodies, client) = (bodies(), client(1));
        let receive = async |_| {
            let halves = stream::iter([0, 1]).then(async |_| {
                tokio::time::sleep(LIMIT / 4).await;
                Ok::<_, Infallible>(vec![b' '; WIRE_BYTES_MAX / 2])
            });
            let body = Body::from_stream(halves);
            bodies
                .receive((&client, 1), body, LIMIT)
                .await
                .map(|received| received.bytes.len())
        };
        let all = futures_util::future::join_all((0..100).map(receive)).await;
        assert!(all.iter().all(|length| matches!(length, Ok(WIRE_BYTES_MAX))));
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
