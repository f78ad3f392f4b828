//! One child process: started, awaited, restarted, stopped.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::part::{Kind, Part};
use crate::spawner::Spawner;

/// Pause between two questions to a starting process whether it is ready.
const POLL: Duration = Duration::from_millis(50);

/// Pause before a restart. It doubles with every failure, since a process that cannot start only fills its log.
const RESTART_PAUSE: Duration = Duration::from_millis(250);

/// Longest pause before a restart.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Time after which a process did start: its end is no failure to start then.
const STARTED_AFTER: Duration = Duration::from_secs(5);

/// Lines at the end of a log that a message shows.
const LOG_TAIL_LINES: usize = 12;

/// Bytes at the end of a log among which these lines are looked for.
const LOG_TAIL_BYTES: u64 = 8 * 1024;

/// Longest wait for a process to stop by itself: a role lets 30 s for requests in progress, MariaDB writes its pages.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// A process, which runs or is to be started.
#[derive(Debug)]
pub(crate) struct Process {
    pub kind: Kind,
    pub part: Part,
    /// The region or the centre that it belongs to.
    pub place: String,
    /// Its name in logs and messages, such as `eu/worker-1`.
    pub name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, String)>,
    log: PathBuf,
    /// Id of the process that runs, or ran last; 0 before the first start.
    pid: u32,
    /// The process that was started and whose exit status was not collected yet.
    child: Option<Child>,
    started: Instant,
    /// Starts in a row that failed.
    failures: u32,
    /// When it is started again; `None` while it runs or is not to.
    restart_at: Option<Instant>,
}

impl Process {
    /// A process that is not started yet; its log is in the directory `logs`.
    pub(crate) fn new(
        kind: Kind,
        part: Part,
        place: &str,
        name: String,
        program: &Path,
        arguments: Vec<OsString>,
        logs: &Path,
    ) -> Self {
        Self {
            kind,
            part,
            place: place.to_owned(),
            log: logs.join(format!("{}.log", name.replace('/', "-"))),
            name,
            program: program.to_owned(),
            arguments,
            environment: Vec::new(),
            pid: 0,
            child: None,
            started: Instant::now(),
            failures: 0,
            restart_at: None,
        }
    }

