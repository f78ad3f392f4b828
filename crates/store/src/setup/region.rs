//! A region's MariaDB, as an operator's command reaches it.

use crate::link::Link;
use crate::{Server, upkeep};

/// A region's MariaDB for an operator, who may do what a keeper may, and lets the region move.
pub struct RegionalServer {
    upkeep: upkeep::RegionalServer,
}

impl RegionalServer {
    /// A connection that is made when first needed, and anew after a failure.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self {
            upkeep: upkeep::RegionalServer::new(server),
        }
    }

    /// The server and the account that it is reached by.
    #[must_use]
    pub fn server(&self) -> &Server {
        self.upkeep.server()
    }

    /// The keeper's calls, over the same connection.
    pub fn upkeep(&mut self) -> &mut upkeep::RegionalServer {
        &mut self.upkeep
    }

    pub(super) fn link(&mut self) -> &mut Link {
        &mut self.upkeep.link
    }
}
