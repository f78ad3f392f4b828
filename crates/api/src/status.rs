//! `GET /v1/status`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use model::Instant;
use serde::Serialize;
use store::{QueueState, ShardSize, SourceState, Status};

use crate::parameters::Parameters;
use crate::refusal::Refusal;
use crate::routes::Api;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    complete_until: Option<f64>,
    regions: Vec<Region>,
    shards: Vec<Shard>,
}

#[derive(Debug, Serialize)]
struct Region {
    region: String,
    /// `None` where no word of the queue has reached the centre yet.
    queue: Option<Queue>,
    /// `None` where the centre does not replicate from this region (any more).
    replication: Option<Replication>,
    /// How old the region's last word at the centre is: counts that are younger may still be on their way.
    lag_s: Option<f64>,
    clock: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Queue {
    ready: u64,
    reserved: u64,
    delayed: u64,
    buried: u64,
    oldest_job_age_s: Option<u64>,
    age_s: f64,
}

#[derive(Debug, Serialize)]
struct Replication {
    running: bool,
    io: String,
    sql: String,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Shard {
    shard: u8,
    /// InnoDB's estimate.
    rows: u64,
    bytes: u64,
}

pub(crate) async fn get(State(api): State<Api>, uri: Uri) -> Result<Json<Answer>, Refusal> {
    Parameters::parse(uri.query(), &[])?;
    let status = api.central.status().await?;
    Ok(Json(answer(status, Instant::from(SystemTime::now()))))
}

fn answer(status: Status, now: Instant) -> Answer {
    let mut regions = BTreeMap::<String, (Option<QueueState>, Option<SourceState>)>::new();
    for queue in status.queues {
        let (of_region, _) = regions.entry(queue.region.clone()).or_default();
        *of_region = Some(queue);
    }
    for source in status.sources {
        let (_, of_region) = regions.entry(source.region.clone()).or_default();
        *of_region = Some(source);
    }
    let shard = |ShardSize { shard, rows, bytes }| Shard {
        shard: shard.number(),
        rows,
        bytes,
    };
    Answer {
        complete_until: None,
        regions: regions
            .into_iter()
            .map(|(name, (queue, source))| region(name, queue, source, now))
            .collect(),
        shards: status.shards.into_iter().map(shard).collect(),
    }
}

fn region(region: String, queue: Option<QueueState>, source: Option<SourceState>, now: Instant) -> Region {
    let queue = queue.map(|queue| Queue {
        ready: queue.ready,
        reserved: queue.reserved,
        delayed: queue.delayed,
        buried: queue.buried,
        oldest_job_age_s: queue.oldest_job_age_s,
        age_s: age_s(queue.seen, now),
    });
    let replication = source.map(|source| Replication {
        running: source.is_running(),
        io: source.io_running,
        sql: source.sql_running,
        error: Some(source.last_error).filter(|error| !error.is_empty()),
    });
    Region {
        region,
        lag_s: queue.as_ref().map(|queue| queue.age_s),
        queue,
        replication,
        clock: None,
    }
}

/// 0 where the other clock is ahead of ours.
fn age_s(seen: Instant, now: Instant) -> f64 {
    Duration::from_millis(u64::try_from(now.ms_since(seen)).unwrap_or(0)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(region: &str, seen_ms: i64) -> QueueState {
        let (ready, reserved, delayed, buried) = (5, 2, 0, 1);
        let seen = Instant::from_unix_ms(seen_ms);
        QueueState {
            region: region.to_owned(),
            seen,
            ready,
            reserved,
            delayed,
            buried,
            oldest_job_age_s: Some(3),
        }
    }

    fn source(region: &str) -> SourceState {
        SourceState {
            region: region.to_owned(),
            io_running: "Connecting".to_owned(),
            sql_running: "Yes".to_owned(),
            last_error: "error reconnecting".to_owned(),
        }
    }

    #[test]
    fn a_region_is_listed_by_whatever_names_it() {
        let status = Status {
            queues: vec![queue("eu", 7_500), queue("us", 12_000)],
            sources: vec![source("ap"), source("eu")],
            shards: Vec::new(),
        };
        let answer = serde_json::to_value(answer(status, Instant::from_unix_ms(10_000))).unwrap();
        let replication = serde_json::json!(
            {"running": false, "io": "Connecting", "sql": "Yes", "error": "error reconnecting"});
        let queue = serde_json::json!(
            {"ready": 5, "reserved": 2, "delayed": 0, "buried": 1, "oldest_job_age_s": 3, "age_s": 2.5});
        assert_eq!(answer["regions"][0]["region"], "ap");
        assert_eq!(answer["regions"][0]["queue"], serde_json::Value::Null);
        let eu = serde_json::json!(
            {"region": "eu", "queue": queue, "replication": replication, "lag_s": 2.5, "clock": null});
        assert_eq!(answer["regions"][1], eu);
        assert_eq!(answer["regions"][2]["replication"], serde_json::Value::Null);
        assert_eq!(answer["regions"][2]["lag_s"], 0.0);
    }
}
