//! The pipeline under load: a playground of our own, or one that runs already.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use mysql_async::prelude::Queryable;
use playground::{Description, Options, Relay};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::sender;

#[derive(Debug, Clone, Args)]
pub(crate) struct PipelineArguments {
    /// The regions of the playground
    #[arg(long, value_delimiter = ',', default_value = "eu,us", value_name = "NAME,…")]
    regions: Vec<String>,
    /// The playground.json of a playground that runs, instead of one of our own
    #[arg(long, conflicts_with = "regions", value_name = "DESCRIPTION.json")]
    against: Option<PathBuf>,
    /// How long workers hold counts, instead of their default
    #[arg(long, conflicts_with = "against", value_name = "MS")]
    flush_age_ms: Option<i64>,
    /// Whether what is said is encrypted.
    #[arg(skip)]
    tls: bool,
    /// Keep the playground's directory even if all was well
    #[arg(long, conflicts_with = "against")]
    keep: bool,
}

impl PipelineArguments {
    /// The same, encrypted or not.
    pub(crate) fn encrypted(&self, tls: bool) -> Self {
        Self { tls, ..self.clone() }
    }
}

#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) description: Description,
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    dir: TempDir,
    keep: bool,
    stop: CancellationToken,
    running: JoinHandle<Result<()>>,
}

impl Pipeline {
    pub(crate) async fn start(arguments: &PipelineArguments) -> Result<Self> {
        Self::start_with(arguments, toml::Table::new()).await
    }

    /// One of our own has `region_overrides` in every region's configuration.
    pub(crate) async fn start_with(
        arguments: &PipelineArguments,
        mut region_overrides: toml::Table,
    ) -> Result<Self> {
        if let Some(ms) = arguments.flush_age_ms {
            let worker = toml::Table::from_iter([("flush_age_ms".to_owned(), toml::Value::Integer(ms))]);
            region_overrides.insert("worker".to_owned(), worker.into());
        }
        match &arguments.against {
            None => {
                let options = Options {
                    region_overrides,
                    tls: arguments.tls,
                    ..own_options(Some(program()), &arguments.regions)?
                };
                Self::start_own(options, arguments.keep).await
            }
            Some(path) => {
                let context = || format!("failed to read {}", path.display());
                let text = std::fs::read(path).with_context(context)?;
                Ok(Self {
                    description: serde_json::from_slice(&text).with_context(context)?,
                    own: None,
                })
            }
        }
    }

    /// A client of its collectors and its api.
    pub(crate) fn client(&self) -> Result<reqwest::Client> {
        sender::client(self.description.ca.as_deref())
    }

    /// The servers of one region and a centre, without any role.
    pub(crate) async fn start_bare_servers() -> Result<Self> {
        Self::start_own(own_options(None, &["bare".to_owned()])?, false).await
    }

    /// A playground of our own whose first region the centre reaches through a relay.
    pub(crate) async fn start_with_link(arguments: &PipelineArguments) -> Result<(Self, Relay)> {
        ensure!(
            arguments.against.is_none(),
            "a link can be cut only in a playground of our own"
        );
        let mut options = own_options(Some(program()), &arguments.regions)?;
        let first = options.regions.iter().min().context("there is no region")?;
        let at = options
            .regions
            .iter()
            .position(|region| region == first)
            .unwrap_or(0);
        // As the playground numbers its ports.
        let mariadb = options.port + 10 * (u16::try_from(at)? + 1) + 2;
        let relay = Relay::start(([127, 0, 0, 1], mariadb).into()).await?;
        options.links = BTreeMap::from([(first.clone(), relay.address().port())]);
        Ok((Self::start_own(options, arguments.keep).await?, relay))
    }

    async fn start_own(options: Options, keep: bool) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("eventtracker-load-").tempdir()?;
        let options = Options {
            data_dir: dir.path().to_owned(),
            ..options
        };
        let stop = CancellationToken::new();
        let (ready, description) = oneshot::channel();
        let running = tokio::spawn(playground::run(
            options,
            stop.clone(),
            CancellationToken::new(),
            |description| {
                // Nobody waits any more only where this program ends anyway.
                ready.send(description.clone()).ok();
            },
        ));
        let Ok(description) = description.await else {
            running.await??;
            anyhow::bail!("the playground ended before it was ready");
        };
        let own = Own {
            dir,
            keep,
            stop,
            running,
        };
        Ok(Self {
            description,
            own: Some(own),
        })
    }

    /// Gives the centre the memory and log of `deploy/mariadb-central.cnf`; a playground's are small.
    pub(crate) async fn enlarge_centre(&self) -> Result<()> {
        const SQL: &str =
            "SET GLOBAL innodb_buffer_pool_size = 4 << 30; SET GLOBAL innodb_log_file_size = 1 << 30";
        let mut conn = self.description.central.root().connect().await?;
        Ok(conn.query_drop(SQL).await?)
    }

    /// Whether nobody else has ever written to it.
    pub(crate) fn is_fresh(&self) -> bool {
        self.own.is_some()
    }

    /// The directory of a playground of our own.
    pub(crate) fn dir(&self) -> Result<&Path> {
        let own = self.own.as_ref().context("the playground is not our own")?;
        Ok(own.dir.path())
    }

    /// Base addresses of the collectors, region by region.
    pub(crate) fn collectors(&self) -> Vec<Vec<String>> {
        let regions = self.description.regions.values();
        regions.map(|region| region.all_collectors().to_vec()).collect()
    }

    /// Stops a playground of our own. Where something was wrong its directory stays, logs and all.
    pub(crate) async fn finish(self, good: bool) -> Result<()> {
        let Some(own) = self.own else {
            return Ok(());
        };
        own.stop.cancel();
        own.running.await??;
        if own.keep || !good {
            println!("\nkept: {}", own.dir.keep().display());
        }
        Ok(())
    }
}

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_eventtracker"))
}

fn own_options(program: Option<PathBuf>, regions: &[String]) -> Result<Options> {
    Ok(Options {
        program,
        port: playground::free_port(u16::try_from(regions.len())?)?,
        regions: regions.to_vec(),
        ..Options::default()
    })
}
