#![doc = include_str!("../README.md")]
#![expect(
    clippy::disallowed_methods,
    reason = "processes are started, watched and stopped within limits of time"
)]

mod accounts;
mod authority;
mod centre;
mod claim;
mod demo;
mod description;
mod directory;
mod inventory;
mod layout;
mod mariadb;
mod memory;
mod metrics;
mod part;
mod private_file;
mod process;
mod programs;
mod relay;
mod roles;
mod shifted_clock;
mod spawner;
mod start;
mod tokens;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

pub use crate::centre::CENTRAL_SERVERS_MAX;
use crate::centre::{CENTRAL, CentreServer};
use crate::claim::Claim;
use crate::demo::Demo;
pub use crate::description::{
    CentralServer, CentrePids, DESCRIPTION_FILE, Database, Description, Pids, RegionDescription, RegionPids,
    Standby,
};
pub use crate::directory::Directory;
use crate::layout::Layout;
pub use crate::layout::ROLES_PER_REGION_MAX;
use crate::mariadb::MariaDb;
pub use crate::metrics::counter;
use crate::part::Kind;
use crate::process::Process;
use crate::programs::Programs;
pub use crate::relay::{Link, Relay};
pub use crate::shifted_clock::{CLOCK_IS_SEEN, set_clock};
use crate::spawner::Spawner;
pub use crate::start::free_port;
pub use crate::tokens::Secrets;
pub use authority::Authority;

/// Pause between two looks of the supervisor at its processes.
const SUPERVISION_INTERVAL: Duration = Duration::from_millis(100);

/// The shape of a playground. By default it has the servers of two regions and one centre, and no roles.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `eventtracker` binary that runs the roles; without it, only the servers are started.
    pub program: Option<PathBuf>,
    /// The directory in which everything is kept for the next start. It is created where it is missing.
    pub data_dir: PathBuf,
    /// The api's port; all others follow from it.
    pub port: u16,
    /// Names of the regions: lower-case letters, digits and `-`, at most 32.
    pub regions: Vec<String>,
    /// The regions that run but that no centre is told of.
    pub unattached: Vec<String>,
    /// The regions that have no roles: a beanstalkd and a MariaDB that nobody uses yet.
    pub servers_only: Vec<String>,
    /// Ports, by region, at which the centres reach its MariaDB, where that is not its own: a [`Relay`]'s.
    pub links: BTreeMap<String, u16>,
    /// Seconds, by region or centre, that the clocks of its processes are ahead when they start, with Debian's libfaketime;
    /// [`set_clock`] sets each of them while it runs.
    pub clocks_ahead_s: BTreeMap<String, i32>,
    /// Options of servers, by their names such as `eu/beanstalkd`, that come after those that they have anyway.
    pub server_options: BTreeMap<String, Vec<String>>,
    /// Variables that the roles have in their environment.
    pub role_environment: Vec<(&'static str, String)>,
    /// Collectors in each region, at most [`ROLES_PER_REGION_MAX`].
    pub collectors: usize,
    /// Workers in each region, at most [`ROLES_PER_REGION_MAX`].
    pub workers: usize,
    /// Servers of the preferred centre, at most [`CENTRAL_SERVERS_MAX`]; each has as many shards as the others.
    pub central_servers: usize,
    /// Whether there is a second centre, fed by the same regions.
    pub standby: bool,
    /// Whether clients need a token, of which there is one for each scope.
    pub tokens: bool,
    /// Whether what is said is encrypted, with certificates of an authority of its own.
    pub tls: bool,
    /// Whether to send the traffic of a shop that does not exist.
    pub demo: bool,
    /// Whether people look at it: then the databases take memory in proportion to the machine, and a centre knows time zones. Tests start
    /// many, and do without.
    pub is_for_people: bool,
    /// Settings to be merged into every region's configuration, table by table.
    pub region_overrides: toml::Table,
    /// Settings to be merged into every centre's configuration, table by table.
    pub central_overrides: toml::Table,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            program: None,
            data_dir: PathBuf::from(".playground"),
            port: 7070,
            regions: vec!["eu".to_owned(), "us".to_owned()],
            unattached: Vec::new(),
            servers_only: Vec::new(),
            links: BTreeMap::new(),
            clocks_ahead_s: BTreeMap::new(),
            server_options: BTreeMap::new(),
            role_environment: Vec::new(),
            collectors: 1,
            workers: 1,
            central_servers: 1,
            standby: false,
            tokens: false,
            tls: false,
            demo: false,
            is_for_people: false,
            region_overrides: toml::Table::new(),
            central_overrides: toml::Table::new(),
        }
    }
}

