//! The check of a job's body: for the fuzz target `jobs`, and for its corpus.

use model::COUNT_MAX;

use crate::wire::Wire;
use crate::{EventIds, decode, plain};

/// Reads the body of a job.
///
/// # Panics
/// The two readers differ, or a count comes out that a worker must not see.
pub fn jobs(body: &[u8]) {
    if let Some(job) = std::str::from_utf8(body).ok().and_then(plain::job) {
        let by_serde: Wire<'_> = serde_json::from_slice(body).expect("what is plain is JSON");
        assert_eq!(by_serde, job);
    }
    let Ok(job) = decode(body, &mut EventIds::default()) else {
        return;
    };
    for (id, _, count) in job.batches.iter().flat_map(|batch| &batch.counts) {
        assert!((1..=COUNT_MAX).contains(count), "{count}");
        assert!(job.names.iter().any(|(of, name)| of == id && name.id() == *id));
    }
}

#[cfg(test)]
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

#[cfg(test)]
#[test]
fn what_was_found_holds() {
    replay::corpus("jobs", jobs);
}
