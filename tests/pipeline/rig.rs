//! A playground of a test's own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use model::QueueDepth;
use mysql_async::prelude::Queryable;
use playground::{Database, Description, Directory, Options, counter};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::soak::send;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_eventtracker");

/// Longest wait for anything that a healthy pipeline does within seconds.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A wait that is told of before it is over.
const LONG_WAIT: Duration = Duration::from_secs(10);

pub(crate) struct Rig {
    dir: Directory,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
    pub(crate) http: reqwest::Client,
}

/// An answer over HTTP: status, `Retry-After`, body.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) retry_after: bool,
    pub(crate) json: Value,
}

/// One region with one of each role.
pub(crate) fn one_region() -> Options {
    Options {
        regions: vec!["eu".to_owned()],
        ..two_regions()
    }
}

pub(crate) fn two_regions() -> Options {
    let regions = Options::default().regions;
    let port = playground::free_port(u16::try_from(regions.len()).unwrap()).unwrap();
    Options {
        port,
        regions,
        program: Some(PathBuf::from(PROGRAM)),
        // Most tests count in years past: they are packed while all else goes on.
        central_overrides: settings("[keeper]\npack_interval_s = 1"),
        ..Options::default()
    }
}

/// Counts stay where replication writes them, for as long as a test takes that changes them there.
pub(crate) fn packing_late(options: Options) -> Options {
    Options {
        central_overrides: settings("[keeper]\npack_interval_s = 60"),
        ..options
    }
}

/// Settings for every region, as its configuration file would have them.
pub(crate) fn settings(text: &str) -> toml::Table {
    text.parse().unwrap()
}

impl Rig {
    pub(crate) async fn start(options: Options) -> Self {
        Self::start_in(Directory::new().unwrap(), options).await
    }

    /// In a directory that an earlier rig left, or that a test has prepared.
    pub(crate) async fn start_in(dir: Directory, options: Options) -> Self {
        let options = Options {
            data_dir: dir.path().join("data"),
            ..options
        };
        let stop = CancellationToken::new();
        let (ready, is_ready) = oneshot::channel();
        let playground = playground::run(options, stop.clone(), CancellationToken::new(), |_| {
            ready.send(()).unwrap();
        });
        let mut rig = Self {
            dir,
            stop,
            running: tokio::spawn(playground),
            http: http_client::of_own(None).unwrap().build().unwrap(),
        };
        if is_ready.await.is_err() {
            let outcome = (&mut rig.running).await.unwrap();
            panic!("the playground did not start: {:#}", outcome.unwrap_err());
        }
        let ca = rig.description().ca;
        rig.http = http_client::of_own(ca.as_deref()).unwrap().build().unwrap();
        rig
    }

    /// The directory is removed with what is returned.
    pub(crate) async fn stop(mut self) -> Directory {
        self.stop.cancel();
        (&mut self.running).await.unwrap().unwrap();
        self.dir
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Read anew at each call: process ids change with restarts.
    pub(crate) fn description(&self) -> Description {
        Description::read(&self.data_dir()).unwrap()
    }

    /// Those that take events.
    pub(crate) fn regions(&self) -> Vec<String> {
        let regions = self.description().regions.into_iter();
        let takes_events = regions.filter(|(_, region)| !region.pids.collector.all().is_empty());
        takes_events.map(|(name, _)| name).collect()
    }

    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.data_dir().join(format!("{name}.toml"))
    }

    /// Base addresses of a region's collectors.
    pub(crate) fn collectors(&self, region: &str) -> Vec<String> {
        self.description().regions[region].all_collectors().to_vec()
    }

    /// Host and port of a region's first collector, for a client of the test's own.
    pub(crate) fn collector_address(&self, region: &str) -> String {
        self.collectors(region)[0]
            .strip_prefix("http://")
            .unwrap()
            .to_owned()
    }

    /// Posts events until they are taken.
    pub(crate) async fn post_until_accepted(&self, region: &str, events: &Value) {
        wait_until("the collector to take events", async || {
            match self.post(region, events).await {
                answer if answer.status == 202 => Ok(()),
                answer => Err(format!("{answer:?}")),
            }
        })
        .await;
    }

    /// Posts events as JSON to a region's first collector.
    pub(crate) async fn post(&self, region: &str, events: &Value) -> Response {
        let url = format!("{}/v1/events", self.collectors(region)[0]);
        answer(self.http.post(url).json(events)).await
    }

    pub(crate) async fn get(&self, path_and_query: &str) -> Response {
        answer(
            self.http
                .get(format!("{}{path_and_query}", self.description().api)),
        )
        .await
    }

