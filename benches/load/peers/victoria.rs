//! VictoriaMetrics: Influx's line protocol, a series per name, a sample per event.
//!
//! A series keeps one sample per millisecond, so each event of a name and second has a millisecond of its own. What is
//! asked is the sum of each minute, `sum_over_time(events_count[1m])`, evaluated a millisecond before the next begins, since
//! a window holds its end and not its beginning. What was acknowledged is found only after a flush, which is asked for at once.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::{Answers, CONNECTIONS, KILLED_AFTER, Outcome, compare, render, share_lost};
use crate::burst::Shape;
use crate::history::victoria::Victoria;
use crate::points::History;
use crate::sender;
use crate::wire::{Wire, post_head};
use crate::workload::Workload;

/// Longest wait for the exact answer after the last acknowledgement.
const EXACT_LIMIT: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(20);

const MS_PER_SECOND: u16 = 1_000;

#[derive(Deserialize)]
struct Response {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: Metric,
    values: Vec<(f64, String)>,
}

#[derive(Deserialize)]
struct Metric {
    name: String,
}

pub(super) async fn exact(workload: &Workload, shape: Shape) -> Result<Outcome> {
    let client = sender::client(None)?;
    let Some(victoria) = Victoria::start(&client).await? else {
        return Ok(Outcome::NotInstalled);
    };
    let requests = requests(workload, shape, &victoria.base)?;
    let wires = connect(&victoria.base).await?;
    let begun = Instant::now();
    send(requests, wires).await?;
    let acknowledged = Instant::now();
    loop {
        victoria.flush(&client).await?;
        let text = ask(&client, &victoria.base, workload).await?;
        let took = begun.elapsed();
        let Err(error) = compare(&answers(&text)?, workload, &mut workload.sums()?) else {
            victoria.stop().await?;
            return Ok(Outcome::Exact(took));
        };
        ensure!(
            acknowledged.elapsed() < EXACT_LIMIT,
            "{error:#} after {EXACT_LIMIT:?}"
        );
        tokio::time::sleep(POLL).await;
    }
}

/// Which part of the counts is gone after a kill; `None` where it is not installed.
pub(super) async fn lost(workload: &Workload, shape: Shape) -> Result<Option<f64>> {
    let client = sender::client(None)?;
    let Some(mut victoria) = Victoria::start(&client).await? else {
        return Ok(None);
    };
    let requests = requests(workload, shape, &victoria.base)?;
    send(requests, connect(&victoria.base).await?).await?;
    tokio::time::sleep(KILLED_AFTER).await;
    victoria.crash(&client).await?;
    victoria.flush(&client).await?;
    let found = answers(&ask(&client, &victoria.base, workload).await?)?;
    let found = found.iter().map(|(.., count)| count).sum();
    victoria.stop().await?;
    Ok(Some(share_lost(&workload.sums()?, found)))
}

fn requests(workload: &Workload, shape: Shape, base: &str) -> Result<Vec<Vec<u8>>> {
    let seconds = workload.seconds();
    let mut used = vec![0_u16; workload.names.len() * seconds.len()];
    let bodies = render(workload, shape, |text, event| {
        let ms = &mut used[event.name * seconds.len() + event.second];
        ensure!(*ms < MS_PER_SECOND, "too many events of one name in a second");
        let (name, second) = (&workload.names[event.name].name, &seconds[event.second]);
        writeln!(text, "events,name={name} count={} {second}{ms:03}", event.count)?;
        *ms += 1;
        Ok(())
    })?;
    Ok(bodies.iter().map(|body| with_head(base, body)).collect())
}

fn with_head(base: &str, body: &[u8]) -> Vec<u8> {
    let head = post_head(base, "/write?precision=ms", "text/plain", None, body.len());
    let mut text = head.into_bytes();
    text.extend_from_slice(body);
    text
}

/// The points of a history in the order of time, until the sums over the whole of each name are exact.
pub(crate) async fn history(history: &History, minutes_per_request: usize) -> Result<Outcome> {
    let client = sender::client(None)?;
    let Some(victoria) = Victoria::start(&client).await? else {
        return Ok(Outcome::NotInstalled);
    };
    let requests: Vec<Vec<u8>> = history
        .influx(minutes_per_request)
        .iter()
        .map(|body| with_head(&victoria.base, body))
        .collect();
    let wires = connect(&victoria.base).await?;
    let url = format!(
        "{}/api/v1/query?query=sum(sum_over_time(events_count[{}m]))&nocache=1&time={}.999",
        victoria.base,
        history.minutes,
        history.end_unix_s() - 1
    );
    let wanted: u64 = history.counts.iter().sum();
    let begun = Instant::now();
    send(requests, wires).await?;
    let acknowledged = Instant::now();
    loop {
        victoria.flush(&client).await?;
        let text = client.get(&url).send().await?.error_for_status()?.text().await?;
        let took = begun.elapsed();
        if text.contains(&format!("\"{wanted}\"]")) {
            victoria.stop().await?;
            return Ok(Outcome::Exact(took));
        }
        ensure!(acknowledged.elapsed() < EXACT_LIMIT, "not {wanted}: {text}");
        tokio::time::sleep(POLL).await;
    }
}

async fn connect(base: &str) -> Result<Vec<Wire>> {
    let mut wires = Vec::new();
    for _ in 0..CONNECTIONS {
        wires.push(Wire::connect(base).await?);
    }
    Ok(wires)
}

async fn send(requests: Vec<Vec<u8>>, wires: Vec<Wire>) -> Result<()> {
    let requests = Arc::new((requests, AtomicUsize::new(0)));
    let mut lanes = JoinSet::new();
    for mut wire in wires {
        let requests = requests.clone();
        lanes.spawn(async move {
            let (requests, next) = &*requests;
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let status = wire.ask(request).await?.status;
                ensure!((200..300).contains(&status), "victoria-metrics answered {status}");
            }
            Ok(())
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane??;
    }
    Ok(())
}

async fn ask(client: &reqwest::Client, base: &str, workload: &Workload) -> Result<Vec<u8>> {
    let first = workload.first_unix_s().div_euclid(60) * 60;
    let last = workload.first_unix_s() + i64::try_from(workload.seconds().len())?;
    let minutes = (last - first + 59).div_euclid(60);
    // Without its cache, it takes start and end as they are.
    let url = format!(
        "{base}/api/v1/query_range?query=sum_over_time(events_count[1m])&nocache=1&step=60s&start={}.999&end={}.999",
        first + 59,
        first + 60 * minutes - 1
    );
    let answer = client.get(url).send().await?.error_for_status()?;
    Ok(answer.bytes().await?.to_vec())
}

fn answers(text: &[u8]) -> Result<Answers> {
    let response: Response = serde_json::from_slice(text).context("not what query_range answers")?;
    let mut answers = Answers::new();
    for series in response.data.result {
        for (unix_s, count) in series.values {
            let minute = format!("{unix_s:.0}").parse::<i64>()? - 60;
            let count = count.parse().with_context(|| format!("a sum of {count}"))?;
            answers.push((series.metric.name.clone(), minute, count));
        }
    }
    Ok(answers)
}
