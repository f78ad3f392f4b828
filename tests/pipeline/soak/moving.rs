//! Regions whose database is another server from some time on: one moves, faults or not; one has lost its disk.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use playground::{Database, Relay};
use tokio::process::Command;

use super::traffic::Traffic;
use super::world::{World, send};
use crate::rig::{PROGRAM, lose_data, wait_up_to};

/// The region that moves; it is the one with small disks, until then.
pub(crate) const MOVES: &str = "eu";

/// The region whose database is lost with its disk.
pub(crate) const LOSES: &str = "us";

/// These regions' next servers, which run from the beginning.
pub(crate) const SPARES: [(&str, &str); 2] = [(MOVES, "spare"), (LOSES, "replacement")];

/// One run of the command, which faults may hold up or end: the next one goes on.
const RUN_LIMIT: Duration = Duration::from_secs(120);

const MOVE_LIMIT: Duration = Duration::from_secs(600);

/// The next server of a region.
pub(crate) struct Spare {
    /// What the playground calls it, as if it were a region of its own.
    pub(crate) place: &'static str,
    /// Between the centres and the server.
    pub(crate) relay: Relay,
    is_used: AtomicBool,
}

impl Spare {
    /// Those of all regions, out of the relays by their places.
    pub(crate) fn all(relays: &mut BTreeMap<String, Relay>) -> BTreeMap<&'static str, Self> {
        let spare = |(region, place)| {
            let spare = Self {
                place,
                relay: relays.remove(place).unwrap(),
                is_used: AtomicBool::new(false),
            };
            (region, spare)
        };
        SPARES.into_iter().map(spare).collect()
    }
}

impl World {
    fn next_server(&self, region: &str) -> Option<&Spare> {
        let spare = self.spares.get(region);
        spare.filter(|spare| spare.is_used.load(Ordering::SeqCst))
    }

    pub(crate) fn has_moved(&self, region: &str) -> bool {
        self.next_server(region).is_some()
    }

    /// Where a region's counts are written now.
    pub(crate) fn database(&self, region: &str) -> Database {
        self.rig.description().regions[self.place(region)].mariadb.clone()
    }

    /// What the playground calls the region whose server that is.
    pub(crate) fn place<'a>(&self, region: &'a str) -> &'a str {
        self.next_server(region).map_or(region, |spare| spare.place)
    }

    /// The link between a region and the centres.
    pub(crate) fn link(&self, region: &str) -> &Relay {
        match self.next_server(region) {
            Some(spare) => &spare.relay,
            None => &self.relays[region],
        }
    }

    /// As it is planned, whatever goes wrong.
    pub(crate) async fn move_region(&self) {
        self.switch(MOVES, &[]).await;
    }

    /// A database is gone, of whose counts the centres have all, and its ledger with it.
    pub(crate) async fn lose_database(&self, traffic: &Traffic) {
        let data = self.rig.data_dir().join(LOSES).join("mariadb/data");
        lose_data(&data, || self.database(LOSES).pid).await;
        self.switch(LOSES, &["--accept-loss"]).await;
        traffic.forget_what_was_sent(LOSES);
    }

    /// At both centres, one after the other; then the region's workers.
    async fn switch(&self, region: &str, further: &[&str]) {
        let spare = &self.spares[region];
        let to = spare.relay.address().to_string();
        for centre in ["central", "standby"] {
            let config = self.rig.config(centre);
            let config = config.to_str().unwrap();
            let command = ["region", "switch", region, "--to", &to, "--config", config];
            let command = [&command, further].concat();
            wait_up_to(MOVE_LIMIT, "the region to move", async || run(&command).await).await;
        }
        spare.is_used.store(true, Ordering::SeqCst);
        self.point_workers(region);
        let description = self.rig.description();
        for &pid in description.regions[region].pids.worker.all() {
            send("TERM", Some(pid)).await;
        }
    }

    /// As an operator would: the workers reach the new server directly.
    fn point_workers(&self, region: &str) {
        let path = self.rig.config(region);
        let mut config: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        let (new, regional) = (self.database(region), config["regional"].as_table_mut().unwrap());
        regional.insert("socket".to_owned(), new.socket.to_str().unwrap().into());
        regional.insert("port".to_owned(), i64::from(new.port).into());
        std::fs::write(path, config.to_string()).unwrap();
    }
}

/// Runs the program once.
///
/// # Errors
/// What it said, where it failed or was given up.
pub(crate) async fn run(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
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
