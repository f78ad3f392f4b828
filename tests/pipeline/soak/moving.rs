//! In the middle of a soak a region moves to another server, faults or not.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use playground::{Database, Relay};
use tokio::process::Command;

use super::faults::{World, send};
use crate::rig::{PROGRAM, wait_up_to};

/// The region that moves; it is the one with small disks, until then.
pub(crate) const MOVES: &str = "eu";

/// Its next server, which runs from the beginning.
pub(crate) const SPARE: &str = "spare";

/// One run of the command, which faults may hold up or end: the next one goes on.
const RUN_LIMIT: Duration = Duration::from_secs(120);

const MOVE_LIMIT: Duration = Duration::from_secs(600);

pub(crate) struct Moving {
    /// Between the centres and the next server.
    pub(crate) relay: Relay,
    pub(crate) is_done: AtomicBool,
}

impl World {
    pub(crate) fn has_moved(&self, region: &str) -> bool {
        region == MOVES && self.moving.is_done.load(Ordering::SeqCst)
    }

    /// Where a region's counts are written now.
    pub(crate) fn database(&self, region: &str) -> Database {
        self.rig.description().regions[self.place(region)].mariadb.clone()
    }

    /// What the playground calls the region whose server that is.
    pub(crate) fn place<'a>(&self, region: &'a str) -> &'a str {
        if self.has_moved(region) { SPARE } else { region }
    }

    /// The link between a region and the centres.
    pub(crate) fn link(&self, region: &str) -> &Relay {
        if self.has_moved(region) {
            &self.moving.relay
        } else {
            &self.relays[region]
        }
    }

    /// At both centres, one after the other; then the region's workers.
    pub(crate) async fn move_region(&self) {
        let to = self.moving.relay.address().to_string();
        for centre in ["central", "standby"] {
            wait_up_to(MOVE_LIMIT, "the region to move", async || {
                self.switch(&to, centre).await
            })
            .await;
        }
        self.moving.is_done.store(true, Ordering::SeqCst);
        self.point_workers();
        let description = self.rig.description();
        for &pid in description.regions[MOVES].pids.worker.all() {
            send("TERM", Some(pid)).await;
        }
    }

    async fn switch(&self, to: &str, centre: &str) -> Result<(), String> {
        let config = self.rig.config(centre);
        let mut command = Command::new(PROGRAM);
        command
            .args(["region", "switch", MOVES, "--to", to, "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(RUN_LIMIT, command.output())
            .await
            .map_err(|_| "it was given up".to_owned())?
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        if output.status.success() {
            Ok(())
        } else {
            Err(text)
        }
    }

    /// As an operator would: the workers reach the new server directly.
    fn point_workers(&self) {
        let path = self.rig.config(MOVES);
        let mut config: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        let (new, regional) = (self.database(MOVES), config["regional"].as_table_mut().unwrap());
        regional.insert("socket".to_owned(), new.socket.to_str().unwrap().into());
        regional.insert("port".to_owned(), i64::from(new.port).into());
        std::fs::write(path, config.to_string()).unwrap();
    }
}