    /// Adds variables that it has beside those of the playground.
    pub(crate) fn add_environment(&mut self, environment: Vec<(&'static str, String)>) {
        self.environment.extend(environment);
    }

    /// Adds arguments after those that it has.
    pub(crate) fn add_arguments(&mut self, further: &[String]) {
        self.arguments.extend(further.iter().map(OsString::from));
    }

    /// The id of the process that runs, or ran last.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Starts it, with `further` arguments that a restart does not repeat.
    pub(crate) async fn spawn(&mut self, setpriv: &Path, spawner: &Spawner, further: &[&str]) -> Result<()> {
        let open_log = || {
            let log = OpenOptions::new().create(true).append(true).open(&self.log);
            log.with_context(|| format!("failed to open {}", self.log.display()))
        };
        let mut command = Command::new(setpriv);
        command
            .args(["--pdeathsig", "TERM", "--"])
            .arg(&self.program)
            .args(&self.arguments)
            .args(further)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(open_log()?)
            .stderr(open_log()?)
            // The terminal's Ctrl-C is for the playground, which stops the others in order.
            .process_group(0);
        let child = spawner
            .spawn(command)
            .await
            .with_context(|| format!("failed to start {}", self.name))?;
        self.pid = child.id().unwrap_or_default();
        self.child = Some(child);
        self.started = Instant::now();
        self.restart_at = None;
        Ok(())
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// It ended or was not ready within its limit: with the last state seen and the log's last lines.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let limit = self.kind.ready_limit();
        loop {
            if let Some(status) = self.ended()? {
                bail!(
                    "{} ended while it started ({status})\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            let Err(state) = self.part.is_ready().await else {
                return Ok(());
            };
            if self.started.elapsed() > limit {
                bail!(
                    "{} is not ready after {}s: {state:#}\n{}",
                    self.name,
                    limit.as_secs(),
                    self.log_tail()
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Notices an end, and tells whether the time for a restart has come. The old process is gone for good by then:
    /// its exit status was collected. One whose state could not be asked for may still run, and is never due.
    pub(crate) fn is_due(&mut self) -> Result<bool> {
        if let Some(status) = self.ended()? {
            let pause = self.pause_after(status);
            let shown_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(pid = self.pid, %status, pause_ms = shown_ms, "{} ended; restarting it", self.name);
            self.child = None;
            self.restart_at = Some(Instant::now() + pause);
        }
        Ok(self.child.is_none() && self.restart_at.is_some_and(|at| at <= Instant::now()))
    }

    /// Puts off a restart that could not even be made.
    pub(crate) fn postpone(&mut self) {
        self.restart_at = Some(Instant::now() + RESTART_PAUSE_MAX);
    }

    /// Pause before the restart of a process that ended with this status.
    fn pause_after(&mut self, status: ExitStatus) -> Duration {
        // Somebody killed it, which says nothing about the next start.
        let was_killed = status
            .signal()
            .is_some_and(|s| s == Signal::KILL.as_raw() || s == Signal::TERM.as_raw());
        if was_killed || self.started.elapsed() >= STARTED_AFTER {
            self.failures = 0;
        } else {
            self.failures += 1;
        }
        let doubled = 2_u32.saturating_pow(self.failures);
        RESTART_PAUSE.saturating_mul(doubled).min(RESTART_PAUSE_MAX)
    }

    /// The exit status, if it has ended.
    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else {
            return Ok(None);
        };
        child
            .try_wait()
            .with_context(|| format!("failed to ask for the state of {}", self.name))
    }

    /// Asks it to stop and waits; kills what does not stop within the limit.
    pub(crate) async fn stop(&mut self) {
        self.restart_at = None;
        self.terminate();
        let Some(child) = &mut self.child else { return };
        match tokio::time::timeout(STOP_LIMIT, child.wait()).await {
            Ok(Ok(status)) => {
                tracing::debug!(%status, "{} stopped", self.name);
                self.child = None;
            }
            Ok(Err(error)) => tracing::error!(%error, "failed to wait for {}", self.name),
            Err(_) => {
                tracing::error!(
                    "{} did not stop within {}s; killing it",
                    self.name,
                    STOP_LIMIT.as_secs()
                );
                self.kill().await;
            }
        }
    }

    /// Kills it and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.restart_at = None;
        let Some(mut child) = self.child.take() else {
            return;
        };
        if child.id().is_some()
            && let Err(error) = child.kill().await
        {
            tracing::error!(%error, "failed to kill {}", self.name);
        }
    }

    /// Asks it to end. The signal reaches the right process: the id cannot be anybody else's before our `wait`.
    fn terminate(&mut self) {
        let Some(id) = self.child.as_ref().and_then(Child::id) else {
            return;
        };
        let pid = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(Err(error)) = pid.map(|pid| rustix::process::kill_process(pid, Signal::TERM)) {
            tracing::error!(%error, "failed to ask {} to stop", self.name);
        }
    }

    fn log_tail(&self) -> String {
        let tail = tail(&self.log).unwrap_or_else(|error| format!("(cannot be read: {error})"));
        format!("last lines of {}:\n{tail}", self.log.display())
    }
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: i32 = 9;
    const EXIT_CODE_1: i32 = 1 << 8;

    fn process() -> Process {
        let part = Part::Beanstalkd { port: 0 };
        let (program, logs) = (Path::new("/nowhere"), Path::new("/nowhere"));
        Process::new(
            Kind::Beanstalkd,
            part,
            "eu",
            "eu/beanstalkd".to_owned(),
            program,
            Vec::new(),
            logs,
        )
    }

    #[test]
    fn failures_to_start_make_the_pause_longer_up_to_its_limit() {
        let mut process = process();
        let pauses: Vec<_> = (0..40)
            .map(|_| process.pause_after(ExitStatus::from_raw(EXIT_CODE_1)))
            .collect();
        assert!(pauses.is_sorted());
        assert_eq!((pauses[0], pauses[39]), (2 * RESTART_PAUSE, RESTART_PAUSE_MAX));
    }

    #[test]
    fn what_was_killed_is_back_soon_every_time() {
        let mut process = process();
        for _ in 0..40 {
            assert_eq!(process.pause_after(ExitStatus::from_raw(KILLED)), RESTART_PAUSE);
        }
    }

    #[tokio::test]
    async fn what_still_runs_is_never_due() {
        let mut process = process();
        let mut sleep = Command::new("sleep");
        process.child = Some(sleep.arg("60").kill_on_drop(true).spawn().unwrap());
        // As after a question for its state that failed, when the pause is over.
        process.restart_at = Some(Instant::now());
        assert!(!process.is_due().unwrap());
        process.kill().await;
        process.restart_at = Some(Instant::now());
        assert!(process.is_due().unwrap());
    }

    #[test]
    fn a_tail_is_the_last_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text: String = (1..=5000).map(|n| format!("line {n}\n")).collect();
        std::fs::write(file.path(), text).unwrap();
        let tail = tail(file.path()).unwrap();
        assert!(
            tail.starts_with("line 4989\n") && tail.ends_with("line 5000"),
            "{tail}"
        );
    }
}
