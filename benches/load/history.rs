//! Years of counts at the centre: what they take on disk, how fast they are read, packed, and whether ingest minds.

pub(crate) mod fill;
pub(crate) mod forms;
pub(crate) mod ingest;
pub(crate) mod long_reads;
pub(crate) mod packing;
pub(crate) mod panels;
pub(crate) mod queries;
pub(crate) mod reads;
pub(crate) mod renders;
mod restart;
pub(crate) mod storage;
pub(crate) mod victoria;

use anyhow::Result;

use crate::pipeline::Pipeline;

/// Measures a centre without roles, which has the memory of a deployed one.
pub(crate) async fn on_bare_servers(measure: impl AsyncFnOnce(&Pipeline) -> Result<()>) -> Result<bool> {
    let pipeline = Pipeline::start_bare_servers().await?;
    pipeline.enlarge_centre().await?;
    let measured = measure(&pipeline).await;
    pipeline.finish(measured.is_ok()).await?;
    measured.map(|()| true)
}
