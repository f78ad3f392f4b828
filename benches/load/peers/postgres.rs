//! PostgreSQL as Debian sets it up, durable, with the memory of a deployed centre: `COPY` from one `psql` for each
//! connection, a transaction for each request, an event a row; then `GROUP BY` name and minute.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::{Answers, CONNECTIONS, KILLED_AFTER, Outcome, compare, render, share_lost};
use crate::burst::Shape;
use crate::workload::Workload;

/// Debian has a directory in it for each version.
const VERSIONS: &str = "/usr/lib/postgresql";

const OWNER: &str = "postgres";

const READY_LIMIT: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(100);

const TABLE: &str = "CREATE TABLE events (name text NOT NULL, at bigint NOT NULL, count bigint NOT NULL)";

const SUMS: &str = "SELECT name, at / 60 * 60, SUM(count) FROM events GROUP BY 1, 2";

/// Ends with its owner.
struct Postgres {
    server: Child,
    programs: PathBuf,
    dir: TempDir,
}

pub(super) async fn exact(workload: &Workload, shape: Shape) -> Result<Outcome> {
    let Some(postgres) = Postgres::start().await? else {
        return Ok(Outcome::NotInstalled);
    };
    let scripts = scripts(workload, shape)?;
    let begun = Instant::now();
    postgres.copy(scripts).await?;
    let text = postgres.query(SUMS).await?;
    let took = begun.elapsed();
    compare(&answers(&text)?, workload, &mut workload.sums()?)?;
    postgres.stop().await?;
    Ok(Outcome::Exact(took))
}

/// Which part of the counts is gone after a kill; `None` where it is not installed.
pub(super) async fn lost(workload: &Workload, shape: Shape) -> Result<Option<f64>> {
    let Some(mut postgres) = Postgres::start().await? else {
        return Ok(None);
    };
    postgres.copy(scripts(workload, shape)?).await?;
    tokio::time::sleep(KILLED_AFTER).await;
    postgres.server.kill().await?;
    postgres.server = postgres.serve()?;
    postgres.ready().await?;
    let found = postgres.query("SELECT SUM(count) FROM events").await?;
    let found = found
        .trim()
        .parse()
        .with_context(|| format!("a sum of {found}"))?;
    postgres.stop().await?;
    Ok(Some(share_lost(&workload.sums()?, found)))
}

/// What each `psql` reads.
fn scripts(workload: &Workload, shape: Shape) -> Result<Vec<Vec<u8>>> {
    let seconds = workload.seconds();
    let requests = render(workload, shape, |text, event| {
        let (name, second) = (&workload.names[event.name].name, &seconds[event.second]);
        Ok(writeln!(text, "{name}\t{second}\t{}", event.count)?)
    })?;
    let mut scripts = vec![Vec::new(); CONNECTIONS];
    for (number, request) in requests.iter().enumerate() {
        let script = &mut scripts[number % CONNECTIONS];
        script.extend_from_slice(b"COPY events FROM STDIN;\n");
        script.extend_from_slice(request);
        script.extend_from_slice(b"\\.\n");
    }
    Ok(scripts)
}

fn answers(text: &str) -> Result<Answers> {
    let row = |line: &str| {
        let mut columns = line.split('|');
        let mut column = || columns.next().with_context(|| format!("a row of '{line}'"));
        Ok((column()?.to_owned(), column()?.parse()?, column()?.parse()?))
    };
    text.lines().map(row).collect()
}

impl Postgres {
    async fn start() -> Result<Option<Self>> {
        let Some(programs) = programs()? else {
            return Ok(None);
        };
        let dir = tempfile::Builder::new()
            .prefix("eventtracker-postgres-")
            .tempdir()?;
        if is_root() {
            let mut chown = Command::new("chown");
            succeed(chown.arg(format!("{OWNER}:")).arg(dir.path())).await?;
        }
        let mut initdb = as_owner(&programs.join("initdb"));
        initdb.arg("--pgdata").arg(dir.path().join("data"));
        initdb.args([
            "--username",
            OWNER,
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--no-locale",
        ]);
        succeed(&mut initdb).await?;
        let mut postgres = Self {
            server: serve(&programs, dir.path())?,
            programs,
            dir,
        };
        postgres.ready().await?;
        postgres.query(TABLE).await?;
        Ok(Some(postgres))
    }

    fn serve(&self) -> Result<Child> {
        serve(&self.programs, self.dir.path())
    }

    /// After a kill, the server refuses to start until the last of its old processes is gone: then it is tried again.
    async fn ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        while self.query("SELECT 1").await.is_err() {
            ensure!(begun.elapsed() < READY_LIMIT, "PostgreSQL did not become ready");
            if self.server.try_wait()?.is_some() {
                self.server = self.serve()?;
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn psql(&self) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.arg("--host").arg(self.dir.path());
        psql.args([
            "--username",
            OWNER,
            "--no-psqlrc",
            "--quiet",
            "--no-align",
            "--tuples-only",
        ]);
        psql.args(["--set", "ON_ERROR_STOP=1", "postgres"]);
        psql.kill_on_drop(true);
        psql
    }

    async fn query(&self, sql: &str) -> Result<String> {
        let output = succeed(self.psql().args(["--command", sql])).await?;
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Returns when every transaction is acknowledged.
    async fn copy(&self, scripts: Vec<Vec<u8>>) -> Result<()> {
        let mut running = JoinSet::new();
        for script in scripts {
            let mut psql = self.psql();
            psql.stdin(Stdio::piped());
            running.spawn(async move {
                let mut psql = psql.spawn().context("failed to start psql")?;
                let mut input = psql.stdin.take().context("psql has no input")?;
                input.write_all(&script).await?;
                drop(input);
                let status = psql.wait().await?;
                ensure!(status.success(), "COPY failed: {status}");
                Ok(())
            });
        }
        while let Some(copied) = running.join_next().await {
            copied??;
        }
        Ok(())
    }

    /// At once, but so that no shared memory is left.
    async fn stop(mut self) -> Result<()> {
        let pid = self.server.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        kill_process(pid.context("PostgreSQL has ended")?, Signal::QUIT)?;
        self.server.wait().await?;
        Ok(())
    }
}

fn serve(programs: &Path, dir: &Path) -> Result<Child> {
    let mut server = as_owner(&programs.join("postgres"));
    server.arg("-D").arg(dir.join("data")).arg("-k").arg(dir);
    for setting in ["listen_addresses=", "shared_buffers=2GB", "max_wal_size=4GB"] {
        server.args(["-c", setting]);
    }
    server
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    server
        .kill_on_drop(true)
        .spawn()
        .context("failed to start postgres")
}

/// Of the newest version; `None` where none is installed.
fn programs() -> Result<Option<PathBuf>> {
    let versions = match std::fs::read_dir(VERSIONS) {
        Ok(versions) => versions,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(VERSIONS),
    };
    let mut found = Vec::new();
    for version in versions {
        let version = version?;
        let programs = version.path().join("bin");
        if programs.join("initdb").exists() && programs.join("psql").exists() {
            let number: u32 = version.file_name().to_string_lossy().parse().unwrap_or(0);
            found.push((number, programs));
        }
    }
    Ok(found.into_iter().max().map(|(_, programs)| programs))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// PostgreSQL refuses to run as root. `setpriv` becomes the program, so that the process is ours to kill.
fn as_owner(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", OWNER, "--regid", OWNER, "--clear-groups", "--"]);
    // Where we are may be closed to it.
    command.arg(program).current_dir("/");
    command
}

async fn succeed(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output().await?;
    if !output.status.success() {
        bail!("failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output)
}
