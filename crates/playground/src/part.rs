//! The parts of a playground: each process with its command line, and how it is asked whether it is ready.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::net::TcpStream;

use crate::centre::CENTRAL;
use crate::layout::{Layout, Region};
use crate::mariadb::MariaDb;
use crate::process::Process;
use crate::programs::Programs;
use crate::{Options, roles};

/// Longest wait for a server to be ready: one of an empty directory answers within a second, but one that was killed may first recover.
const SERVER_LIMIT: Duration = Duration::from_secs(60);

/// Longest wait for a role to be ready.
const ROLE_LIMIT: Duration = Duration::from_secs(30);

/// Longest wait for one answer of a role to the question whether it is ready.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// The kinds of process, in the order in which they are stopped: whoever writes before whom it writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Collector,
    Worker,
    Beanstalkd,
    Api,
    Keeper,
    RegionalMariaDb,
    CentralMariaDb,
}

impl Kind {
    /// All kinds, in the order in which they are stopped.
    pub(crate) const ALL: [Self; 7] = [
        Self::Collector,
        Self::Worker,
        Self::Beanstalkd,
        Self::Api,
        Self::Keeper,
        Self::RegionalMariaDb,
        Self::CentralMariaDb,
    ];

    /// Whether it is a program of others, which the roles keep their data in.
    pub(crate) fn is_server(self) -> bool {
        matches!(
            self,
            Self::Beanstalkd | Self::RegionalMariaDb | Self::CentralMariaDb
        )
    }

    /// Longest wait from its start until it is ready.
    pub(crate) fn ready_limit(self) -> Duration {
        if self.is_server() {
            SERVER_LIMIT
        } else {
            ROLE_LIMIT
        }
    }
}

/// A part of the playground, by how it is asked whether it is ready.
#[derive(Debug)]
pub(crate) enum Part {
    MariaDb(MariaDb),
    Beanstalkd {
        port: u16,
    },
    Role {
        /// URL of the role's readiness.
        readyz: String,
    },
}

impl Part {
    /// Asks it whether it is ready.
    ///
    /// # Errors
    /// The state in which it is not ready yet.
    pub(crate) async fn is_ready(&self) -> Result<()> {
        match self {
            Self::MariaDb(server) => server.answers().await,
            Self::Beanstalkd { port } => {
                TcpStream::connect(("127.0.0.1", *port))
                    .await
                    .with_context(|| format!("port {port}"))?;
                Ok(())
            }
            Self::Role { readyz } => {
                let client = reqwest::Client::builder()
                    .no_proxy()
                    .timeout(PROBE_LIMIT)
                    .build()?;
                let answer = client.get(readyz).send().await?;
                let status = answer.status();
                ensure!(status.is_success(), "{status} {}", answer.text().await?);
                Ok(())
            }
        }
    }
}

/// Every process of a playground, none of them started yet.
pub(crate) fn all(layout: &Layout, options: &Options, programs: &Programs) -> Vec<Process> {
    let logs = layout.logs();
    let mut processes = Vec::new();
    for region in &layout.regions {
        processes.push(beanstalkd(region, programs, &logs));
        let server = MariaDb::of_region(region).for_people(options.is_for_people);
        processes.push(mariadb(
            Kind::RegionalMariaDb,
            &region.name,
            server,
            programs,
            &logs,
        ));
    }
    for centre in layout.centres() {
        let server = MariaDb::of_centre(layout, centre).for_people(options.is_for_people);
        processes.push(mariadb(
            Kind::CentralMariaDb,
            centre.name,
            server,
            programs,
            &logs,
        ));
    }
    let Some(program) = &options.program else {
        return processes;
    };
    let mut role = |kind, place: &str, name: String, port, arguments| {
        let part = Part::Role {
            readyz: format!("{}/readyz", roles::base_url(port)),
        };
        processes.push(Process::new(kind, part, place, name, program, arguments, &logs));
    };
    let has_roles = |region: &&Region| !options.servers_only.contains(&region.name);
    for region in layout.regions.iter().filter(has_roles) {
        for n in 0..options.collectors {
            let name = format!("{}/collector-{}", region.name, n + 1);
            let arguments = roles::collector_arguments(layout, region, n);
            role(
                Kind::Collector,
                &region.name,
                name,
                region.collector_port(n),
                arguments,
            );
        }
        for n in 0..options.workers {
            let name = format!("{}/worker-{}", region.name, n + 1);
            let arguments = roles::worker_arguments(layout, region, n);
            role(Kind::Worker, &region.name, name, region.worker_port(n), arguments);
        }
    }
    role(
        Kind::Api,
        CENTRAL,
        "api".to_owned(),
        layout.port,
        roles::api_arguments(layout),
    );
    for centre in layout.centres() {
        let name = match centre.name {
            CENTRAL => "keeper".to_owned(),
            other => format!("{other}/keeper"),
        };
        let arguments = roles::keeper_arguments(centre);
        role(Kind::Keeper, centre.name, name, centre.keeper_port, arguments);
    }
    processes
}

fn beanstalkd(region: &Region, programs: &Programs, logs: &Path) -> Process {
    let port = region.beanstalkd_port();
    let listen = ["-l", "127.0.0.1", "-p", &port.to_string()].map(OsString::from);
    // -f0: a job is on disk before it is acknowledged.
    let durable = ["-b".into(), region.queue_dir().into(), "-f0".into()];
    let arguments = listen.into_iter().chain(durable).collect();
    let name = format!("{}/beanstalkd", region.name);
    Process::new(
        Kind::Beanstalkd,
        Part::Beanstalkd { port },
        &region.name,
        name,
        &programs.beanstalkd,
        arguments,
        logs,
    )
}

fn mariadb(kind: Kind, place: &str, server: MariaDb, programs: &Programs, logs: &Path) -> Process {
    let arguments = server.arguments();
    let name = format!("{place}/mariadb");
    Process::new(
        kind,
        Part::MariaDb(server),
        place,
        name,
        &programs.mariadbd,
        arguments,
        logs,
    )
}
