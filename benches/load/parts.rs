//! `parts`: three of the pipeline's stations alone, each beside the bare thing: jobs to rows beside reading the same bytes,
//! a region's commit beside a multi-row insert, the centre's apply beside the same statements.

pub(crate) mod apply;
pub(crate) mod commit;
pub(crate) mod decode;
mod flushes;

use anyhow::Result;
use clap::Args;

use crate::report::Report;

#[derive(Debug, Args)]
pub(crate) struct Parts {
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

impl Parts {
    /// Whether all could be measured.
    pub(crate) async fn run(self) -> Result<bool> {
        let mut report = Report::default();
        decode::measure(self.rounds, &mut report).await?;
        commit::measure(self.rounds, &mut report).await?;
        apply::measure(self.rounds, &mut report).await?;
        report.print();
        Ok(report.is_good())
    }
}
