//! Where a region's counts are written, durably and for all of its workers.

use std::time::Duration;

use mysql_async::prelude::Queryable;

use super::Region;
use crate::Error;

/// Longer than a worker's transaction may take, so that none in progress makes the fence fail.
const FENCE_LIMIT: Duration = Duration::from_secs(40);
const LOCK_WAIT_S: u64 = 30;

/// Pruning under way ends within its own limit of 15 s.
const PRUNING_WAIT_S: u64 = 20;

/// A command that was killed is gone as soon as the server notices.
const SWITCH_WAIT_S: u64 = 2;

/// The row of `RegionMoved`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fence {
    /// Host and port of the server where the region's counts are written instead.
    pub moved_to: Option<String>,
    /// The region whose whole ledger was moved to this server.
    pub region: Option<String>,
    /// Host and port of the server where that ledger was before; `nowhere` where it was lost.
    pub moved_from: Option<String>,
}

impl Region {
    /// # Errors
    /// The server refused or did not answer.
    pub async fn fence(&mut self) -> Result<Fence, Error> {
        const SQL: &str = "SELECT movedTo, region, movedFrom FROM eventtracker.RegionMoved WHERE id = 1";
        let row: Option<(Option<String>, Option<String>, Option<String>)> = self
            .link()
            .brief("look for a move", async |conn| conn.query_first(SQL).await)
            .await?;
        let (moved_to, region, moved_from) = row.unwrap_or_default();
        Ok(Fence {
            moved_to,
            region,
            moved_from,
        })
    }

    /// Lets no worker count on this server any more, or again (`None`). Returns when no transaction that began before is
    /// in progress, with where they count instead: elsewhere than `address` if somebody else was first.
    ///
    /// # Errors
    /// The server refused or did not answer: the fence may stand or not.
    pub async fn set_moved_to(&mut self, address: Option<&str>) -> Result<Option<String>, Error> {
        const SQL: &str = "INSERT INTO eventtracker.RegionMoved (id, movedTo) VALUES (1, ?) \
                           ON DUPLICATE KEY UPDATE movedTo = IF(movedTo IS NULL OR VALUES(movedTo) IS NULL, VALUES(movedTo), movedTo)";
        self.link()
            .call("stop the region's workers", FENCE_LIMIT, async |conn| {
                conn.query_drop(format!(
                    "SET SESSION sql_log_bin = 0, innodb_lock_wait_timeout = {LOCK_WAIT_S}"
                ))
                .await?;
                conn.exec_drop(SQL, (address,)).await
            })
            .await?;
        Ok(self.fence().await?.moved_to)
    }

    /// Keeps other switches away from this server while this connection lasts.
    ///
    /// # Errors
    /// `Switching` where another one is at it; the server refused or did not answer.
    pub async fn hold_switch(&mut self) -> Result<(), Error> {
        if self.link().lock("eventtracker.switch", SWITCH_WAIT_S).await? {
            return Ok(());
        }
        Err(Error::Switching {
            server: self.server().to_string(),
        })
    }

    /// Says whose ledger this server has, and where from; `None` for its own.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn set_moved_from(&mut self, from: Option<(&str, &str)>) -> Result<(), Error> {
        const SQL: &str = "INSERT INTO eventtracker.RegionMoved (id, region, movedFrom) VALUES (1, ?, ?) \
                           ON DUPLICATE KEY UPDATE region = VALUES(region), movedFrom = VALUES(movedFrom)";
        let (region, address) = from.unzip();
        self.link()
            .brief("note whose ledger it has", async |conn| {
                conn.query_drop("SET SESSION sql_log_bin = 0").await?;
                conn.exec_drop(SQL, (region, address)).await
            })
            .await
    }

    /// Waits for a worker that prunes the ledger, and keeps all of them from it while this connection lasts.
    ///
    /// # Errors
    /// The server refused or did not answer, or a worker is still at it.
    pub async fn hold_pruning(&mut self) -> Result<(), Error> {
        if self.link().lock("eventtracker.prune", PRUNING_WAIT_S).await? {
            return Ok(());
        }
        Err(Error::Pruning {
            server: self.server().to_string(),
        })
    }
}
