//! The depth of a region's queue.

/// The number of jobs in a region's queue by beanstalkd's states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Jobs that wait for a worker.
    pub ready: u64,
    /// Jobs that a worker holds.
    pub reserved: u64,
    /// Jobs that wait for a time of their own; collectors put none.
    pub delayed: u64,
    /// Jobs that were set aside until an operator kicks or deletes them.
    pub buried: u64,
    /// Seconds since the job next in line was put; `None` where no job is ready.
    pub oldest_ready_age_s: Option<u64>,
}

impl QueueDepth {
    /// The number of jobs in any state.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.ready + self.reserved + self.delayed + self.buried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_of_all_states_count() {
        let depth = QueueDepth {
            ready: 1,
            reserved: 20,
            delayed: 300,
            buried: 4_000,
            oldest_ready_age_s: Some(50_000),
        };
        assert_eq!(depth.jobs(), 4_321);
    }
}
