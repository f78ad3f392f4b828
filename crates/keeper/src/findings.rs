//! What a part of the keeper last found to be wrong.

use std::sync::{Mutex, PoisonError};

use store::upkeep::Alarm;

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
