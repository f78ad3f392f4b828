use reqwest::header::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const PATIENCE: Patience = Patience {
    attempts_max: 3,
    time_max: Duration::from_secs(10),
};

fn sender(base: &str, patience: Patience) -> Sender {
    let access = Access {
        token: Some("secret".parse().unwrap()),
        ..Access::default()
    };
    let client = client(&access, SEND_TIMEOUT).unwrap();
    Sender {
        client,
        base: base.to_owned(),
        patience,
        repeated: AtomicU64::new(0),
    }
}

fn response(head: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Gives each connection the next of `responses`, or closes it where that is empty, and returns the requests.
async fn serve(listener: TcpListener, responses: Vec<String>) -> Vec<String> {
    let mut requests = Vec::new();
    for response in responses {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 10_000];
        let mut length = 0;
        while !request[..length].ends_with(b"body") {
            let read = stream.read(&mut request[length..]).await.unwrap();
            assert_ne!(read, 0, "the request broke off");
            length += read;
        }
        requests.push(String::from_utf8_lossy(&request[..length]).to_lowercase());
        stream.write_all(response.as_bytes()).await.unwrap();
    }
    requests
}

/// The outcome of a request with so many events, and what the server received.
async fn exchange_of(events: usize, responses: Vec<String>) -> (anyhow::Result<Receipt>, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sender = sender(&format!("http://{}", listener.local_addr().unwrap()), PATIENCE);
    let requests = tokio::spawn(serve(listener, responses));
    let outcome = sender
        .send("k-1", "application/json", b"body".to_vec(), events)
        .await;
    (outcome, requests.await.unwrap())
}

async fn exchange(responses: Vec<String>) -> (anyhow::Result<Receipt>, Vec<String>) {
    exchange_of(2, responses).await
}

#[tokio::test]
async fn an_answer_that_does_not_account_for_each_event_is_an_error() {
    for (events, body) in [
        (1, "{}"),
        (3, r#"{"accepted":2}"#),
        (1, r#"{"accepted":2}"#),
        (
            2,
            r#"{"accepted":0,"rejected":[{"index":0,"error":"name is empty"}]}"#,
        ),
    ] {
        let (outcome, _) = exchange_of(events, vec![response("202 Accepted", body)]).await;
        let text = outcome.unwrap_err().to_string();
        assert!(
            text.contains(&format!("of {events} events: is it a collector?")) && text.contains("key 'k-1'"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_repeated_under_the_same_key() {
    let unknown = r#"{"error":"the queue's reply was lost","outcome":"unknown"}"#;
    let accepted = r#"{"accepted":1,"rejected":[{"index":1,"error":"event has no name"}]}"#;
    let (outcome, requests) = exchange(vec![
        response("503 Service Unavailable\r\nRetry-After: 0", unknown),
        String::new(),
        response("202 Accepted", accepted),
    ])
    .await;
    let answer = outcome.unwrap();
    assert_eq!((answer.accepted, answer.rejected_total()), (1, 1));
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert!(request.contains("idempotency-key: k-1\r\n"), "{request}");
        assert!(request.contains("authorization: bearer secret\r\n"), "{request}");
    }
}

#[tokio::test]
async fn a_body_that_came_too_late_is_sent_again() {
    let too_late = response("408 Request Timeout\r\nRetry-After: 0\r\nConnection: close", "{}");
    let accepted = response("202 Accepted", r#"{"accepted":2,"rejected":[]}"#);
    let (outcome, requests) = exchange(vec![too_late, accepted]).await;
    assert_eq!((outcome.unwrap().accepted, requests.len()), (2, 2));
}

#[tokio::test]
async fn attempts_are_bounded_and_a_doubtful_end_names_the_key() {
    let lost = response("502 Bad Gateway\r\nRetry-After: 0", "");
    let (outcome, requests) = exchange(vec![lost.clone(), lost.clone(), lost]).await;
    let text = outcome.unwrap_err().to_string();
    assert!(
        text.contains("gave up after attempt 3") && text.contains("key 'k-1'"),
        "{text}"
    );
    assert_eq!(requests.len(), 3);
}

#[tokio::test]
async fn a_wait_beyond_the_patience_is_not_begun() {
    let full = response(
        "503 Service Unavailable\r\nRetry-After: 20",
        r#"{"error":"the queue is full"}"#,
    );
    let (outcome, _) = exchange(vec![full]).await;
    let text = outcome.unwrap_err().to_string();
    assert!(
        text.contains("the queue is full; gave up after attempt 1"),
        "{text}"
    );
    assert!(!text.contains("k-1"), "{text}");
}

#[tokio::test]
async fn a_refusal_is_final_but_a_list_of_rejected_events_is_an_answer() {
    let (outcome, requests) = exchange(vec![response("401 Unauthorized", "{}")]).await;
    assert!(outcome.unwrap_err().to_string().contains("EVENTTRACKER_TOKEN"));
    assert_eq!(requests.len(), 1);
    let all_rejected =
        r#"{"error":"all rejected","rejected":[{"index":0,"error":"name is empty"}],"rejected_total":7}"#;
    let (outcome, _) = exchange_of(7, vec![response("400 Bad Request", all_rejected)]).await;
    assert_eq!(outcome.unwrap().rejected_total(), 7);
}

#[tokio::test]
async fn an_answer_in_another_language_is_final_and_without_doubt() {
    let (outcome, requests) = exchange(vec!["UNKNOWN_COMMAND\r\n".repeat(6)]).await;
    let text = outcome.unwrap_err().to_string();
    assert!(
        text.contains("is this the collector?") && text.contains("--collector"),
        "{text}"
    );
    assert!(!text.contains("may have been counted"), "{text}");
    assert_eq!(requests.len(), 1);

    let (outcome, _) = exchange(vec![String::new(), "UNKNOWN_COMMAND\r\n".to_owned()]).await;
    let text = outcome.unwrap_err().to_string();
    assert!(
        text.contains("is this the collector?") && text.contains("key 'k-1'"),
        "{text}"
    );
}

#[tokio::test]
async fn an_unreachable_collector_is_one_sentence_with_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let patience = Patience {
        attempts_max: 1,
        ..PATIENCE
    };
    let error = sender(&base, patience)
        .send("k", "application/json", Vec::new(), 1)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(&format!(
            "cannot reach the collector at {base} (Connection refused"
        )),
        "{text}"
    );
    assert!(!text.contains("may have been counted"), "{text}");
}

#[test]
fn keys_are_checked() {
    for wrong in ["", "a b", "ä", &"a".repeat(KEY_BYTES_MAX + 1)] {
        assert!(check_key(wrong).is_err(), "{wrong}");
    }
    assert!(check_key(&"a".repeat(KEY_BYTES_MAX)).is_ok());
}

#[test]
fn waits_are_bounded() {
    assert_eq!(backoff(1), BACKOFF_FIRST);
    assert_eq!(backoff(2), BACKOFF_FIRST * 2);
    assert_eq!(backoff(400), BACKOFF_MAX);
    let headers =
        |value: &'static str| HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
    assert_eq!(retry_after(&headers("2")), Some(Duration::from_secs(2)));
    assert_eq!(retry_after(&headers("86400")), Some(RETRY_AFTER_MAX));
    assert_eq!(retry_after(&headers("Wed, 21 Oct 2026 07:28:00 GMT")), None);
}
