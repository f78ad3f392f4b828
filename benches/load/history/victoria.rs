//! VictoriaMetrics on the same counts, where it is installed.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::fill;

const PROGRAM: &str = "victoria-metrics";

const READY_LIMIT: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(100);

/// Ends with its owner.
pub(crate) struct Victoria {
    pub(crate) base: String,
    process: Child,
    dir: TempDir,
}

impl Victoria {
    /// `None` where it is not installed: it is Debian's package of the same name.
    pub(crate) async fn start(client: &reqwest::Client) -> Result<Option<Self>> {
        let dir = tempfile::Builder::new()
            .prefix("eventtracker-victoria-")
            .tempdir()?;
        let address = format!("127.0.0.1:{}", playground::free_port(1)?);
        let process = match spawn(&address, dir.path()) {
            Ok(process) => process,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("failed to start victoria-metrics"),
        };
        let victoria = Self {
            base: format!("http://{address}"),
            process,
            dir,
        };
        victoria.ready(client).await?;
        Ok(Some(victoria))
    }

    async fn ready(&self, client: &reqwest::Client) -> Result<()> {
        let begun = std::time::Instant::now();
        while client.get(format!("{}/health", self.base)).send().await.is_err() {
            if begun.elapsed() > READY_LIMIT {
                bail!("victoria-metrics did not become ready");
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Kills it without warning, and starts it again on what it has on disk.
    pub(crate) async fn crash(&mut self, client: &reqwest::Client) -> Result<()> {
        self.process.kill().await?;
        let address = self.base.trim_start_matches("http://");
        self.process = spawn(address, self.dir.path()).context("failed to start victoria-metrics again")?;
        self.ready(client).await
    }

    /// A day of one series, which `metric` names.
    pub(crate) async fn import(
        &self,
        client: &reqwest::Client,
        metric: &Value,
        day: i64,
        minutes: &[u64],
    ) -> Result<()> {
        let start = fill::day(day).unix_s();
        let values: Vec<String> = minutes.iter().map(u64::to_string).collect();
        let times: Vec<String> = (0..)
            .zip(minutes)
            .map(|(at, _)| (start + 60 * at).to_string() + "000")
            .collect();
        let line = format!(
            r#"{{"metric":{metric},"values":[{}],"timestamps":[{}]}}"#,
            values.join(","),
            times.join(",")
        );
        let sent = client
            .post(format!("{}/api/v1/import", self.base))
            .body(line)
            .send()
            .await?;
        sent.error_for_status()?;
        Ok(())
    }

    /// What was imported is found only once it is flushed.
    pub(crate) async fn flush(&self, client: &reqwest::Client) -> Result<()> {
        client
            .get(format!("{}/internal/force_flush", self.base))
            .send()
            .await?;
        Ok(())
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }
}

fn spawn(address: &str, dir: &Path) -> std::io::Result<Child> {
    Command::new(PROGRAM)
        .arg(format!("-httpListenAddr={address}"))
        .arg(format!("-storageDataPath={}", dir.join("data").display()))
        .args([
            "-retentionPeriod=100y",
            "-search.disableCache=false",
            // What has just come is asked for at once.
            "-search.latencyOffset=0s",
            "-loggerLevel=ERROR",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}
