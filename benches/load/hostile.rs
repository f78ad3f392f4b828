//! `hostile`: a polite client beside a hostile one, with the gate's shares and without; and two clients that want more than there is.

mod kinds;
mod polite;
mod weights;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use gate::Secret;

use crate::figures::{ms, table};
use crate::pipeline::{Pipeline, PipelineArguments};

use kinds::Kind;
use polite::Answered;

/// Time for the hostile client to take what it can before the polite one is looked at.
const LEAD: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Hostile {
    /// Seconds of each kind
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=600))]
    seconds: u32,
    /// Kinds to measure, instead of all
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Kind>,
    #[command(flatten)]
    pipeline: PipelineArguments,
}

/// The secrets of the two clients, and the file that lets them in.
struct Clients {
    polite: Secret,
    hostile: Secret,
}

impl Clients {
    /// Makes both, with their weights, and writes the file.
    fn new(path: &Path, weights: [u32; 2]) -> Result<Self> {
        let clients = Self {
            polite: Secret::generate()?,
            hostile: Secret::generate()?,
        };
        let both = [("polite", &clients.polite), ("hostile", &clients.hostile)];
        let entries = both.iter().zip(weights).map(|((name, secret), weight)| {
            let hash = secret.hash();
            format!("[[token]]\nname = '{name}'\nsha256 = '{hash}'\nscopes = ['write']\nweight = {weight}\n")
        });
        std::fs::write(path, entries.collect::<String>())?;
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path, private)?;
        Ok(clients)
    }
}

/// The settings of a region whose collector lets these clients in.
fn settings(tokens: &Path, is_fair: bool, more: &str) -> Result<toml::Table> {
    let text = format!(
        "[limits]\nfair = {is_fair}\n[collector]\ntokens_file = '{}'\n{more}",
        tokens.display()
    );
    Ok(text.parse()?)
}

impl Hostile {
    /// Whether everything of the polite client was accepted, as long as the shares hold.
    pub(crate) async fn run(self) -> Result<bool> {
        let mut columns = Vec::new();
        for is_fair in [true, false] {
            columns.push(self.kinds(is_fair).await?);
        }
        let rows = columns[0]
            .iter()
            .zip(&columns[1])
            .map(|((kind, with), (_, without))| {
                let alone = [&columns[0][0].1, &columns[1][0].1];
                let of = |answered: &Answered, alone: &Answered| {
                    let ratio =
                        answered.took.quantile(0.99).as_secs_f64() / alone.took.quantile(0.99).as_secs_f64();
                    [
                        format!("{:.1} %", 100.0 * answered.accepted_share()),
                        ms(answered.took.quantile(0.5)),
                        ms(answered.took.quantile(0.99)),
                        format!("{ratio:.1}"),
                    ]
                };
                let [a, b, c, d] = of(with, alone[0]);
                let [e, f, g, h] = of(without, alone[1]);
                [kind.clone(), a, b, c, d, e, f, g, h]
            });
        let header = [
            "beside",
            "fair: accepted",
            "median",
            "p99",
            "of alone",
            "not fair: accepted",
            "median",
            "p99",
            "of alone",
        ];
        println!("\n{}", table(header, rows));
        for (is_fair, [one, three]) in weights::measure(&self.pipeline, self.seconds).await? {
            let three_to_one = crate::figures::float(three) / crate::figures::float(one);
            let fair = if is_fair { "fair" } else { "not fair" };
            println!("weights 1 and 3, {fair}: {one} and {three} events accepted, 1 : {three_to_one:.2}");
        }
        Ok(columns[0]
            .iter()
            .all(|(_, answered)| answered.accepted_share() >= 1.0))
    }

    /// What the polite client is answered alone, and beside each kind.
    async fn kinds(&self, is_fair: bool) -> Result<Vec<(String, Answered)>> {
        let dir = tempfile::tempdir()?;
        let tokens = dir.path().join("tokens.toml");
        let clients = Clients::new(&tokens, [1, 1])?;
        let pipeline = Pipeline::start_with(&self.pipeline, settings(&tokens, is_fair, "")?).await?;
        let collector = pipeline.collectors()[0][0].clone();
        let seconds = Duration::from_secs(self.seconds.into());
        let mut all = Vec::new();
        let alone = polite::send(&collector, &clients.polite, seconds).await?;
        println!("fair = {is_fair}, alone: {alone}");
        all.push(("nobody".to_owned(), alone));
        for kind in Kind::all().filter(|kind| self.only.is_empty() || self.only.contains(kind)) {
            let hostile = kind.start(&collector, &clients.hostile)?;
            tokio::time::sleep(LEAD).await;
            let answered = polite::send(&collector, &clients.polite, seconds).await;
            let did = hostile.stop().await;
            let answered = answered?;
            println!("fair = {is_fair}, {kind}: {answered}; it did {did}");
            all.push((kind.to_string(), answered));
        }
        pipeline.finish(true).await?;
        Ok(all)
    }
}
