//! One connection: whom it is of, its handshake, and its requests, in HTTP/1.1 or HTTP/2.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse, Response};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use crate::answer::{InProgress, TimedBody};
use crate::linger::{Lingerers, Lingering};
use crate::network::network;
use crate::proxies::read_header;
use crate::serve::{Front, Limits};
use crate::tls::HTTP_2;
use crate::{Shares, hosts};

/// Most bytes of a request line and its headers; hyper would buffer 400 kB on each connection.
const HEAD_BYTES_MAX: u32 = 32 * 1024;

/// Longest time for which a client may take in nothing of its answer before it is cut off.
const WRITE_STALL_LIMIT: Duration = Duration::from_secs(20);

/// Most requests at once on a connection in HTTP/2, and most bytes of each one's head: a mebibyte of them all.
const STREAMS_MAX: u32 = 64;
const HTTP_2_HEAD_BYTES_MAX: u32 = 16 * 1024;

/// Bytes of requests' bodies that a connection in HTTP/2 takes in before anybody asks for them. All connections that a role has by default
/// then hold 256 MiB at most.
const WINDOW_BYTES: u32 = 256 * 1024;

/// Bytes of each answer that are waiting on a connection in HTTP/2 until its client takes them in: a mebibyte of them all.
const SEND_BUFFER_BYTES: usize = 16 * 1024;

/// Longest time for which a connection in HTTP/2 takes requests. What its client never takes in of its answers ends with it.
const AGE_MAX: Duration = Duration::from_secs(3_600);

/// The first byte of each record of a handshake (RFC 8446, 5.1); no request in HTTP/1.1 begins with it.
const HANDSHAKE_RECORD: u8 = 22;

/// What a client is told that does not encrypt what it says, as nginx does it.
const NOT_ENCRYPTED: &str =
    r#"{"error":"this address speaks TLS, and the request is not encrypted: use https:// for it"}"#;

/// The service that answers the requests of one connection.
#[derive(Clone)]
pub(crate) struct ConnectionService {
    routes: TowerToHyperService<Router>,
    front: Front,
    lingerers: Lingerers,
    peer: SocketAddr,
    in_progress: InProgress,
    /// Bytes of an answer's longest frame.
    frame_bytes_max: usize,
}

impl ConnectionService {
    pub(crate) fn new(
        routes: TowerToHyperService<Router>,
        front: Front,
        lingerers: Lingerers,
        peer: SocketAddr,
    ) -> Self {
        Self {
            routes,
            front,
            lingerers,
            peer,
            in_progress: InProgress::new(),
            frame_bytes_max: usize::MAX,
        }
    }
}

impl Service<Request<Incoming>> for ConnectionService {
    type Response = Response<TimedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    /// Checks the host, calls the routes and notes when the answer begins. All in one step: each layer around a [`Router`] would cost an
    /// allocation and a copy of it for every request.
    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let (in_progress, frame_bytes_max) = (self.in_progress.begin(), self.frame_bytes_max);
        hosts::name_host(&mut request);
        let routed = self.front.hosts.admit(&request).map(|()| {
            let client = self.front.proxies.client(self.peer, request.headers());
            request.extensions_mut().insert(ConnectInfo(client));
            self.routes.call(request)
        });
        Box::pin(async move {
            let response = match routed {
                Ok(routed) => routed.await?,
                Err(refused) => {
                    metrics::counter!("http_hosts_refused_total").increment(1);
                    refused.into_response()
                }
            };
            Ok(in_progress.answer(response, frame_bytes_max))
        })
    }
}

