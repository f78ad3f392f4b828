//! The start of everything, in order: servers, replication, roles, demo traffic.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::future::try_join_all;
use rand::RngExt;
use store::{Server, Source};

use crate::accounts::Accounts;
use crate::centre::Centre;
use crate::claim::{check_ports, create_private_dir};
use crate::demo::Demo;
use crate::inventory;
use crate::mariadb::MariaDb;
use crate::part::{Kind, Part};
use crate::process::Process;
use crate::programs::Programs;
use crate::shifted_clock::CLOCKS_DIR;
use crate::spawner::Spawner;
use crate::{Playground, Secrets, roles, shifted_clock};

/// Longest wait for replication to run: both threads of a source do a moment after they were started.
const REPLICATION_LIMIT: Duration = Duration::from_secs(30);

/// Pause between two looks at replication.
const POLL: Duration = Duration::from_millis(50);

/// Ports among which tests look: above those of well-known services, below those that the kernel gives to clients.
const FREE_PORTS: std::ops::Range<u16> = 10_000..30_000;

/// Random ports that are tried.
const FREE_PORT_TRIES_MAX: usize = 100;

/// A value for [`Options::port`](crate::Options::port) with which a playground of so many regions finds all its ports free at the moment.
/// Nothing keeps them free until it starts.
///
/// # Errors
/// No such port after many tries.
pub fn free_port(regions: u16) -> Result<u16> {
    let all_free = |port: u16| {
        let mut ports = port..port.saturating_add(10 * (regions + 1));
        ports.all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
    };
    let mut tries = (0..FREE_PORT_TRIES_MAX).map(|_| rand::rng().random_range(FREE_PORTS));
    tries
        .find(|&port| all_free(port))
        .with_context(|| format!("found no free ports for {regions} regions"))
}

impl Playground {
    pub(crate) async fn start_all(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.claim
            .wait_for_leftovers(self.options.program.as_deref())
            .await?;
        check_ports(&self.layout.ports(&self.options))?;
        let accounts = Accounts::in_dir(&self.layout.dir)?;
        if self.options.tokens {
            self.secrets = Some(Secrets::in_dir(&self.layout.dir)?);
        }
        if let Some(authority) = &self.layout.authority {
            authority.certify()?;
        }
        roles::write_configs(&self.layout, &accounts, &self.options)?;
        keep_old_logs(&self.layout.logs())?;
        for region in &self.layout.regions {
            create_private_dir(&region.queue_dir())?;
        }
        self.processes = inventory::all(&self.layout, &self.options, &self.programs);
        self.shift_clocks()?;

        let (programs, spawner) = (&self.programs, &self.spawner);
        let servers = self
            .processes
            .iter_mut()
            .filter(|process| process.kind.is_server());
        try_join_all(servers.map(|process| start_server(process, programs, spawner, &accounts))).await?;
        // Nothing was written in any region so far; from here on the centre knows each by its number. A start that
        // failed before binds the next one to nothing.
        self.layout.save_regions()?;
        for centre in self.layout.centres() {
            self.start_replication(centre, &accounts).await?;
        }
        let (programs, spawner) = (&self.programs, &self.spawner);
        let roles = self
            .processes
            .iter_mut()
            .filter(|process| !process.kind.is_server());
        try_join_all(roles.map(|process| start_role(process, programs, spawner))).await?;

        self.description().write(&self.layout.dir)?;
        if self.options.demo && self.options.program.is_some() {
            let secret = self.secrets.as_ref().map(|secrets| secrets.write.as_str());
            self.demo = Some(Demo::start(&self.layout, secret)?);
        }
        tracing::info!("everything is ready after {:.1}s", begun.elapsed().as_secs_f64());
        Ok(())
    }

    fn shift_clocks(&mut self) -> Result<()> {
        if self.options.clocks_ahead_s.is_empty() {
            return Ok(());
        }
        create_private_dir(&self.layout.dir.join(CLOCKS_DIR))?;
        for process in &mut self.processes {
            if let Some(&ahead_s) = self.options.clocks_ahead_s.get(&process.place) {
                let environment = shifted_clock::environment(&self.layout.dir, &process.name, ahead_s)?;
                process.add_environment(environment);
            }
        }
        Ok(())
    }

    /// Lets a centre replicate from every attached region. If the ports moved, a region may be where another one was, and the centre
    /// knows no two sources at one address: those that met another one there get a second try, in the other order.
    async fn start_replication(&self, centre: &Centre, accounts: &Accounts) -> Result<()> {
        let centre = MariaDb::of_centre(&self.layout, centre).database(0).root();
        let accounts = accounts.of_regions();
        let mut again = Vec::new();
        for region in self.layout.attached() {
            let source = Source {
                region: region.name.clone(),
                host: "127.0.0.1".to_owned(),
                port: region.link_port,
                tls_ca: self.layout.ca(),
            };
            if store::setup::start_source(&centre, &source, &accounts)
                .await
                .is_err()
            {
                again.push(source);
            }
        }
        for source in again.iter().rev() {
            store::setup::start_source(&centre, source, &accounts)
                .await
                .with_context(|| format!("failed to replicate from region {} to {centre}", source.region))?;
        }
        wait_for_sources(&centre).await
    }
}

/// Installs a server where it is missing, starts it and sets it up.
async fn start_server(
    process: &mut Process,
    programs: &Programs,
    spawner: &Spawner,
    accounts: &Accounts,
) -> Result<()> {
    if let Part::MariaDb(server) = &process.part {
        server.install(programs).await?;
    }
    // After a move to other ports, an old source's address may be another region's: nothing is fetched
    // before `start_replication` has set the addresses. A restart goes on by itself.
    let further: &[&str] = if process.kind == Kind::CentralMariaDb {
        &["--skip-slave-start"]
    } else {
        &[]
    };
    process.spawn(&programs.setpriv, spawner, further).await?;
    process.ready().await?;
    if let Part::MariaDb(server) = &process.part {
        server
            .set_up(accounts)
            .await
            .with_context(|| format!("failed to set up {}", process.name))?;
    }
    Ok(())
}

/// Starts a role and waits until it is ready.
async fn start_role(process: &mut Process, programs: &Programs, spawner: &Spawner) -> Result<()> {
    process.spawn(&programs.setpriv, spawner, &[]).await?;
    process.ready().await
}

/// Waits until replication from every source runs.
async fn wait_for_sources(centre: &Server) -> Result<()> {
    let begun = Instant::now();
    let mut server = store::upkeep::Centre::new(centre.clone());
    loop {
        let states = server.sources().await?;
        let Some(state) = states.iter().find(|state| !state.is_running()) else {
            return Ok(());
        };
        if begun.elapsed() > REPLICATION_LIMIT {
            bail!(
                "replication to {centre} does not run after {}s: {state:?}",
                REPLICATION_LIMIT.as_secs()
            );
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Renames the logs of the start before, which are kept beside the new ones.
fn keep_old_logs(logs: &Path) -> Result<()> {
    create_private_dir(logs)?;
    let context = || format!("failed to put away the old logs in {}", logs.display());
    for entry in std::fs::read_dir(logs).with_context(context)?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            std::fs::rename(&path, path.with_extension("log.old")).with_context(context)?;
        }
    }
    Ok(())
}
