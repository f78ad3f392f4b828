//! What the handlers share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::centres::Centres;
use crate::intake::Intake;
use crate::names::Names;
use crate::room::Room;
use crate::turns::Turns;
use crate::writers::Writers;

/// Searches through names at once: each keeps a core busy, mostly for some milliseconds.
const SEARCHES_MAX: usize = 2;

/// Evaluations of targets at once: each keeps a core busy, for two seconds at worst.
const EVALUATIONS_MAX: usize = 2;

/// Audits at once: each keeps a core of the centre busy.
const AUDITS_MAX: usize = 1;

#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) centres: Centres,
    pub(crate) points: Room,
    pub(crate) intake: Intake,
    pub(crate) names: Names,
    pub(crate) searches: Turns,
    /// For evaluations that take more than a moment.
    pub(crate) evaluations: Turns,
    /// A permit for each audit in progress, which goes with its statement.
    pub(crate) audits: Arc<Semaphore>,
    pub(crate) writers: Arc<Writers>,
}

impl Api {
    pub(crate) fn new(centres: Centres, names: Names, writers: Writers) -> Self {
        Self {
            centres,
            points: Room::new(),
            intake: Intake::new(),
            names,
            searches: Turns::new(SEARCHES_MAX),
            evaluations: Turns::new(EVALUATIONS_MAX),
            audits: Arc::new(Semaphore::new(AUDITS_MAX)),
            writers: Arc::new(writers),
        }
    }
}
