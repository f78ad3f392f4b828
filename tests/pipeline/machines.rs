//! Machines whose power can be cut: servers on disks that forget what was not synced.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use forgetful_disk::{Disk, Forgotten, InUse, Names};
use playground::Description;
use rand::RngExt;

use crate::rig::{Rig, wait_until};
use crate::small_disk::prepare;
use crate::soak::send;

/// Between two looks whether a process is gone. It is started again a quarter of a second after, at the earliest.
pub(crate) const GONE_POLL: Duration = Duration::from_millis(1);

/// The disks of a playground by the server on them: `eu/beanstalkd`, `eu/mariadb`, `central`.
pub(crate) struct Machines {
    disks: BTreeMap<String, Disk>,
}

impl Machines {
    /// Before a playground of these regions begins in `data`.
    pub(crate) fn mount(data: &Path, regions: &[String], servers: &[&str]) -> Self {
        prepare(data, regions);
        let mount = |server: &&str| {
            // MariaDB makes a new binlog, beanstalkd a new log file, without syncing the directory.
            let disk =
                Disk::mount(&data.join(server), Names::WithFile).unwrap_or_else(|error| panic!("{error}"));
            ((*server).to_owned(), disk)
        };
        Self {
            disks: servers.iter().map(mount).collect(),
        }
    }

    /// What was set up is on the disks, as it would be an hour later.
    pub(crate) fn sync(&self) {
        self.disks.values().for_each(Disk::sync);
    }

    /// Cuts the power of all these servers at once, and of the roles beside them; returns when all of them run again.
    pub(crate) async fn cut(&self, rig: &Rig, servers: &[&str]) -> Forgotten {
        let before = rig.description();
        let mut killed: Vec<_> = servers.iter().map(|server| pid(&before, server)).collect();
        let roles = servers.iter().flat_map(|server| beside(&before, server));
        let all: Vec<u32> = killed.iter().copied().chain(roles).collect();
        // All of them stop at the same moment: none goes on with a disk that others have lost.
        for name in ["STOP", "KILL"] {
            for &pid in &all {
                // It may have ended by itself, or by somebody else.
                send(name, Some(pid)).await;
            }
        }
        let mut forgotten = Forgotten::default();
        for (server, killed) in servers.iter().zip(&mut killed) {
            let of_disk = loop {
                while !is_gone(*killed) {
                    tokio::time::sleep(GONE_POLL).await;
                }
                match self.disks[*server].cut(|sectors| rand::rng().random_range(0..=sectors)) {
                    Ok(forgotten) => break forgotten,
                    // Another one was started meanwhile.
                    Err(InUse) => *killed = pid(&rig.description(), server),
                }
                send("KILL", Some(*killed)).await;
            };
            forgotten.bytes += of_disk.bytes;
            forgotten.names += of_disk.names;
            forgotten.is_torn |= of_disk.is_torn;
        }
        wait_until("the power to be back", async || {
            let now = rig.description();
            let mut all = servers.iter().zip(&killed);
            match all.find(|(server, killed)| pid(&now, server) == **killed) {
                Some((server, killed)) => Err(format!("{server} is still process {killed}")),
                None => Ok(()),
            }
        })
        .await;
        forgotten
    }
}

fn pid(description: &Description, server: &str) -> u32 {
    match server.split_once('/') {
        Some((region, "beanstalkd")) => description.regions[region].pids.beanstalkd,
        Some((region, _)) => description.regions[region].mariadb.pid,
        None if server == "central" => description.central.pid,
        None => description.standby.as_ref().unwrap().database.pid,
    }
}

/// The roles that have their power from the same socket: collectors stand beside the queue, workers beside the region's database.
fn beside(description: &Description, server: &str) -> Vec<u32> {
    match server.split_once('/') {
        Some((region, "beanstalkd")) => description.regions[region].pids.collector.all().to_vec(),
        Some((region, _)) => description.regions[region].pids.worker.all().to_vec(),
        None => Vec::new(),
    }
}

/// A process that has ended has closed its files, whether its parent has asked for its exit status or not.
pub(crate) fn is_gone(pid: u32) -> bool {
    state(pid).is_none()
}

/// The state of a process, as in proc(5): `T` is stopped. `None` once it has ended.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its name, in parentheses, may have any character; the state comes after it.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    rest.trim_start()
        .chars()
        .next()
        .filter(|state| !"ZX".contains(*state))
}
