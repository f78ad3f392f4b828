//! `hostile`: a polite client beside a hostile one, with the gate's shares and without; and two clients that want more than there is.

mod client;
mod http_2;
mod kinds;
mod many_names;
mod overhead;
mod polite;
mod stalls;
mod weights;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use gate::Secret;

use crate::beside::Beside;
use crate::figures::{ms, table};
use crate::pipeline::{Pipeline, PipelineArguments};

pub(crate) use client::HostileClient;
use kinds::Kind;
pub(crate) use many_names::ManyNames;
pub(crate) use overhead::GateOverhead;
use polite::Answered;
pub(crate) use polite::PoliteClient;

/// Time for the hostile client to take what it can before the polite one is looked at.
const LEAD: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Hostile {
    /// Seconds of each kind
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=600))]
    seconds: u32,
    /// How often each is measured: the one whose 99th percentile is the median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
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

/// What the polite client was answered beside somebody, and how long the slowest hundredth took alone, while the machine ran.
struct Measured {
    who: String,
    answered: Answered,
    alone: Duration,
}

impl Measured {
    fn cells(&self) -> [String; 5] {
        let running = self.answered.took_running.quantile(0.99);
        [
            format!("{:.1} %", 100.0 * self.answered.accepted_share()),
            ms(self.answered.took.quantile(0.5)),
            ms(self.answered.took.quantile(0.99)),
            ms(running),
            format!("{:.1}", running.as_secs_f64() / self.alone.as_secs_f64()),
        ]
    }
}

impl Hostile {
    /// Whether everything of the polite client was accepted, as long as the shares hold.
    pub(crate) async fn run(self) -> Result<bool> {
        let mut columns = Vec::new();
        for is_fair in [true, false] {
            let mut column = Vec::new();
            for is_encrypted in [false, true] {
                column.extend(self.kinds(is_fair, is_encrypted).await?);
            }
            columns.push(column);
        }
        let rows = columns[0].iter().zip(&columns[1]).map(|(fair, not)| {
            let [a, b, c, d, e] = fair.cells();
            let [f, g, h, i, j] = not.cells();
            [fair.who.clone(), a, b, c, d, e, f, g, h, i, j]
        });
        let header = [
            "beside",
            "fair: accepted",
            "median",
            "p99",
            "running",
            "of alone",
            "not fair: accepted",
            "median",
            "p99",
            "running",
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
            .all(|measured| measured.answered.accepted_share() >= 1.0))
    }

    /// What the polite client is answered alone, and beside each kind that wants a collector with a certificate, or without.
    async fn kinds(&self, is_fair: bool, is_encrypted: bool) -> Result<Vec<Measured>> {
        let is_wanted = |kind: &Kind| {
            kind.is_encrypted() == is_encrypted && (self.only.is_empty() || self.only.contains(kind))
        };
        let kinds: Vec<Kind> = Kind::all().filter(is_wanted).collect();
        if kinds.is_empty() {
            return Ok(Vec::new());
        }
        let dir = tempfile::tempdir()?;
        let tokens = dir.path().join("tokens.toml");
        let clients = Clients::new(&tokens, [1, 1])?;
        let arguments = self.pipeline.encrypted(is_encrypted);
        let pipeline = Pipeline::start_with(&arguments, settings(&tokens, is_fair, "")?).await?;
        let collector = pipeline.collectors()[0][0].clone();
        let ca = pipeline.description.ca.as_deref();
        let polite = async || {
            let mut rounds = Vec::new();
            for _ in 0..self.rounds {
                rounds.push(PoliteClient::send(&collector, ca, &clients.polite, self.seconds).await?);
            }
            Ok::<_, anyhow::Error>(polite::median(rounds))
        };
        // The first seconds of a process are slower than the others.
        polite().await?;
        let answered = polite().await?;
        println!("fair = {is_fair}, alone: {answered}");
        let alone = answered.took_running.quantile(0.99);
        let who = if is_encrypted {
            "nobody, encrypted"
        } else {
            "nobody"
        }
        .to_owned();
        let mut all = vec![Measured { who, answered, alone }];
        let mut measure = async |who: String, mut client: Beside| {
            client.begun().await?;
            tokio::time::sleep(LEAD).await;
            let answered = polite().await;
            let did = client.stop().await?;
            let answered = answered?;
            println!("fair = {is_fair}, {who}: {answered}; it did {did}");
            all.push(Measured { who, answered, alone });
            Ok::<_, anyhow::Error>(())
        };
        // The reference: what any work on all cores costs, of whoever it is.
        let computing = Beside::of_this_machine(&["computing"])?;
        measure("nobody, cores busy".to_owned(), computing).await?;
        for kind in kinds {
            let client = HostileClient::start(kind, &collector, &clients.hostile).await?;
            measure(kind.to_string(), client).await?;
        }
        pipeline.finish(true).await?;
        Ok(all)
    }
}
