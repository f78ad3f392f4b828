//! The start of everything, in order: servers, replication, roles, demo traffic.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::future::try_join_all;
use rand::RngExt;
use store::{Member, Server, Source};

use crate::accounts::Accounts;
use crate::centre::CentreServer;
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

/// Tens of ports among which tests look: above those of well-known services, below those that the kernel gives to clients.
const FREE_TENS: std::ops::Range<u16> = 1_000..3_000;

/// Random ports that are tried.
const FREE_PORT_TRIES_MAX: usize = 100;

/// A value for [`Options::port`](crate::Options::port) with which a playground of so many regions finds all its ports free.
/// No other caller on this machine gets one of them until this process ends: its servers bind theirs seconds later.
///
/// # Errors
/// No such port after many tries.
pub fn free_port(regions: u16) -> Result<u16> {
    let mut tries = (0..FREE_PORT_TRIES_MAX).map(|_| rand::rng().random_range(FREE_TENS));
    let claim = |ten: u16| {
        let claims: Option<Vec<_>> = (ten..=ten + regions).map(claim_ten).collect();
        // Never closed: the kernel does when the process ends, however it ends.
        claims.map(std::mem::forget).map(|()| 10 * ten)
    };
    tries
        .find_map(claim)
        .with_context(|| format!("found no free ports for {regions} regions"))
}

/// A socket whose name only one process has at a time, unless another has claimed these ten ports, or listens on one of them.
fn claim_ten(ten: u16) -> Option<UnixListener> {
    let name = SocketAddr::from_abstract_name(format!("eventtracker-ports-{ten}0")).ok()?;
    let claim = UnixListener::bind_addr(&name).ok()?;
    let mut ports = 10 * ten..10 * (ten + 1);
    let all_free = ports.all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    all_free.then_some(claim)
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
        for server in self.layout.central_servers() {
            self.start_replication(server, &accounts).await?;
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

    /// Lets a centre's server replicate from every attached region. If the ports moved, a region may be where another one was, and the centre
    /// knows no two sources at one address: those that met another one there get a second try, in the other order.
    async fn start_replication(&self, server: &CentreServer, accounts: &Accounts) -> Result<()> {
        let mut centre = Member {
            server: MariaDb::of_centre(&self.layout, server).database(0).root(),
            shards: server.shards,
        };
        centre.shards = store::setup::Centre::new(centre.clone()).note_shards().await?;
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
                .with_context(|| {
                    format!(
                        "failed to replicate from region {} to {}",
                        source.region, centre.server
                    )
                })?;
        }
        wait_for_sources(&centre.server).await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_are_given_out_once() {
        let mut given: Vec<u16> = (0..60).map(|_| free_port(2).unwrap()).collect();
        given.sort_unstable();
        let apart = given.windows(2).all(|pair| pair[1] - pair[0] >= 30);
        assert!(apart, "{given:?}");
    }

    #[test]
    fn ten_ports_of_which_one_is_listened_on_are_left_alone() {
        let ten = FREE_TENS.end + 100;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 10 * ten + 7)).unwrap();
        assert!(claim_ten(ten).is_none());
        drop(listener);
        assert!(claim_ten(ten).is_some(), "and the claim that failed was given up");
    }
}
