//! Flushes as a worker commits them, with names that the centre knows.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use hashbrown::HashMap;
use model::{Batch, BatchId, Minute, MinuteCounts, QueueDepth, Timestamp};
use store::Password;
use store::regional::{Flush, Regional, Report};

use crate::events::{Row, names};
use crate::pipeline::Pipeline;

/// A worker's limit.
pub(super) const ROWS_PER_FLUSH: usize = 20_000;

const MINUTES: usize = 5;

/// About as many as a job holds.
const COUNTS_PER_BATCH: usize = 4_000;

/// The rows of a flush in the order of the key, of names that no other has.
pub(super) fn rows() -> Result<Vec<Row>> {
    let now: Timestamp = SystemTime::now().into();
    let mut rows = MinuteCounts::default();
    for name in names(ROWS_PER_FLUSH / MINUTES)? {
        for minutes_ago in (0_i64..).take(MINUTES) {
            rows.add(
                name.id,
                Minute::containing(now.plus_ms(-60_000 * minutes_ago))?,
                7,
            );
        }
    }
    Ok(rows.sorted())
}

/// A worker of the only region of bare servers.
pub(super) struct Worker {
    regional: Regional,
}

impl Worker {
    pub(super) fn new(servers: &Pipeline) -> Result<Self> {
        const USER: &str = "eventtracker_worker";
        let (region, parts) = servers
            .description
            .regions
            .first_key_value()
            .context("there is no region")?;
        let password = Password::File(servers.dir()?.join("passwords").join(USER));
        let server = parts.mariadb.root().with_user(USER, Some(password));
        Ok(Self {
            regional: Regional::new(server, region, "bench")?,
        })
    }

    /// Commits `rows` as new batches.
    pub(super) async fn commit(&mut self, rows: &[Row]) -> Result<()> {
        let now: Timestamp = SystemTime::now().into();
        let batch = |counts: &[Row]| Batch {
            id: BatchId::from_bytes(rand::random()),
            accepted: now,
            counts: counts.to_vec(),
            origin: None,
        };
        let batches: Vec<Batch> = rows.chunks(COUNTS_PER_BATCH).map(batch).collect();
        let report = Report {
            seen_at: now,
            queue: QueueDepth::default(),
            is_queue_durable: true,
            disk: None,
            hold: Duration::ZERO,
            complete_until: Some(now),
            mark: None,
        };
        let committed = self
            .regional
            .commit(&Flush {
                deadline: None,
                batches: &batches,
                new_names: &HashMap::new(),
                is_known: &|_| true,
                popularity: &[],
                report: &report,
            })
            .await?;
        ensure!(
            committed.rows == rows.len(),
            "{} rows were committed",
            committed.rows
        );
        Ok(())
    }
}
