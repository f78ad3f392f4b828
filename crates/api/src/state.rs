//! The state that all handlers share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::admission::Door;
use crate::centres::Centres;
use crate::clients::Clients;
use crate::intake::Intake;
use crate::names::loader::Names;
use crate::places::Places;
use crate::room::Room;
use crate::troubles::Troubles;
use crate::turns::Turns;

/// Searches through names at once: each keeps a core busy, mostly for some milliseconds.
const SEARCHES_MAX: usize = 2;

/// Evaluations of targets at once: each keeps a core busy, for two seconds at worst.
const EVALUATIONS_MAX: usize = 2;

/// Audits at once: each keeps a core of the centre busy.
const AUDITS_MAX: usize = 1;

/// The state of the api; clones share it.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) centres: Centres,
    /// Memory for answers that are made and sent.
    pub(crate) points: Room,
    /// Memory for what requests send.
    pub(crate) intake: Intake,
    /// Places for reads of counts.
    pub(crate) places: Arc<Places>,
    /// The index of all names, as the loader keeps it up to date.
    pub(crate) names: Names,
    /// Turns for searches through names.
    pub(crate) searches: Turns,
    /// Turns for evaluations that take more than a moment.
    pub(crate) evaluations: Turns,
    /// A permit for each audit in progress, which goes with its statement.
    pub(crate) audits: Arc<Semaphore>,
    /// Who is let in.
    pub(crate) door: Arc<Door>,
    /// What is wrong with the api itself.
    pub(crate) troubles: Arc<Troubles>,
    /// What clients did lately.
    pub(crate) clients: Arc<Clients>,
}

impl Api {
    pub(crate) fn new(centres: Centres, names: Names, door: Door, is_fair: bool) -> Self {
        Self {
            centres,
            points: Room::new(),
            intake: Intake::new(),
            places: Arc::new(Places::new(is_fair)),
            names,
            searches: Turns::new(SEARCHES_MAX),
            evaluations: Turns::new(EVALUATIONS_MAX),
            audits: Arc::new(Semaphore::new(AUDITS_MAX)),
            door: Arc::new(door),
            troubles: Arc::default(),
            clients: Arc::default(),
        }
    }
}
