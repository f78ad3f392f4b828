//! What the parts that a POST waits for take alone.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use axum::serve::ListenerExt;
use model::Minute;
use queue::Counts;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use crate::events::Name;
use crate::figures::Durations;
use crate::reference::first_job;

const PUTS: u32 = 1_000;

const SYNCS: u32 = 500;
const RECORD_BYTES: usize = 4_096;

const OPEN_FILES: u64 = 16_384;

/// Reads the same requests, and answers 204, on threads of its own.
pub(crate) struct BareListener {
    pub(crate) base: String,
    stop: CancellationToken,
    thread: JoinHandle<Result<()>>,
}

impl BareListener {
    pub(crate) fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let base = format!("http://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(serve(listener, stopped))
        });
        Ok(Self { base, stop, thread })
    }

    pub(crate) fn stop(self) -> Result<()> {
        self.stop.cancel();
        let ended = self.thread.join();
        ended.map_err(|_| anyhow!("the bare listener panicked"))?
    }
}

async fn serve(listener: std::net::TcpListener, stop: CancellationToken) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|stream| {
        // Slower without, and no reason to fail.
        stream.set_nodelay(true).ok();
    });
    let answer = async |_body: Bytes| StatusCode::NO_CONTENT;
    let routes = Router::new().route("/v1/events", post(answer));
    tokio::select! {
        ended = axum::serve(listener, routes) => Ok(ended?),
        () = stop.cancelled() => Ok(()),
    }
}

/// A collector's job for one event.
pub(crate) fn job(name: &Name) -> Result<String> {
    let mut counts = Counts::default();
    counts.add(&name.name, Minute::containing(SystemTime::now().into())?, 1);
    first_job(counts)
}

/// Puts on one connection, each after the answer to the one before.
pub(crate) async fn put(address: &str, job: &str) -> Result<Durations> {
    let address = address.to_owned();
    let command = format!("put 1024 0 30 {}\r\n{job}\r\n", job.len());
    tokio::task::spawn_blocking(move || {
        let mut stream =
            TcpStream::connect(&address).with_context(|| format!("failed to connect to {address}"))?;
        stream.set_nodelay(true)?;
        let mut answers = BufReader::new(stream.try_clone()?);
        let mut answer = String::new();
        let mut durations = Durations::new()?;
        for _ in 0..PUTS {
            let begun = Instant::now();
            stream.write_all(command.as_bytes())?;
            answer.clear();
            answers.read_line(&mut answer)?;
            durations.record(begun.elapsed());
            ensure!(answer.starts_with("INSERTED "), "beanstalkd answered {answer}");
        }
        Ok(durations)
    })
    .await?
}

/// Records written one after the other into a file that has its length already, as beanstalkd's log has.
pub(crate) async fn sync(dir: &Path) -> Result<Durations> {
    let path = dir.join("fdatasync");
    tokio::task::spawn_blocking(move || {
        let file = File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
        let record = [b'x'; RECORD_BYTES];
        let offset = |n: u32| u64::from(n) * RECORD_BYTES as u64;
        for n in 0..SYNCS {
            file.write_all_at(&record, offset(n))?;
        }
        file.sync_all()?;
        let mut durations = Durations::new()?;
        for n in 0..SYNCS {
            let begun = Instant::now();
            file.write_all_at(&record, offset(n))?;
            file.sync_data()?;
            durations.record(begun.elapsed());
        }
        std::fs::remove_file(&path)?;
        Ok(durations)
    })
    .await?
}

/// A thousand connections have two ends in here, and the processes started from here have the same limit.
pub(crate) fn allow_open_files() -> Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    setrlimit(Resource::Nofile, raised).context("failed to raise the limit of open files")
}
