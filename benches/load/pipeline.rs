//! The pipeline under load: a playground of our own, or one that runs already.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use playground::{Description, Options};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Args)]
pub(crate) struct PipelineArguments {
    /// The regions of the playground
    #[arg(long, value_delimiter = ',', default_value = "eu,us", value_name = "NAME,…")]
    regions: Vec<String>,
    /// The playground.json of a playground that runs, instead of one of our own
    #[arg(long, conflicts_with = "regions", value_name = "DESCRIPTION.json")]
    against: Option<PathBuf>,
    /// Keep the playground's directory even if all was well
    #[arg(long, conflicts_with = "against")]
    keep: bool,
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
        match &arguments.against {
            None => {
                let program = PathBuf::from(env!("CARGO_BIN_EXE_eventtracker"));
                Self::start_own(Some(program), &arguments.regions, arguments.keep).await
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

    /// The servers of one region and a centre, without any role.
    pub(crate) async fn start_bare_servers() -> Result<Self> {
        Self::start_own(None, &["bare".to_owned()], false).await
    }

    async fn start_own(program: Option<PathBuf>, regions: &[String], keep: bool) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("eventtracker-load-").tempdir()?;
        let options = Options {
            program,
            data_dir: dir.path().to_owned(),
            port: playground::free_port(u16::try_from(regions.len())?)?,
            regions: regions.to_vec(),
            ..Options::default()
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

    /// Whether nobody else has ever written to it.
    pub(crate) fn is_fresh(&self) -> bool {
        self.own.is_some()
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
