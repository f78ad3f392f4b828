//! The parts of a playground: their kinds, and the signs that they are ready.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::net::TcpStream;

use crate::mariadb::MariaDb;

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
        /// The file of the authority of its certificate, if it may have one.
        ca: Option<PathBuf>,
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
            Self::Role { readyz, ca } => {
                let client = http_client::of_own(ca.as_deref())?.timeout(PROBE_LIMIT).build()?;
                let answer = client.get(readyz).send().await?;
                let status = answer.status();
                ensure!(status.is_success(), "{status} {}", answer.text().await?);
                Ok(())
            }
        }
    }
}
