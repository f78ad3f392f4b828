//! What the hostile client does, by kind.

use std::fmt;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use gate::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Interval;

use super::http_2::{self, Frames};
use crate::beside::say_begun;

/// The address that it comes from: all of 127.0.0.0/8 is this machine.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// The first of its ports, and their number, a power of two.
const FIRST_PORT: u16 = 16_384;
const PORTS: u16 = 32_768;

/// What it does a second at most, all connections together: fifty times the polite client's requests.
const PER_S: u32 = 5_000;

/// Connections that flood.
const FLOOD_CONNECTIONS: u32 = 100;

/// Connections that do something slowly, or nothing; as many as an address may have, but for those that want more.
const SLOW_CONNECTIONS: u32 = 500;

const CONNECTIONS: u32 = 10_000;

/// Pause between two bytes of who is slow.
const DRIBBLE: Duration = Duration::from_millis(500);

/// Pause before one of a few connections that was refused is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// Bytes that are handed to the kernel at once.
const PIECE_BYTES: usize = 16 << 10;

/// Frames of HTTP/2 in one turn.
const FRAMES: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Single events, fifty times as many
    Flood,
    /// Bodies of ten thousand events, as fast as they are taken
    LargeBodies,
    /// Bodies of a mebibyte, of which half comes and then a byte at a time
    SlowBodies,
    /// Heads that come a byte at a time
    SlowHeads,
    /// Heads of 30 kB, as fast as they are taken
    HugeHeads,
    /// Requests one behind the other, whose answers are never read
    Unread,
    /// Requests that are given up before their answer
    Aborted,
    /// Ten thousand connections that send nothing
    Connections,
    /// Bodies that unpack to more than is taken
    Bombs,
    /// Wrong secrets
    WrongSecrets,
    /// In HTTP/2, requests that are reset at once
    Resets,
    /// In HTTP/2, settings that change for ever
    Settings,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// What a connection does.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// Sends the same again and again, and reads an answer each time.
    Repeat,
    /// Sends the beginning, and then the rest a byte at a time.
    Dribble,
    /// Sends without end, and reads nothing.
    NeverRead,
    /// Sends a request, and closes the connection at once.
    Abort,
    /// Keeps a connection open on which nothing comes.
    Hold,
    /// Sends frames of HTTP/2, and reads nothing.
    Frames(Frames),
}

/// How often a connection does what it does.
type Pace = Option<Duration>;

/// One of its connections.
#[derive(Clone)]
struct Lane {
    to: SocketAddr,
    done: Arc<AtomicU64>,
    /// The number of connections so far, of all of them.
    connections: Arc<AtomicU16>,
    pace: Pace,
    /// The pause before another connection.
    again: Duration,
}

impl Lane {
    async fn connect(&self) -> Option<TcpStream> {
        let socket = TcpSocket::new_v4().ok()?;
        // Ports in turn: the kernel would look for a free one among thousands that wait, for milliseconds in which nothing else can run.
        socket.set_reuseaddr(true).ok()?;
        let port = FIRST_PORT + self.connections.fetch_add(1, Ordering::Relaxed) % PORTS;
        socket.bind((SOURCE, port).into()).ok()?;
        socket.connect(self.to).await.ok()
    }

    async fn work(self, does: Does, request: Arc<[u8]>) {
        match does {
            Does::Repeat => self.repeat(request).await,
            Does::Dribble => self.dribble(request).await,
            Does::NeverRead => self.never_read(request).await,
            Does::Abort => self.abort(request).await,
            Does::Hold => self.hold().await,
            Does::Frames(frames) => self.frames(frames).await,
        }
    }

    /// Waits for the next turn: at once where there is no pace.
    async fn turn(&self, ticks: &mut Option<Interval>) {
        if let Some(ticks) = ticks {
            ticks.tick().await;
        }
    }

    fn ticks(&self) -> Option<Interval> {
        self.pace.map(tokio::time::interval)
    }