/// A playground that runs. Dropped without [`Playground::stop`], its processes are told to end but not waited for.
#[derive(Debug)]
pub struct Playground {
    options: Options,
    claim: Claim,
    layout: Layout,
    programs: Programs,
    spawner: Spawner,
    processes: Vec<Process>,
    demo: Option<Demo>,
    secrets: Option<Secrets>,
}

/// Starts a playground, hands its description to `on_ready`, keeps it running until `stop`, then stops it in order; `kill` ends it at once,
/// at any time.
///
/// # Errors
/// The reason that kept it from starting, in a sentence that says what to do.
pub async fn run(
    options: Options,
    stop: CancellationToken,
    kill: CancellationToken,
    on_ready: impl FnOnce(&Description),
) -> Result<()> {
    let started = tokio::select! {
        started = Playground::start(options, &stop) => started,
        // The value that held the processes is gone, so the kernel tells them to end.
        () = kill.cancelled() => return Ok(()),
    };
    let mut playground = match started {
        Err(_) if stop.is_cancelled() => return Ok(()),
        started => started?,
    };
    on_ready(&playground.description());
    playground.supervise(stop).await;
    tokio::select! {
        () = playground.stop() => {}
        () = kill.cancelled() => playground.kill().await,
    }
    Ok(())
}

impl Playground {
    /// Starts everything and returns when all of it is ready. When `stop` comes first, or anything fails,
    /// what was started is stopped again.
    ///
    /// # Errors
    /// A missing program, a data directory or port in use, options that do not fit, a process that does not start.
    pub async fn start(options: Options, stop: &CancellationToken) -> Result<Self> {
        // The directory is claimed before anything in it is read or written: it may be another playground's.
        let programs = Programs::find()?;
        let claim = Claim::of(&options.data_dir)?;
        let layout = Layout::new(&options, &claim.dir)?;
        let spawner = Spawner::new()?;
        let mut playground = Self {
            options,
            claim,
            layout,
            programs,
            spawner,
            processes: Vec::new(),
            demo: None,
            secrets: None,
        };
        let started = tokio::select! {
            started = playground.start_all() => started,
            () = stop.cancelled() => Err(anyhow::anyhow!("told to stop before everything was ready")),
        };
        if let Err(error) = started {
            playground.stop().await;
            return Err(error);
        }
        Ok(playground)
    }