    /// The metrics of a role, by the address that it serves them at.
    pub(crate) async fn metrics(&self, base: &str) -> String {
        self.http
            .get(format!("{base}/metrics"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    /// `eventtracker audit` with the configuration of a centre or a region, for all minutes from `from` on.
    pub(crate) async fn audit(&self, config: &str, from: &str, further: &[&str]) -> Output {
        let config = self.config(config);
        let mut arguments = vec!["audit", "--config", config.to_str().unwrap(), "--from", from];
        let ca = self.description().ca;
        if let Some(ca) = &ca {
            arguments.extend(["--ca", ca.to_str().unwrap()]);
        }
        eventtracker(&[&arguments, further].concat()).await
    }

    /// A counter of a role, 0 before it first counts.
    pub(crate) async fn counter(&self, role: &str, name: &str) -> u64 {
        counter(&self.metrics(role).await, name).unwrap()
    }

    /// Where the first worker of a region serves its metrics.
    pub(crate) fn worker(&self, region: &str) -> String {
        self.workers(region).swap_remove(0)
    }

    /// Where the workers of a region serve their metrics.
    pub(crate) fn workers(&self, region: &str) -> Vec<String> {
        let region = &self.description().regions[region];
        let ports = (region.mariadb.port + 1..)
            .step_by(2)
            .take(region.pids.worker.all().len());
        ports.map(|port| format!("http://127.0.0.1:{port}")).collect()
    }

    /// Where the keeper serves its metrics.
    pub(crate) fn keeper(&self) -> String {
        format!("http://127.0.0.1:{}", self.description().central.port + 1)
    }

    pub(crate) async fn tube(&self, region: &str) -> QueueDepth {
        self.try_tube(region).await.unwrap()
    }

    pub(crate) async fn try_tube(&self, region: &str) -> Result<QueueDepth, queue::Error> {
        let config = queue::Config {
            address: self.description().regions[region].beanstalkd.parse().unwrap(),
            jobs_max: u64::MAX,
            allow_plain_text: false,
        };
        Ok(queue::heads(&config).await?.0)
    }

    /// Sets the clock of a process such as `eu/beanstalkd`, which must have one that can be set. It is seen a moment later.
    pub(crate) fn set_clock(&self, process: &str, ahead_s: i32) {
        playground::set_clock(&self.data_dir(), process, ahead_s).unwrap();
    }

    /// Sets the clock of a MariaDB, and returns once it shows that time.
    pub(crate) async fn set_database_clock(&self, process: &str, database: &Database, ahead_s: i32) {
        self.set_clock(process, ahead_s);
        let root = database.root();
        wait_until("the database to show the time", async || {
            let mut conn = root.connect().await.map_err(|error| error.to_string())?;
            let now_s: Option<i64> = conn
                .query_first("SELECT UNIX_TIMESTAMP(SYSDATE())")
                .await
                .unwrap();
            let here_s = model::Timestamp::from(SystemTime::now()).unix_ms() / 1000;
            match now_s.unwrap() - here_s - i64::from(ahead_s) {
                -2..=2 => Ok(()),
                off_s => Err(format!("{off_s} s off")),
            }
        })
        .await;
    }

    /// Fails unless every region's replication runs.
    pub(crate) async fn expect_replication_runs(&self) {
        let status = self.get("/v1/status").await.json;
        for region in status["regions"].as_array().unwrap() {
            assert_eq!(region["replication"]["running"], true, "{region}");
        }
    }
}

/// A token of this name and these scopes for a file of tokens: its secret, and its entry with `more` lines.
pub(crate) fn token(name: &str, scopes: &[&str], more: &str) -> (String, String) {
    let secret = gate::Secret::generate().unwrap();
    let entry = format!(
        "[[token]]\nname = '{name}'\nsha256 = '{}'\nscopes = {scopes:?}\n{more}\n",
        secret.hash()
    );
    (secret.as_str().to_owned(), entry)
}

/// Writes a file of tokens, which only its owner may read.
pub(crate) fn write_tokens(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(&new, path).unwrap();
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Response {
    try_answer(request).await.unwrap()
}

pub(crate) async fn try_answer(request: reqwest::RequestBuilder) -> reqwest::Result<Response> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let retry_after = response.headers().contains_key("retry-after");
    let text = response.text().await?;
    let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} without JSON: {text}"));
    Ok(Response {
        status,
        retry_after,
        json,
    })
}

/// Waits until `state` is `Ok`; its `Err` says what is still missing.
pub(crate) async fn wait_until<T>(what: &str, state: impl AsyncFnMut() -> Result<T, String>) -> T {
    wait_up_to(LIMIT, what, state).await
}

/// As [`wait_until`], for what takes its time.
pub(crate) async fn wait_up_to<T>(
    limit: Duration,
    what: &str,
    mut state: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let begun = Instant::now();
    let mut is_told = false;
    loop {
        match state().await {
            Ok(value) => return value,
            Err(last) => {
                let waited = begun.elapsed();
                assert!(waited < limit, "waited {limit:?} for {what}; last seen: {last}");
                // Where a test is stopped that takes too long, this says what took it.
                if waited > LONG_WAIT && !std::mem::replace(&mut is_told, true) {
                    eprintln!("still waiting for {what}; last seen: {last}");
                }
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Runs the binary to its end.
pub(crate) async fn eventtracker(arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(LIMIT, command.output())
        .await
        .expect("the command ends")
        .unwrap()
}

pub(crate) async fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .await
        .unwrap();
    assert!(sent.success(), "kill -{name} {pid}");
}

/// Loses the data of a server that runs. It is moved first: the server goes on to make files where others are removed, and none starts
/// without it. The process is the one that there is then, which may have died just now.
pub(crate) async fn lose_data(data: &Path, pid: impl Fn() -> u32) {
    let lost = data.with_file_name("lost");
    std::fs::rename(data, &lost).unwrap();
    send("KILL", Some(pid())).await;
    wait_until("the data to be gone", async || {
        std::fs::remove_dir_all(&lost).map_err(|error| error.to_string())
    })
    .await;
}

/// Puts a job, as a collector of others would.
pub(crate) async fn put(rig: &Rig, body: &[u8]) {
    let replies = try_put(rig, "eu", body).await.unwrap();
    assert!(replies.contains("INSERTED"), "{replies}");
}

/// What beanstalkd replies to a job.
pub(crate) async fn try_put(rig: &Rig, region: &str, body: &[u8]) -> std::io::Result<String> {
    let address = rig.description().regions[region].beanstalkd.clone();
    let mut stream = TcpStream::connect(address).await?;
    let command = format!("use events\r\nput 1024 0 30 {}\r\n", body.len());
    stream
        .write_all(&[command.as_bytes(), body, b"\r\nquit\r\n"].concat())
        .await?;
    let mut replies = String::new();
    stream.read_to_string(&mut replies).await?;
    Ok(replies)
}