    async fn repeat(self, request: Arc<[u8]>) {
        let mut ticks = self.ticks();
        loop {
            let Some(mut stream) = self.connect().await else {
                tokio::time::sleep(self.again).await;
                continue;
            };
            let mut answer = vec![0; 4_096];
            loop {
                self.turn(&mut ticks).await;
                if send(&mut stream, &request).await.is_err() {
                    break;
                }
                match stream.read(&mut answer).await {
                    Ok(read) if read > 0 => self.done.fetch_add(1, Ordering::Relaxed),
                    _ => break,
                };
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn dribble(self, beginning: Arc<[u8]>) {
        loop {
            if let Some(mut stream) = self.connect().await
                && stream.write_all(&beginning).await.is_ok()
            {
                self.done.fetch_add(1, Ordering::Relaxed);
                while stream.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(DRIBBLE).await;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn never_read(self, request: Arc<[u8]>) {
        let mut ticks = self.ticks();
        loop {
            if let Some(mut stream) = self.connect().await {
                while stream.write_all(&request).await.is_ok() {
                    self.done.fetch_add(1, Ordering::Relaxed);
                    self.turn(&mut ticks).await;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn abort(self, request: Arc<[u8]>) {
        let mut ticks = self.ticks();
        loop {
            self.turn(&mut ticks).await;
            if let Some(mut stream) = self.connect().await
                && stream.write_all(&request).await.is_ok()
            {
                self.done.fetch_add(1, Ordering::Relaxed);
            } else {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    async fn hold(self) {
        loop {
            if let Some(mut stream) = self.connect().await {
                self.done.fetch_add(1, Ordering::Relaxed);
                stream.read_u8().await.ok();
            }
            tokio::time::sleep(self.again).await;
        }
    }

    async fn frames(self, frames: Frames) {
        let mut ticks = self.pace.map(|pace| tokio::time::interval(pace * FRAMES));
        loop {
            if let Some(stream) = self.connect().await
                && let Ok(mut stream) = http_2::begin(stream).await
            {
                let mut number = 0;
                while stream.write_all(&frames.next(&mut number, FRAMES)).await.is_ok() {
                    self.done.fetch_add(u64::from(FRAMES), Ordering::Relaxed);
                    self.turn(&mut ticks).await;
                }
            }
            tokio::time::sleep(self.again).await;
        }
    }
}

impl Kind {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    /// Whether it needs HTTP/2, and so an encrypted connection.
    pub(super) fn is_encrypted(self) -> bool {
        matches!(self, Self::Resets | Self::Settings)
    }

    /// Does it against the collector at an address, until `stop`. Returns how often it did.
    pub(super) async fn work(
        self,
        to: SocketAddr,
        secret: &Secret,
        stop: impl Future<Output = ()>,
    ) -> Result<u64> {
        let done = Arc::new(AtomicU64::new(0));
        let (connections, does, request) = self.lanes(to, secret)?;
        say_begun();
        let pace = Duration::from_secs(1) * connections / PER_S;
        // As fast as they are taken: what is too large for so many a second.
        let is_paced = !matches!(self, Self::LargeBodies | Self::Bombs);
        let lane = Lane {
            to,
            done: Arc::clone(&done),
            connections: Arc::default(),
            pace: is_paced.then_some(pace),
            again: pace.max(AGAIN),
        };
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            tasks.spawn(lane.clone().work(does, request.clone()));
        }
        stop.await;
        tasks.shutdown().await;
        Ok(done.load(Ordering::Relaxed))
    }

    /// On how many connections it does what, and what it sends.
    fn lanes(self, to: SocketAddr, secret: &Secret) -> Result<(u32, Does, Arc<[u8]>)> {
        let event = br#"{"name":"hostile.event"}"#;
        Ok(match self {
            Self::Flood => (FLOOD_CONNECTIONS, Does::Repeat, post(to, secret, "", event)),
            Self::LargeBodies => (
                FLOOD_CONNECTIONS,
                Does::Repeat,
                post(to, secret, "", &many_events(10_000)),
            ),
            Self::SlowBodies => {
                let whole = post(to, secret, "", &vec![b' '; 1 << 20]);
                (SLOW_CONNECTIONS, Does::Dribble, whole[..whole.len() / 2].into())
            }
            Self::SlowHeads => {
                let beginning = b"POST /v1/events HTTP/1.1\r\nX-Slow: ";
                (SLOW_CONNECTIONS, Does::Dribble, beginning[..].into())
            }
            Self::HugeHeads => {
                let huge = format!("X-Huge: {}\r\n", "a".repeat(30_000));
                (FLOOD_CONNECTIONS, Does::Repeat, post(to, secret, &huge, event))
            }
            Self::Unread => (SLOW_CONNECTIONS, Does::NeverRead, post(to, secret, "", event)),
            Self::Aborted => (
                FLOOD_CONNECTIONS,
                Does::Abort,
                post(to, secret, "", &many_events(100)),
            ),
            Self::Connections => (CONNECTIONS, Does::Hold, Arc::default()),
            Self::Bombs => {
                let request = post(to, secret, "Content-Encoding: gzip\r\n", &bomb()?);
                (FLOOD_CONNECTIONS, Does::Repeat, request)
            }
            Self::WrongSecrets => (
                FLOOD_CONNECTIONS,
                Does::Repeat,
                post(to, &Secret::generate()?, "", event),
            ),
            Self::Resets => (FLOOD_CONNECTIONS, Does::Frames(Frames::Resets), Arc::default()),
            Self::Settings => (FLOOD_CONNECTIONS, Does::Frames(Frames::Settings), Arc::default()),
        })
    }
}

/// Sends in pieces: the kernel of this machine, which would be another's, copies each without giving up its processor.
async fn send(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<()> {
    for piece in request.chunks(PIECE_BYTES) {
        stream.write_all(piece).await?;
    }
    Ok(())
}

/// A whole request with these further lines in its head.
fn post(to: SocketAddr, secret: &Secret, lines: &str, body: &[u8]) -> Arc<[u8]> {
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: {to}\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\n{lines}Content-Length: {}\r\n\r\n",
        secret.as_str(),
        body.len()
    );
    [head.as_bytes(), body].concat().into()
}

fn many_events(count: usize) -> Vec<u8> {
    let event = |n| format!(r#"{{"name":"hostile.event.{}","count":1}}"#, n % 1_000);
    let events: Vec<String> = (0..count).map(event).collect();
    format!("[{}]", events.join(",")).into_bytes()
}

/// A gigabyte of zeros in a mebibyte.
fn bomb() -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..900 {
        encoder.write_all(&vec![0; 1 << 20])?;
    }
    Ok(encoder.finish()?)
}
