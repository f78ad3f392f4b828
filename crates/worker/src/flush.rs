//! The delivery promise: commit, then delete.

use std::collections::BTreeSet;

use queue::Consumer;
use store::regional::{Committed, Flush, Regional};

/// What a flush did, whoever wants to know.
pub(crate) struct Flushed {
    pub(crate) committed: Committed,
    /// The jobs that this worker has deleted; some may have gone back to the queue, and a lost connection leaves them there.
    pub(crate) deleted: Result<BTreeSet<u64>, queue::Error>,
}

/// Commits what the jobs hold, then deletes them. The order is the delivery promise: a crash in between
/// brings the jobs back, and the ledger recognises their batches.
///
/// # Errors
/// The commit failed, or it is not known whether it did: no job was deleted.
pub(crate) async fn flush(
    region: &mut Regional,
    jobs: &mut Consumer,
    flush: &Flush<'_>,
    job_ids: Vec<u64>,
) -> Result<Flushed, store::Error> {
    failpoint::crash("worker.reserved");
    let committed = region.commit(flush).await?;
    failpoint::crash("worker.committed");
    let deleted = jobs.delete(job_ids).await;
    failpoint::crash("worker.deleted");
    Ok(Flushed { committed, deleted })
}
