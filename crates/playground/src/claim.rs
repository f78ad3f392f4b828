//! The claim on a data directory and its ports, so that no server is started where another may still run.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::layout::REGIONS_FILE;

/// Longest wait for the servers of a playground that was killed: the kernel told them to end when it died.
const LEFTOVERS_LIMIT: Duration = Duration::from_secs(15);

/// Pause between two looks for them.
const POLL: Duration = Duration::from_millis(100);

/// The file that is locked; it holds the process id of whoever uses the directory, or used it last.
const LOCK_FILE: &str = "lock";

/// The roles, as the first argument of our own program.
const ROLES: [&str; 4] = ["collector", "worker", "api", "keeper"];

/// Longest wait for a lock of this very process: a program that was being started when an earlier claim was given up has the lock, too,
/// until it has begun to run.
const OWN_LIMIT: Duration = Duration::from_secs(2);

/// Pause between two tries for it.
const OWN_PAUSE: Duration = Duration::from_millis(5);

/// A data directory that is ours as long as this value lives.
#[derive(Debug)]
pub(crate) struct Claim {
    /// The directory's path, absolute and without links.
    pub dir: PathBuf,
    _lock: File,
}

impl Claim {
    /// Creates the directory where it is missing and locks it.
    ///
    /// # Errors
    /// Another playground uses it, something else fills it, or it cannot be created.
    pub(crate) fn of(dir: &Path) -> Result<Self> {
        create_private_dir(dir)?;
        let dir = dir
            .canonicalize()
            .with_context(|| format!("failed to resolve {}", dir.display()))?;
        check_is_ours(&dir)?;
        let path = dir.join(LOCK_FILE);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("failed to open {}", path.display()))?;
        let begun = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    lock.rewind()
                        .and_then(|()| lock.read_to_string(&mut holder))
                        .with_context(|| format!("failed to read {}", path.display()))?;
                    let is_own = holder.trim() == std::process::id().to_string();
                    if is_own && begun.elapsed() < OWN_LIMIT {
                        std::thread::sleep(OWN_PAUSE);
                        continue;
                    }
                    bail!(
                        "the data directory {} is in use by the playground with process id {}: \
                         stop that one with Ctrl-C, or pass another --data-dir",
                        dir.display(),
                        holder.trim()
                    );
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("failed to lock {}", path.display()));
                }
            }
        }
        lock.rewind()
            .with_context(|| format!("failed to write {}", path.display()))?;
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .with_context(|| format!("failed to write {}", path.display()))?;
        Ok(Self { dir, _lock: lock })
    }

    /// Waits until no process of an earlier playground uses the directory. A second `mariadbd` on one data
    /// directory, even one that only waits for the lock, is the way to silent loss.
    ///
    /// # Errors
    /// A process that does not end by itself, with its id.
    pub(crate) async fn wait_for_leftovers(&self, program: Option<&Path>) -> Result<()> {
        let deadline = Instant::now() + LEFTOVERS_LIMIT;
        let mut told = false;
        loop {
            let Some((pid, name)) = leftover(&self.dir, program)? else {
                return Ok(());
            };
            ensure!(
                Instant::now() < deadline,
                "{name} with process id {pid}, left by an earlier playground, still uses the data directory {}: \
                 end it with 'kill {pid}', or pass another --data-dir",
                self.dir.display()
            );
            if !told {
                tracing::info!(pid, "waiting for {name} of an earlier playground to end");
                told = true;
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Checks that all ports can be listened on.
///
/// # Errors
/// One of `ports` cannot be used, mostly because another program listens there.
pub(crate) fn check_ports(ports: &[(String, u16)]) -> Result<()> {
    for (part, port) in ports {
        TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).map_err(|error| port_refusal(part, *port, error))?;
    }
    Ok(())
}

fn port_refusal(part: &str, port: u16, error: io::Error) -> anyhow::Error {
    let state = if error.kind() == io::ErrorKind::AddrInUse {
        "is taken by another program"
    } else {
        "cannot be used"
    };
    anyhow::Error::new(error).context(format!(
        "port {port} for the {part} {state}: pass another --port, which moves them all"
    ))
}

/// Checks that a directory is empty or a playground's: among other files, a playground would scatter its own.
fn check_is_ours(dir: &Path) -> Result<()> {
    let lock = dir.join(LOCK_FILE);
    let names_a_process = lock.is_file()
        && std::fs::read_to_string(&lock).is_ok_and(|holder| holder.trim().parse::<u32>().is_ok());
    if names_a_process || dir.join(REGIONS_FILE).is_file() {
        return Ok(());
    }
    let entries = std::fs::read_dir(dir).with_context(|| format!("failed to list {}", dir.display()))?;
    // A start that failed early may have left its lock without a process id.
    let others = entries.filter(|entry| !entry.as_ref().is_ok_and(|entry| entry.file_name() == LOCK_FILE));
    ensure!(
        others.count() == 0,
        "{} is not empty and not a playground's: give --data-dir a new directory",
        dir.display()
    );
    Ok(())
}

/// Creates `dir` and its parents where they are missing, for nobody else to read.
pub(crate) fn create_private_dir(dir: &Path) -> Result<()> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    created.with_context(|| format!("failed to create the directory {}", dir.display()))
}

/// Process id and name of one server or role that was started with a path in `dir`.
fn leftover(dir: &Path, program: Option<&Path>) -> Result<Option<(u32, String)>> {
    for entry in std::fs::read_dir("/proc")
        .context("failed to list processes")?
        .flatten()
    {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // A process that ended meanwhile has no command line any more.
        let Ok(command_line) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let arguments: Vec<&[u8]> = command_line.split(|&b| b == 0).collect();
        if let Some(name) = server_in(dir, program, &arguments) {
            return Ok(Some((pid, name)));
        }
    }
    Ok(None)
}

/// Name of the server or role that has these arguments, if it is one that was started with a path in `dir`.
fn server_in(dir: &Path, program: Option<&Path>, arguments: &[&[u8]]) -> Option<String> {
    use std::os::unix::ffi::OsStrExt;
    let (&first, rest) = arguments.split_first()?;
    let name = Path::new(OsStr::from_bytes(first)).file_name()?.to_str()?;
    let is_role = program.and_then(Path::file_name).is_some_and(|ours| ours == name)
        && rest
            .first()
            .is_some_and(|role| ROLES.iter().any(|r| r.as_bytes() == *role));
    if !is_role && !["mariadbd", "beanstalkd"].contains(&name) {
        return None;
    }
    let inside = [dir.as_os_str().as_bytes(), b"/"].concat();
    let uses = |argument: &&[u8]| {
        let value = argument
            .iter()
            .position(|&b| b == b'=')
            .map_or(*argument, |at| &argument[at + 1..]);
        value.starts_with(&inside)
    };
    rest.iter().any(uses).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_user() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        let claim = Claim::of(&dir).unwrap();
        let error = Claim::of(&dir).unwrap_err().to_string();
        assert!(
            error.contains(&format!("process id {}", std::process::id())),
            "{error}"
        );
        assert!(error.contains("--data-dir"), "{error}");
        drop(claim);
        assert!(Claim::of(&dir).is_ok());
    }

    #[test]
    fn a_directory_with_the_files_of_others_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        std::fs::write(dir.join("notes"), "mine").unwrap();
        let error = Claim::of(dir).unwrap_err().to_string();
        assert!(error.contains("is not empty and not a playground's"), "{error}");
        assert!(!dir.join(LOCK_FILE).exists());
        // As in /var/lib/dpkg.
        std::fs::write(dir.join(LOCK_FILE), "").unwrap();
        assert!(Claim::of(dir).is_err());

        std::fs::remove_file(dir.join("notes")).unwrap();
        assert!(Claim::of(dir).is_ok(), "only a lock that was never filled");
        std::fs::create_dir(dir.join("logs")).unwrap();
        assert!(Claim::of(dir).is_ok(), "what a failed first start leaves behind");
    }

    #[test]
    fn a_port_that_cannot_be_used_is_not_called_taken() {
        let error = port_refusal("api", 80, io::ErrorKind::PermissionDenied.into());
        let text = format!("{error:#}");
        assert!(text.contains("port 80 for the api cannot be used"), "{text}");
        assert!(
            text.contains("permission denied") && !text.contains("taken"),
            "{text}"
        );
    }

    #[test]
    fn a_taken_port_is_named() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = check_ports(&[("api".to_owned(), port)]).unwrap_err().to_string();
        assert!(
            error.contains(&format!("port {port} for the api is taken")) && error.contains("--port"),
            "{error}"
        );
    }

    #[test]
    fn servers_are_known_by_their_paths() {
        let dir = Path::new("/data/pg");
        let program = Path::new("/bin/eventtracker");
        let server = |arguments: &[&str]| {
            let arguments: Vec<&[u8]> = arguments.iter().map(|a| a.as_bytes()).collect();
            server_in(dir, Some(program), &arguments)
        };
        assert!(server(&["/usr/sbin/mariadbd", "--defaults-file=/data/pg/eu/mariadb/my.cnf"]).is_some());
        assert!(server(&["beanstalkd", "-b", "/data/pg/eu/beanstalkd"]).is_some());
        assert!(server(&["eventtracker", "worker", "--config", "/data/pg/eu.toml"]).is_some());
        assert!(server(&["eventtracker", "series", "--config", "/data/pg/central.toml"]).is_none());
        assert!(server(&["mariadbd", "--defaults-file=/data/pg2/my.cnf"]).is_none());
        assert!(server(&["tail", "-f", "/data/pg/logs/eu-worker-1.log"]).is_none());
    }
}
