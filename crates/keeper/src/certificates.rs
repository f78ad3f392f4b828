//! Alarms about certificates: those of every database, and those of the authorities by which they are accepted.

#![expect(
    clippy::disallowed_methods,
    reason = "certificates are looked at in intervals"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use model::Timestamp;
use store::Server;
use store::upkeep::{Alarm, ShownCertificate};

use crate::alarms::alarm;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(20);

/// What the last look found.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    looked: Option<Instant>,
    alarms: Vec<Alarm>,
}

impl Certificates {
    /// The alarms that stand at `now`. Looks once in [`INTERVAL`] at each database; those of regions are with their names, those of centres
    /// with an empty one.
    pub(crate) async fn alarms(&mut self, databases: &[(&str, &Server)], now: Timestamp) -> Vec<Alarm> {
        if self.looked.is_none_or(|looked| looked.elapsed() >= INTERVAL) {
            self.alarms = look(databases, now).await;
            self.looked = Some(Instant::now());
        }
        self.alarms.clone()
    }
}

async fn look(databases: &[(&str, &Server)], now: Timestamp) -> Vec<Alarm> {
    let of_databases = databases.iter().map(async |(region, server)| {
        let sentence = of_server(server, now).await?;
        Some(alarm(region, "certificate", sentence))
    });
    let of_databases = join_all(of_databases).await.into_iter().flatten();
    let files: BTreeSet<&Path> = databases
        .iter()
        .filter_map(|(_, server)| server.tls_ca.as_deref())
        .collect();
    let of_files = files.iter().filter_map(|path| of_authorities(path, now));
    let of_files = of_files.map(|sentence| alarm("", "certificate", sentence));
    of_databases.chain(of_files).collect()
}

/// What is wrong with a server's certificate. One that does not answer is somebody else's alarm.
async fn of_server(server: &Server, now: Timestamp) -> Option<String> {
    let shown = match ShownCertificate::of(server).await {
        Ok(shown) => shown,
        Err(error @ store::Error::Certificate { .. }) => return Some(error.to_string()),
        Err(_) => return None,
    };
    // Over the socket, the server is on this machine.
    let end = match (shown.end, shown.file) {
        (Some(end), _) => end,
        (None, Some(file)) if server.socket.is_some() => {
            match certificate::read(&file).and_then(|chain| certificate::chain_end(&chain, &file)) {
                Ok(end) => end,
                Err(error) => {
                    return Some(format!(
                        "nobody sees when the certificate of {server} ends: {}",
                        listener::with_causes(&error)
                    ));
                }
            }
        }
        _ => return None,
    };
    let trouble = certificate::expiry(format!("of {server}"), end, now)?;
    Some(format!("{trouble}, then FLUSH SSL there"))
}

/// What is wrong with the authorities in a file.
fn of_authorities(path: &Path, now: Timestamp) -> Option<String> {
    match certificate::authorities_end(path) {
        Ok(end) => {
            certificate::expiry(path.display().to_string(), end, now).map(|trouble| trouble.to_string())
        }
        Err(error) => Some(listener::with_causes(&error)),
    }
}
