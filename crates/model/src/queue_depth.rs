//! The state of a region's queue.

/// Jobs in the tube by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueDepth {
    pub ready: u64,
    pub reserved: u64,
    pub delayed: u64,
    pub buried: u64,
    /// Seconds since the job next in line was put; none where no job is ready.
    pub oldest_ready_age_s: Option<u64>,
}

impl QueueDepth {
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.ready + self.reserved + self.delayed + self.buried
    }
}
