//! A region's MariaDB, as an operator's command reaches it.

use crate::link::Link;
use crate::{Server, upkeep};

/// A region's MariaDB for an operator, who may do what a keeper may, and lets the region move.
pub struct Region {
    keepers: upkeep::Region,
}

impl Region {
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self {
            keepers: upkeep::Region::new(server),
        }
    }

    #[must_use]
    pub fn server(&self) -> &Server {
        self.keepers.server()
    }

    /// What a keeper may do there, too.
    pub fn upkeep(&mut self) -> &mut upkeep::Region {
        &mut self.keepers
    }

    pub(super) fn link(&mut self) -> &mut Link {
        &mut self.keepers.link
    }
}