    /// The description of what runs now, as `playground.json` holds it.
    #[must_use]
    pub fn description(&self) -> Description {
        let regions = self.layout.regions.iter().map(|region| {
            let urls = (0..self.options.collectors).map(|n| self.layout.base_url(region.collector_port(n)));
            let description = RegionDescription {
                collector: self.layout.base_url(region.collector_port(0)),
                collectors: if self.options.collectors > 1 {
                    urls.collect()
                } else {
                    Vec::new()
                },
                beanstalkd: roles::address(region.beanstalkd_port()),
                mariadb: MariaDb::of_region(region)
                    .database(self.pid_of(Kind::RegionalMariaDb, &region.name)),
                pids: RegionPids {
                    collector: self.pids_of(Kind::Collector, &region.name).into(),
                    worker: self.pids_of(Kind::Worker, &region.name).into(),
                    beanstalkd: self.pid_of(Kind::Beanstalkd, &region.name),
                },
            };
            (region.name.clone(), description)
        });
        Description {
            api: self.layout.base_url(self.layout.port),
            central: self.database_of(&self.layout.central.servers[0]),
            central_servers: if self.layout.central.is_several() {
                self.central_servers()
            } else {
                BTreeMap::new()
            },
            standby: self.layout.standby.as_ref().map(|standby| Standby {
                database: self.database_of(&standby.servers[0]),
                keeper: self.pids_of(Kind::Keeper, standby.name).first().copied(),
            }),
            regions: regions.collect(),
            tokens: self.secrets.clone(),
            ca: self.layout.ca(),
            pids: CentrePids {
                api: self.pids_of(Kind::Api, CENTRAL).first().copied(),
                keeper: self.pids_of(Kind::Keeper, CENTRAL).first().copied(),
            },
        }
    }

    fn central_servers(&self) -> BTreeMap<String, CentralServer> {
        let server = |server: &CentreServer| {
            let description = CentralServer {
                database: self.database_of(server),
                shards: server.shards,
            };
            (server.name.clone(), description)
        };
        self.layout.central.servers.iter().map(server).collect()
    }

    fn database_of(&self, server: &CentreServer) -> Database {
        MariaDb::of_centre(&self.layout, server).database(self.pid_of(Kind::CentralMariaDb, &server.name))
    }

    /// Restarts processes that die, until `stop`, and keeps `playground.json` up to date. Failures are logged and tried again.
    pub async fn supervise(&mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SUPERVISION_INTERVAL) => {}
            }
            let mut restarted = false;
            for process in &mut self.processes {
                let outcome = restart_if_due(process, &self.programs, &self.spawner).await;
                restarted |= outcome.unwrap_or_else(|error| {
                    tracing::error!(error = format!("{error:#}"), "failed to restart {}", process.name);
                    process.postpone();
                    false
                });
            }
            if restarted && let Err(error) = self.description().write(&self.claim.dir) {
                tracing::error!(
                    error = format!("{error:#}"),
                    "{DESCRIPTION_FILE} is not up to date"
                );
            }
        }
    }

    /// Stops everything, each kind of process after those that write to it. May be given up and followed by [`Self::kill`].
    pub async fn stop(&mut self) {
        self.forget_description();
        if let Some(demo) = &mut self.demo {
            demo.stop().await;
        }
        for kind in Kind::ALL {
            let of_kind = self.processes.iter_mut().filter(|process| process.kind == kind);
            futures_util::future::join_all(of_kind.map(Process::stop)).await;
        }
    }

    /// Kills everything at once, which loses no acknowledged event.
    pub async fn kill(&mut self) {
        self.forget_description();
        futures_util::future::join_all(self.processes.iter_mut().map(Process::kill)).await;
    }

    fn forget_description(&self) {
        if let Err(error) = Description::remove(&self.claim.dir) {
            tracing::warn!(
                error = format!("{error:#}"),
                "{DESCRIPTION_FILE} tells of processes that are gone"
            );
        }
    }

    fn pids_of(&self, kind: Kind, place: &str) -> Vec<u32> {
        let of_kind = self
            .processes
            .iter()
            .filter(|process| process.kind == kind && process.place == place);
        of_kind.map(Process::pid).collect()
    }

    fn pid_of(&self, kind: Kind, place: &str) -> u32 {
        self.pids_of(kind, place).first().copied().unwrap_or_default()
    }
}

/// Starts a process again if it is due; whether it was.
async fn restart_if_due(process: &mut Process, programs: &Programs, spawner: &Spawner) -> Result<bool> {
    let due = process.is_due()?;
    if due {
        process.spawn(&programs.setpriv, spawner, &[]).await?;
        tracing::info!(pid = process.pid(), "{} runs again", process.name);
    }
    Ok(due)
}
