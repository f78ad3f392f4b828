//! What is told of flushes: metrics, the log, and the region's books.

#![expect(clippy::disallowed_methods, reason = "flushes are measured")]

use std::collections::BTreeSet;
use std::time::Instant;

use hashbrown::HashSet;
use model::BatchId;
use queue::BOOKS;
use store::regional::Committed;

use crate::held::HeldJob;

/// Enters a commit in the metrics and the log.
pub(crate) fn count_committed(committed: &Committed, started: Instant) {
    let batches = committed.counted.len() as u64;
    metrics::counter!("worker_batches_counted_total").increment(batches);
    metrics::counter!("worker_batches_recognised_total").increment(committed.batches_recognised);
    metrics::counter!("worker_counts_total").increment(committed.count());
    metrics::counter!("worker_rows_total").increment(committed.rows as u64);
    for (client, reused) in &committed.reused {
        let labels = [("client", client.clone())];
        metrics::counter!("worker_key_reuse_batches_total", &labels).increment(reused.batches);
        metrics::counter!("worker_key_reuse_counts_total", &labels).increment(reused.count);
        tracing::warn!(
            client,
            batches = reused.batches,
            count = reused.count,
            "did not count another body under a key that was used before"
        );
    }
    metrics::histogram!("worker_flush_seconds").record(started.elapsed());
    if batches + committed.batches_recognised > 0 {
        tracing::info!(
            batches,
            recognised = committed.batches_recognised,
            rows = committed.rows,
            ms = started.elapsed().as_secs_f64() * 1000.0,
            "flushed"
        );
    }
}

/// Enters deleted jobs in the region's books: each job is deleted once, so what was deleted adds up to what collectors acknowledged.
pub(crate) fn count_deleted(jobs: &[HeldJob], deleted: &BTreeSet<u64>, mut counted: HashSet<BatchId>) {
    let (mut new, mut recognised) = (0_u64, 0_u64);
    for job in jobs {
        for (id, count) in &job.batches {
            // The first of several with one id is the one that was counted.
            let sum = if counted.remove(id) {
                &mut new
            } else {
                &mut recognised
            };
            if deleted.contains(&job.id) {
                *sum = sum.saturating_add(*count);
            }
        }
    }
    let jobs_deleted = deleted.len() as u64;
    BOOKS.delete(jobs_deleted, new, recognised);
    metrics::counter!("worker_jobs_deleted_total").increment(jobs_deleted);
    metrics::counter!("worker_deleted_counts_total", "outcome" => "counted").increment(new);
    metrics::counter!("worker_deleted_counts_total", "outcome" => "recognised").increment(recognised);
}
