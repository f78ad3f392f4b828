//! What clients did lately, by EventTracker's own counts.

#![expect(clippy::disallowed_methods, reason = "counts are of the last hour")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use gate::TOKENS_MAX;
use model::{Buckets, OWN_NAMES, Step, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::centres::Attempt;
use crate::limits::POINTS_PER_SERIES_MAX;
use crate::reading::{self, by_bucket};

/// Names that are looked at: four of each token, and as many of ones that were taken out.
const NAMES_MAX: usize = 8 * TOKENS_MAX;

/// Milliseconds of the past that are summed up.
const PERIOD_MS: i64 = 3_600_000;

/// Time for which what was read is given again.
const KEPT: Duration = Duration::from_secs(10);

/// A client, by what it sent in the last hour.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Client")]
pub struct ClientUse {
    /// The name of its token.
    pub name: String,
    /// Events that were accepted.
    pub events: u64,
    /// Events that were rejected, each with its reason.
    pub rejected: u64,
    /// Events, of the accepted ones, that count by `__overflow__.<name>`, since the client made more names than it may.
    pub overflowed: u64,
    /// Names that it was the first to count on their day, at each collector.
    pub names: u64,
}

/// What was last read of the clients. Only one request reads at a time; others wait for what it finds.
#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<Option<(Instant, Vec<ClientUse>)>>);

impl Clients {
    /// What each client sent in the last hour, by name; read again where that is more than ten seconds old. None where that cannot be read,
    /// since all else of a status can be of use.
    pub(crate) async fn lately(&self, attempt: &Attempt) -> Vec<ClientUse> {
        let mut kept = self.0.lock().await;
        if let Some((at, clients)) = &*kept
            && at.elapsed() < KEPT
        {
            return clients.clone();
        }
        let clients = read(attempt).await.unwrap_or_else(|error| {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "what clients did cannot be read");
            Vec::new()
        });
        *kept = Some((Instant::now(), clients.clone()));
        clients
    }
}

async fn read(attempt: &Attempt) -> Result<Vec<ClientUse>, reading::Error> {
    let names = attempt.central().names_beginning(OWN_NAMES, NAMES_MAX).await?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let now = Timestamp::from(SystemTime::now());
    // A range that is minutes long is never empty, nor too long.
    let Some(buckets) = Buckets::covering(now.plus_ms(-PERIOD_MS), now, Step::Minute, POINTS_PER_SERIES_MAX)
    else {
        return Ok(Vec::new());
    };
    let ids: Vec<_> = names.iter().map(|name| name.id).collect();
    let (_, sums, _) = reading::read_named(attempt, None, &[], &[by_bucket(&ids, &buckets)]).await?;
    let mut clients = BTreeMap::<&str, ClientUse>::new();
    for (name, sums) in names.iter().zip(sums.into_iter().flatten()) {
        let Some((client, what)) = model::own_count(&name.name) else {
            continue;
        };
        let of_client = clients.entry(client).or_default();
        let place = match what {
            "events" => &mut of_client.events,
            "rejected" => &mut of_client.rejected,
            "overflowed" => &mut of_client.overflowed,
            "names" => &mut of_client.names,
            _ => continue,
        };
        *place = u64::try_from(sums.into_iter().sum::<u128>()).unwrap_or(u64::MAX);
    }
    let named = |(name, client): (&str, ClientUse)| ClientUse {
        name: name.to_owned(),
        ..client
    };
    Ok(clients.into_iter().map(named).collect())
}
