//! Clients that send slowly, or not at all, are cut off; others are served meanwhile.

use playground::Options;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ledger::Ledger;
use crate::rig::{LIMIT, Rig, one_region, settings, wait_until};

const MINUTE: i64 = 1_763_787_600;
const CONNECTIONS_MAX: usize = 8;

/// What the collector says until it closes the connection.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let outcome = tokio::time::timeout(LIMIT, stream.read_to_end(&mut said)).await;
    outcome.expect("the collector closes the connection").unwrap();
    String::from_utf8(said).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn are_cut_off() {
    let region_overrides = settings(&format!(
        "[collector]\nheader_timeout_ms = 500\nbody_timeout_ms = 500\nconnections_max = {CONNECTIONS_MAX}"
    ));
    let rig = Rig::start(Options {
        region_overrides,
        ..one_region()
    })
    .await;
    let address = rig.collector_address("eu");

    // Every place is taken by a client that never finishes its headers; the next request waits for them to be cut off.
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream
            .write_all(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            .await
            .unwrap();
        silent.push(stream);
    }
    let answer = rig
        .post("eu", &json!({ "name": "patient", "timestamp": MINUTE }))
        .await;
    assert_eq!(answer.status, 202);
    for stream in &mut silent {
        until_closed(stream).await;
    }

    let mut slow_body = TcpStream::connect(&address).await.unwrap();
    slow_body
        .write_all(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{\"name\":")
        .await
        .unwrap();
    let said = until_closed(&mut slow_body).await;
    assert!(
        said.starts_with("HTTP/1.1 408") && said.contains("did not arrive within 500 ms"),
        "{said}"
    );

    let mut ledger = Ledger::default();
    ledger.acknowledged("patient", MINUTE, 1);
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn have_a_share_each() {
    let region_overrides = settings("[collector]\nrequests_per_client_max = 1");
    let rig = Rig::start(Options {
        region_overrides,
        ..one_region()
    })
    .await;
    let address = rig.collector_address("eu");
    let mut waiting = TcpStream::connect(&address).await.unwrap();
    waiting
        .write_all(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n")
        .await
        .unwrap();
    // "100 Continue" is the collector's word that it waits for the body.
    let mut word = [0; 12];
    waiting.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"HTTP/1.1 100");
    let answer = rig.post("eu", &json!({ "name": "second" })).await;
    assert_eq!((answer.status, answer.retry_after), (429, true), "{answer:?}");
    drop(waiting);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn have_so_many_connections_each() {
    let region_overrides = settings("[collector]\nconnections_per_peer_max = 2");
    let rig = Rig::start(Options {
        region_overrides,
        ..one_region()
    })
    .await;
    let address = rig.collector_address("eu");
    // Both are served: the collector has seen them.
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut word = [0; 12];
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"HTTP/1.1 200");
        held.push(stream);
    }
    let mut third = TcpStream::connect(&address).await.unwrap();
    assert_eq!(until_closed(&mut third).await, "");
    drop(held);
    wait_until("a place for another connection", async || {
        match rig.http.get(format!("http://{address}/healthz")).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    rig.stop().await;
}
