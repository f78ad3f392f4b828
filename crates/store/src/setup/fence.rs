//! The fence: a row in a region's database that says, durably and for all of its workers, whether they count there. Every transaction of a
//! worker reads it under a shared lock, so whoever changes it waits for the transactions in progress, and none that begins later commits.

use std::time::Duration;

use mysql_async::prelude::Queryable;

use super::RegionalServer;
use crate::Error;
use crate::regional::PRUNING_LOCK;

/// Longest wait for the fence, and in it for the row's lock: longer than the 15 s that a worker's transaction may take, so that none in
/// progress makes the fence fail.
const FENCE_LIMIT: Duration = Duration::from_secs(40);
const LOCK_WAIT_S: u64 = 30;

/// Seconds to wait for a worker that prunes, which ends within its own limit of 15 s.
const PRUNING_WAIT_S: u64 = 20;

/// Seconds to wait for another switch: a command that was killed is gone as soon as the server notices.
const SWITCH_WAIT_S: u64 = 2;

/// A region's fence and the origin of its ledger: the row of `RegionMoved`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fence {
    /// Host and port of the server where the region's counts are written instead.
    pub moved_to: Option<String>,
    /// The region whose whole ledger was moved to this server.
    pub region: Option<String>,
    /// Host and port of the server where that ledger was before; `nowhere` where it was lost.
    pub moved_from: Option<String>,
}

impl RegionalServer {
    /// Reads the fence.
    ///
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

    /// Lets no worker count on this server any more, since the region moves to `address`; or lets them count again (`None`). Returns when
    /// no transaction that began before is in progress, with the address where they count instead: another than `address` if somebody else
    /// was first.
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

    /// Notes the region whose ledger this server has, and the address that it came from; `None` for its own. It comes after the whole
    /// ledger: a server without the note is not taken for one that has it.
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
    /// `Pruning` where a worker is still at it; the server refused or did not answer.
    pub async fn hold_pruning(&mut self) -> Result<(), Error> {
        if self.link().lock(PRUNING_LOCK, PRUNING_WAIT_S).await? {
            return Ok(());
        }
        Err(Error::Pruning {
            server: self.server().to_string(),
        })
    }
}
