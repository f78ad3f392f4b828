//! The files and ports that belong to a centre.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use model::{Shard, Shards};
use toml::{Table, Value};

/// The centre that the api prefers.
pub(crate) const CENTRAL: &str = "central";

/// The second centre.
pub(crate) const STANDBY: &str = "standby";

/// Servers of the preferred centre, at most: as many as the ten ports of centres have room for.
pub const CENTRAL_SERVERS_MAX: usize = 4;

/// Distance from the api's port to that of the first server, and to that of the second where there are several.
const PORT_OFFSETS: [u16; 2] = [1, 5];

/// The `server_id` of the preferred centre's first server. That of the second centre follows, and then those of further servers.
const SERVER_ID: u32 = 100_000;

/// A centre: its servers with its keeper.
#[derive(Debug, Clone)]
pub(crate) struct Centre {
    /// The name by which the other centre's file, the processes and the directory call it.
    pub name: &'static str,
    pub config: PathBuf,
    /// Its servers, of which there is at least one.
    pub servers: Vec<CentreServer>,
    pub keeper_port: u16,
}

/// One of a centre's MariaDB servers.
#[derive(Debug, Clone)]
pub(crate) struct CentreServer {
    /// The name by which the configuration, the processes and the directory call it; the centre's where it is the only one.
    pub name: String,
    pub dir: PathBuf,
    /// MariaDB's `server_id`, which no two servers share: a source ends the connection of a replica when another one comes with its id.
    pub server_id: u32,
    pub port: u16,
    pub shards: Shards,
}

impl Centre {
    /// The preferred centre, of so many servers.
    pub(crate) fn central(dir: &Path, api_port: u16, servers: usize) -> Self {
        let [first, further] = PORT_OFFSETS;
        let config = dir.join("central.toml");
        let moved = shards_in(&config);
        let server = |n: usize| {
            let number = u16::try_from(n).unwrap_or(u16::MAX);
            let (name, after) = match n {
                0 if servers == 1 => (CENTRAL.to_owned(), 0),
                _ => (server_name(n), u32::from(number) + u32::from(n > 0)),
            };
            CentreServer {
                shards: moved.get(&name).copied().unwrap_or_else(|| share(n, servers)),
                dir: dir.join(&name),
                name,
                server_id: SERVER_ID + after,
                port: api_port + if n == 0 { first } else { further + number - 1 },
            }
        };
        Self {
            name: CENTRAL,
            config,
            servers: (0..servers).map(server).collect(),
            keeper_port: api_port + 2,
        }
    }

    pub(crate) fn standby(dir: &Path, api_port: u16) -> Self {
        let server = CentreServer {
            name: STANDBY.to_owned(),
            dir: dir.join(STANDBY),
            server_id: SERVER_ID + 1,
            port: api_port + 3,
            shards: Shards::ALL,
        };
        Self {
            name: STANDBY,
            config: dir.join("standby.toml"),
            servers: vec![server],
            keeper_port: api_port + 4,
        }
    }

    pub(crate) fn is_several(&self) -> bool {
        self.servers.len() > 1
    }

    /// Checks that a second centre, once there, is started again: a keeper that is not told of it would purge what it has not applied yet.
    ///
    /// # Errors
    /// The data directory holds a second centre, and `standby` is none.
    pub(crate) fn check_none_is_left_out(dir: &Path, standby: Option<&Self>) -> Result<()> {
        let dir = dir.join(STANDBY);
        ensure!(
            standby.is_some() || !dir.exists(),
            "the data directory holds a second centre as well: pass --standby, too, or remove {} for good",
            dir.display()
        );
        Ok(())
    }

    /// Checks that the centre has the servers that the directory holds: another number of them would have others' shards.
    ///
    /// # Errors
    /// The data directory holds a centre with another number of servers.
    pub(crate) fn check_servers(&self, dir: &Path) -> Result<()> {
        let is_there = |name: &str| dir.join(name).exists();
        let further = (0..CENTRAL_SERVERS_MAX)
            .filter(|&n| is_there(&server_name(n)))
            .count();
        let held = if is_there(CENTRAL) { 1 } else { further };
        ensure!(
            [0, self.servers.len()].contains(&held),
            "the data directory holds a centre with {held} server{}: pass --central-servers {held}, or another --data-dir",
            if held == 1 { "" } else { "s" }
        );
        Ok(())
    }
}

/// The name of a server of several, counted from 0.
pub(crate) fn server_name(n: usize) -> String {
    format!("c{}", n + 1)
}

/// The shards of each server by the configuration of an earlier start: some may have moved since it was written first.
fn shards_in(config: &Path) -> BTreeMap<String, Shards> {
    let text = std::fs::read_to_string(config).unwrap_or_default();
    let table: Table = text.parse().unwrap_or_default();
    let servers = table.get("central_server").and_then(Value::as_array);
    let shards = |server: &Value| {
        let text = |key| server.get(key).and_then(Value::as_str);
        Some((text("name")?.to_owned(), text("shards")?.parse().ok()?))
    };
    servers.into_iter().flatten().filter_map(shards).collect()
}

/// The shards of server `n` of several, which have about the same number of them.
fn share(n: usize, servers: usize) -> Shards {
    let of = |shard: &Shard| usize::from(shard.number()) * servers / Shard::all().count() == n;
    Shard::all().filter(of).collect()
}
