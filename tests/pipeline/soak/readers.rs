//! Clients of the api that nobody would wish for.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::rig::Rig;

/// At once.
const READERS: usize = 16;

/// Between two bytes that one takes in.
const BYTE_INTERVAL: Duration = Duration::from_millis(100);

/// What they ask for: much to read, to add up and to send.
const PATHS: [&str; 4] = [
    "/v1/audit?from=2025-11-20&until=2025-11-27",
    "/v1/series?name=load.**&from=2025-03-01&until=2025-11-23",
    "/v1/names?query=**&limit=1000",
    "/render?target=sumSeries(load.**)&from=1735689600&until=1763856000",
];

/// Half of them leave as soon as they have asked, again and again; the others take in a byte now and then. Returns whether
/// the api was there.
pub(crate) async fn disturb(rig: &Rig, lasts: Duration) -> bool {
    let address = rig.description().api.replace("http://", "");
    let mut readers = JoinSet::new();
    for number in 0..READERS {
        let (address, path) = (address.clone(), PATHS[number % PATHS.len()]);
        let vanishes = (number / PATHS.len()).is_multiple_of(2);
        readers.spawn(async move {
            let reads = async {
                loop {
                    // Cut off, or while the api is away, it comes again.
                    let outcome = ask(&address, path, vanishes).await;
                    if outcome.is_err() {
                        tokio::time::sleep(BYTE_INTERVAL).await;
                    }
                }
            };
            tokio::time::timeout(lasts, reads).await.is_err()
        });
    }
    readers.join_all().await.into_iter().all(|lasted| lasted)
}

async fn ask(address: &str, path: &str, vanishes: bool) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    if vanishes {
        tokio::time::sleep(BYTE_INTERVAL).await;
        return Ok(());
    }
    let mut byte = [0];
    while stream.read(&mut byte).await? > 0 {
        tokio::time::sleep(BYTE_INTERVAL).await;
    }
    Ok(())
}
