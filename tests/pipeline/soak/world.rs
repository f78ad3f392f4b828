//! The system that a soak disturbs, and what it stands on.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use model::Timestamp;
use playground::Relay;
use tokio::process::Command;
use tokio::sync::Mutex;

use super::moving::{MOVES, Spare};
use crate::complete::complete_until;
use crate::failpoints::Failpoints;
use crate::machines::Machines;
use crate::rig::{Rig, wait_up_to};
use crate::small_disk::{QUEUE_MIB, SmallDisk, prepare};

/// A new MariaDB's files, and the log of a long run.
const DATABASE_MIB: u32 = 1_000;

pub(crate) struct World {
    pub(crate) rig: Rig,
    /// Those whose disks forget.
    pub(crate) machines: Machines,
    /// Held by whoever cuts power.
    pub(crate) power: Mutex<()>,
    pub(crate) failpoints: Failpoints,
    /// Those that events are sent to.
    pub(crate) regions: Vec<String>,
    pub(crate) relays: BTreeMap<String, Relay>,
    pub(crate) disks: Disks,
    /// The next servers of regions that move, by region.
    pub(crate) spares: BTreeMap<&'static str, Spare>,
    /// How far the clock of one region is ahead.
    pub(crate) off_s: i32,
}

/// The region whose disks are small.
pub(crate) const SMALL: &str = MOVES;

/// Under its queue and its database.
pub(crate) struct Disks(pub(crate) Result<(Mutex<SmallDisk>, Mutex<SmallDisk>), String>);

impl Disks {
    /// Before a playground begins in `data`.
    pub(crate) fn mount(data: &Path, regions: &[String]) -> Self {
        let small = data.join(SMALL);
        let mount = || {
            let queue = SmallDisk::mount(&small.join("beanstalkd"), QUEUE_MIB)?;
            let database = SmallDisk::mount(&small.join("mariadb"), DATABASE_MIB)?;
            Ok((Mutex::new(queue), Mutex::new(database)))
        };
        prepare(data, regions);
        Self(mount())
    }

    pub(crate) fn missing(&self) -> Option<&str> {
        self.0.as_ref().err().map(String::as_str)
    }
}

impl World {
    /// At every centre, everything that was acknowledged before `at` is in the answer.
    pub(crate) async fn wait_until_complete(&self, at: Timestamp, limit: Duration) {
        wait_up_to(limit, "everything to be complete", async || {
            let url = format!("{}/v1/status", self.rig.description().api);
            let response = self
                .rig
                .http
                .get(url)
                .send()
                .await
                .map_err(|error| error.to_string())?;
            let status: serde_json::Value = response.json().await.map_err(|error| error.to_string())?;
            let centres = status["centres"].as_array().ok_or(status.to_string())?;
            let all = centres.iter().all(|centre| complete_until(centre) > Some(at));
            all.then_some(())
                .ok_or_else(|| format!("{} {}", status["centres"], status["regions"]))
        })
        .await;
    }
}

/// Whether the process was there.
pub(crate) async fn send(signal: &str, pid: Option<u32>) -> bool {
    let Some(pid) = pid.filter(|&pid| pid > 0) else {
        return false;
    };
    let mut kill = Command::new("kill");
    let kill = kill
        .args([format!("-{signal}"), pid.to_string()])
        .stderr(Stdio::null());
    kill.status().await.unwrap().success()
}
