//! Many connections of one client at once: others do not wait behind all of them.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use listener::{Front, Hosts, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

const FLOOD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
const POLITE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 67);

/// A connection from an address, with a whole request on it.
async fn ask(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// On one thread, where nobody overtakes by another one.
#[tokio::test]
async fn of_one_client_others_do_not_wait_behind_all_of_them() {
    const CONNECTIONS: usize = 60;
    let listener = listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        streams.push(ask(FLOOD, address).await);
    }
    streams.push(ask(POLITE, address).await);
    let served = Arc::new(Mutex::new(Vec::new()));
    let serves = served.clone();
    let note = async move |ConnectInfo(client): ConnectInfo<SocketAddr>| {
        serves.lock().unwrap().push(client.ip());
    };
    let routes = Router::new().route("/", get(note));
    let front = Front::from(Hosts::of(address, &[]));
    let stop = CancellationToken::new();
    let serving = tokio::spawn(listener::serve(
        listener,
        routes,
        front,
        Limits::default(),
        stop.clone(),
    ));
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    stop.cancel();
    serving.await.unwrap();
    let served = served.lock().unwrap();
    assert_eq!(served.len(), CONNECTIONS + 1);
    let at = served.iter().position(|client| *client == POLITE).unwrap();
    assert!(at < CONNECTIONS / 2, "served as number {at}");
}
