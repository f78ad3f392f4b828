//! Findings: the alarms that a part of the keeper has last raised.

use std::sync::{Mutex, PoisonError};

use store::upkeep::Alarm;

/// The alarms of one part of the keeper, from its last pass, for the loop that notes those of all parts.
#[derive(Debug, Default)]
pub(crate) struct Findings(Mutex<Vec<Alarm>>);

impl Findings {
    pub(crate) fn get(&self) -> Vec<Alarm> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, alarms: Vec<Alarm>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = alarms;
    }
}