/// Learns whom a connection is of, where a proxy says so first, and serves it.
pub(crate) async fn introduced(
    mut stream: TcpStream,
    mut service: ConnectionService,
    peers: Shares<IpAddr>,
    limits: Limits,
    shutdown: CancellationToken,
) {
    if stream.set_nodelay(true).is_err() {
        // It is closed already.
        return;
    }
    let mut _share = None;
    if service.front.proxies.expects_header(service.peer) {
        let header = tokio::time::timeout(limits.header_timeout, read_header(&mut stream)).await;
        match header {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(client))) => {
                service.peer = client;
                _share = peers.take(network(client.ip()));
                if _share.is_none() {
                    metrics::counter!("http_connections_refused_total").increment(1);
                    return;
                }
            }
            Ok(Err(error)) => {
                metrics::counter!("http_proxy_headers_refused_total").increment(1);
                tracing::debug!(%error, peer = %service.peer, "a connection of a proxy is not served");
                return;
            }
            Err(_) => return,
        }
    }
    let bounded = |stream| {
        let mut bounded = TimeoutStream::new(stream);
        bounded.set_write_timeout(Some(WRITE_STALL_LIMIT));
        Box::pin(bounded)
    };
    let Some(tls) = service.front.tls.clone() else {
        return serve_http_1(bounded(stream), service, limits, shutdown).await;
    };
    let handshake = async {
        if is_encrypted(&mut stream, &service.lingerers).await? {
            tls.acceptor().accept(bounded(stream)).await.map(Some)
        } else {
            Ok(None)
        }
    };
    match tokio::time::timeout(limits.header_timeout, handshake).await {
        Ok(Ok(Some(stream))) if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) => {
            serve_http_2(stream, service, limits, shutdown).await;
        }
        Ok(Ok(Some(stream))) => serve_http_1(stream, service, limits, shutdown).await,
        Ok(Ok(None)) | Err(_) => {}
        Ok(Err(error)) => {
            metrics::counter!("tls_handshakes_failed_total").increment(1);
            tracing::debug!(peer = %service.peer, %error, "a handshake failed");
        }
    }
}

/// Whether a client begins a handshake. One that does not is told.
async fn is_encrypted(stream: &mut TcpStream, lingerers: &Lingerers) -> std::io::Result<bool> {
    let mut first = [0];
    let is_handshake = stream.peek(&mut first).await? == 1 && first[0] == HANDSHAKE_RECORD;
    if !is_handshake {
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{NOT_ENCRYPTED}",
            NOT_ENCRYPTED.len()
        );
        let mut stream = Lingering::new(stream, lingerers.clone());
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
    }
    Ok(is_handshake)
}

async fn serve_http_1(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: ConnectionService,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let (peer, in_progress) = (service.peer, service.in_progress.clone());
    let stream = Lingering::new(stream, service.lingerers.clone());
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(HEAD_BYTES_MAX as usize)
        .header_read_timeout(limits.header_timeout)
        .serve_connection(TokioIo::new(stream), service);
    let ended = shutdown.cancelled();
    converse(connection, ended, limits, peer, &in_progress).await;
}

async fn serve_http_2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: ConnectionService,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let service = ConnectionService {
        frame_bytes_max: SEND_BUFFER_BYTES,
        ..service
    };
    let (peer, in_progress) = (service.peer, service.in_progress.clone());
    let stream = Lingering::new(stream, service.lingerers.clone());
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HTTP_2_HEAD_BYTES_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let ended = async {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = in_progress.rest_for(limits.header_timeout) => {}
            () = tokio::time::sleep(AGE_MAX) => {}
        }
    };
    converse(connection, ended, limits, peer, &in_progress).await;
}

/// Serves one connection until the client closes it, breaks a limit, or there is no request in progress after `ended`. One that is to end
/// because it rests may be told so, and go on for a moment.
async fn converse<C>(
    connection: C,
    ended: impl Future<Output = ()>,
    limits: Limits,
    peer: SocketAddr,
    in_progress: &InProgress,
) where
    C: GracefulConnection<Error = hyper::Error>,
{
    tokio::pin!(connection);
    let conversation = async {
        tokio::select! {
            outcome = connection.as_mut() => return outcome,
            () = ended => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            outcome = connection.as_mut() => outcome,
            // Nobody has to answer to what ends a connection in HTTP/2.
            () = in_progress.rest_for(limits.header_timeout) => Ok(()),
        }
    };
    tokio::select! {
        outcome = conversation => if let Err(error) = outcome {
            tracing::debug!(%peer, %error, "connection ended early");
        },
        () = in_progress.take_longer_than(limits.answer_timeout) => {
            metrics::counter!("http_answers_cut_off_total").increment(1);
            tracing::debug!(%peer, "cut off a client that was too slow for its answer");
        }
    }
}
