//! HTTP/1.1 over one kept connection, for requests that are rendered before a clock starts: nothing is built or
//! allocated for each of them, so that what a run measures is the server.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest answer, its head included; a list of a hundred refused events is shorter.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Longest wait for an answer: collectors give up after 25 s.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Wire {
    address: SocketAddr,
    /// `None` before the first request, and after the server closed it.
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

/// What an answer's head says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    bytes: usize,
    status: u16,
    body_bytes: usize,
    closes: bool,
}

impl Wire {
    /// Connects, so that the first request does not have to.
    ///
    /// # Errors
    /// A base address that is not `http://IP:PORT`, nobody there.
    pub(crate) async fn connect(base: &str) -> Result<Self> {
        let address = address(base)?;
        Ok(Self {
            address,
            stream: Some(open(address).await?),
            buffer: vec![0; ANSWER_BYTES_MAX],
        })
    }

    /// Sends head and body as they are. After an error it is unknown what became of the request; the next one has a new
    /// connection.
    ///
    /// # Errors
    /// No answer in time, or none that can be read.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Response<'_>> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => open(self.address).await?,
        };
        let exchange = exchange(&mut stream, request, &mut self.buffer);
        let head = tokio::time::timeout(ANSWER_LIMIT, exchange)
            .await
            .with_context(|| format!("no answer from {} within {ANSWER_LIMIT:?}", self.address))??;
        if !head.closes {
            self.stream = Some(stream);
        }
        Ok(Response {
            status: head.status,
            body: &self.buffer[head.bytes..head.bytes + head.body_bytes],
        })
    }
}

/// The head of a POST that is followed by `body_bytes`.
pub(crate) fn post_head(
    base: &str,
    path: &str,
    content_type: &str,
    key: Option<&str>,
    body_bytes: usize,
) -> String {
    let host = base.strip_prefix("http://").unwrap_or(base);
    let key = key.map_or_else(String::new, |key| format!("Idempotency-Key: {key}\r\n"));
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\n\
         {key}Content-Length: {body_bytes}\r\n\r\n"
    )
}

pub(crate) fn address(base: &str) -> Result<SocketAddr> {
    let text = ["http://", "https://"]
        .iter()
        .find_map(|scheme| base.strip_prefix(scheme));
    text.unwrap_or(base)
        .parse()
        .with_context(|| format!("'{base}' is not an address and a port"))
}

async fn open(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("failed to connect to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> Result<Head> {
    stream.write_all(request).await?;
    let mut filled = 0;
    loop {
        ensure!(
            filled < buffer.len(),
            "an answer is longer than {ANSWER_BYTES_MAX} bytes"
        );
        let read = stream.read(&mut buffer[filled..]).await?;
        ensure!(read > 0, "the connection was closed before the answer's end");
        filled += read;
        if let Some(head) = read_head(&buffer[..filled])?
            && filled >= head.bytes + head.body_bytes
        {
            return Ok(head);
        }
    }
}

/// `None` where the head is not complete yet.
fn read_head(text: &[u8]) -> Result<Option<Head>> {
    let Some(end) = text.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&text[..end]).context("an answer's head is not text")?;
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status: u16 = first
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|status| status.parse().ok())
        .with_context(|| format!("not the first line of an answer: '{first}'"))?;
    let mut body_bytes = (status == 204).then_some(0);
    let mut closes = false;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = Some(value.trim().parse()?);
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.trim().eq_ignore_ascii_case("close");
        }
    }
    let Some(body_bytes) = body_bytes else {
        bail!("an answer without Content-Length: {first}");
    };
    Ok(Some(Head {
        bytes: end + 4,
        status,
        body_bytes,
        closes,
    }))
}
