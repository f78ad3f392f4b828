//! A client in HTTP/2 that keeps to no rule: nobody waits for it, and it is not waited for.

#![expect(clippy::disallowed_methods, reason = "limits are of time")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use h2::client::SendRequest;
use listener::{Front, Hosts, Limits, Tls, TlsFiles};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

/// Far more than what a connection's buffers hold.
const LARGE: usize = 64 << 20;

const LIMITS: Limits = Limits {
    connections_max: 64,
    connections_per_peer_max: 64,
    header_timeout: Duration::from_millis(400),
    answer_timeout: Duration::from_millis(800),
};

/// What an end must not take longer than, on a slow machine, too.
const AT_MOST: Duration = Duration::from_secs(20);

/// A frame's head (RFC 9113, 4.1): length, type, flags, stream.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET / https localhost` without compression of its authority (RFC 7541).
const GET: &[u8] = b"\x82\x84\x87\x41\x09localhost";

struct Server {
    address: SocketAddr,
    tls: TlsConnector,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    _files: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let paths = TlsFiles {
            certificate: files.path().join("certificate.pem"),
            key: files.path().join("key.pem"),
        };
        std::fs::write(&paths.certificate, cert.pem()).unwrap();
        std::fs::write(&paths.key, signing_key.serialize_pem()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&paths.key, mode).unwrap();
        let listener = listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/", get(async || "hello"))
            .route("/large", get(async || vec![b'x'; LARGE]))
            .route(
                "/host",
                get(async |request: Request| format!("{:?}", request.headers().get("host"))),
            );
        let front = Front {
            tls: Some(Arc::new(Tls::open(&paths).unwrap())),
            ..Front::from(Hosts::of(address, &[]))
        };
        let stop = CancellationToken::new();
        let serving = tokio::spawn(listener::serve(listener, routes, front, LIMITS, stop.clone()));
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            address,
            tls: TlsConnector::from(Arc::new(config)),
            stop,
            serving,
            _files: files,
        }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        self.tls.connect(name, stream).await.unwrap()
    }

    /// A client that keeps to the rules, and its connection.
    async fn client(&self) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
        let (client, connection) = h2::client::handshake(self.connect().await).await.unwrap();
        (client.ready().await.unwrap(), tokio::spawn(connection))
    }

    /// Whether another client is answered, at once.
    async fn answers_others(&self) {
        let begun = Instant::now();
        let (mut client, _connection) = self.client().await;
        assert_eq!(
            ask(&mut client, "https://localhost/").await,
            (200, "hello".to_owned())
        );
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(AT_MOST, self.serving)
            .await
            .unwrap()
            .unwrap();
    }
}

async fn ask(client: &mut SendRequest<Bytes>, url: &str) -> (u16, String) {
    let request = hyper::Request::get(url).body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let response = response.await.unwrap();
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(chunk) = body.data().await {
        text.extend(chunk.unwrap());
    }
    (status, String::from_utf8(text).unwrap())
}

/// Reads until the server ends the connection.
async fn read_to_end(stream: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let mut told = Vec::new();
    let ended = tokio::time::timeout(AT_MOST, stream.read_to_end(&mut told)).await;
    // Without a farewell is an end, too.
    drop(ended.expect("the server ends the connection"));
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_its_host_and_a_connection_without_one_ends() {
    let server = Server::start().await;
    let (mut client, connection) = server.client().await;
    let host = ask(&mut client, "https://localhost/host").await;
    assert_eq!(host, (200, "Some(\"localhost\")".to_owned()));
    assert_eq!(ask(&mut client, "https://evil.example/host").await.0, 421);
    let ended = tokio::time::timeout(AT_MOST, connection).await;
    ended.expect("a connection that rests is ended").unwrap().unwrap();
    // One that does not even begin, and one that ends no head.
    let mut silent = server.connect().await;
    read_to_end(&mut silent).await;
    let mut endless = server.connect().await;
    let head = [
        PREFACE,
        &frame(SETTINGS, 0, 0, &[]),
        &frame(HEADERS, END_STREAM, 1, GET),
    ]
    .concat();
    endless.write_all(&head).await.unwrap();
    read_to_end(&mut endless).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_in_nothing_of_an_answer_is_cut_off() {
    let server = Server::start().await;
    let (mut client, connection) = server.client().await;
    let request = hyper::Request::get("https://localhost/large").body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let response = response.await.unwrap();
    // It answers pings and reads frames, and gives the stream no more room.
    server.answers_others().await;
    let ended = tokio::time::timeout(AT_MOST, connection).await;
    // Without a farewell, or with one.
    drop(ended.expect("it is cut off").unwrap());
    drop(response);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_are_ended_or_answered_and_nobody_else_waits() {
    let server = Server::start().await;
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let resets = |n: u32| {
        let stream = 2 * n + 1;
        let request = frame(HEADERS, END_STREAM | END_HEADERS, stream, GET);
        [request, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let settings = |_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
    let pings = |n: u32| frame(PING, 0, 0, &u64::from(n).to_be_bytes());
    let head = |n: u32| match n {
        0 => frame(HEADERS, END_STREAM, 1, GET),
        _ => frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b"),
    };
    type Flood<'a> = (&'a str, &'a (dyn Fn(u32) -> Vec<u8> + Sync));
    let floods: [Flood<'_>; 4] = [
        ("resets", &resets),
        ("settings", &settings),
        ("pings", &pings),
        ("heads", &head),
    ];
    for (name, flood) in floods {
        let mut stream = server.connect().await;
        stream.write_all(&begin).await.unwrap();
        let frames: Vec<u8> = (0..20_000).flat_map(flood).collect();
        // A server that has had enough closes its side, and what is still sent fails.
        let sent = tokio::time::timeout(AT_MOST, stream.write_all(&frames)).await;
        println!("{name}: {:?}", sent.map(|sent| sent.is_ok()));
        server.answers_others().await;
        read_to_end(&mut stream).await;
    }
    server.stop().await;
}
