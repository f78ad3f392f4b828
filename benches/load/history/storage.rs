//! `storage`: bytes per point on disk, packed against a row per minute, beside the entropy of the counts.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use model::Shard;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::fill::{self, Names, packed_day, random_day};
use crate::figures::{float, table};
use crate::pipeline::Pipeline;

/// Counts per minute of a name, and what is said of them.
pub(crate) const MEANS: [(f64, &str); 5] = [
    (0.002, "3 a day"),
    (0.05, "0.05"),
    (1.0, "1"),
    (25.0, "25"),
    (200.0, "200"),
];

/// Days whose growth is rewritten each hour: enough for the shape of the pages.
const REWRITTEN_DAYS: i64 = 6;

#[derive(Debug, Args)]
pub(crate) struct Storage {
    #[arg(long, default_value_t = 1_000)]
    names: u64,
    #[arg(long, default_value_t = 90)]
    days: i64,
    /// Days of a row per minute, which take the same for each
    #[arg(long, default_value_t = 3)]
    row_days: i64,
    /// Names of a single shard, so many that its file exceeds 60 MB
    #[arg(long, default_value_t = 600)]
    shard_names: u64,
}

/// Bytes of a table in all shards.
pub(crate) struct Size {
    pub(crate) pages: u64,
    pub(crate) files: u64,
}

struct Bench {
    tables: Tables,
    rng: StdRng,
}

/// The tables of packed days and of minutes.
pub(crate) struct Tables {
    pub(crate) conn: Conn,
    data: PathBuf,
}

impl Storage {
    pub(crate) async fn run(self) -> Result<bool> {
        super::on_bare_servers(async |pipeline| self.measure(pipeline).await).await
    }

    async fn measure(&self, pipeline: &Pipeline) -> Result<()> {
        let mut bench = Bench::new(pipeline).await?;
        let names = fill::names((0..self.names).map(|n| format!("history.{n}")));
        println!(
            "{} names, {} days packed, {} days of rows; bytes per minute and name",
            self.names, self.days, self.row_days
        );
        let mut lines = Vec::new();
        for (mean, label) in MEANS {
            let rows = bench.rows(&names, self.row_days, mean).await?;
            let packed = bench.packed(&names, self.days, mean).await?;
            let points = |days| float(self.names) * days_f(days) * 1_440.0;
            let per = |bytes: u64, days| format!("{:.4}", megabytes(bytes) * 1e6 / points(days));
            lines.push([
                label.to_owned(),
                format!("{:.4}", entropy_bits(mean) / 8.0),
                per(packed.pages, self.days),
                per(packed.files, self.days),
                per(rows.pages, self.row_days),
                format!(
                    "{:.3}",
                    megabytes(packed.pages)
                        / days_f(self.days)
                        / (megabytes(rows.pages) / days_f(self.row_days))
                ),
            ]);
        }
        let header = [
            "mean",
            "entropy",
            "packed: pages",
            "packed: files",
            "rows: pages",
            "packed / rows",
        ];
        println!("\n{}", table(header, lines));
        self.one_shard(&mut bench).await
    }

    /// Where a file is large, and how the way of writing matters.
    async fn one_shard(&self, bench: &mut Bench) -> Result<()> {
        let names = fill::names_of_one_shard(self.shard_names);
        let points = |days| float(self.shard_names) * days_f(days) * 1_440.0;
        let mut lines = Vec::new();
        let mut line = |what: &str, size: &Size, days| {
            lines.push([
                what.to_owned(),
                format!("{:.4}", megabytes(size.pages) * 1e6 / points(days)),
                format!("{:.4}", megabytes(size.files) * 1e6 / points(days)),
                format!("{:.1}", megabytes(size.files)),
            ]);
        };
        line(
            "each day once",
            &bench.packed(&names, self.days, 25.0).await?,
            self.days,
        );
        let few = bench.packed(&names, REWRITTEN_DAYS, 25.0).await?;
        line("each day once, few days", &few, REWRITTEN_DAYS);
        let rewritten = bench.rewritten(&names, REWRITTEN_DAYS, 25.0).await?;
        line("rewritten each hour, few days", &rewritten, REWRITTEN_DAYS);
        println!("\none shard, {} names, mean 25", self.shard_names);
        println!("{}", table(["", "pages", "files", "files, MB"], lines));
        Ok(())
    }
}

impl Bench {
    async fn new(pipeline: &Pipeline) -> Result<Self> {
        Ok(Self {
            tables: Tables::new(pipeline).await?,
            rng: StdRng::seed_from_u64(1),
        })
    }

    async fn packed(&mut self, names: &Names, days: i64, mean: f64) -> Result<Size> {
        let rng = &mut self.rng;
        let counts = || packed_day(&random_day(mean, rng)?);
        fill::packed(&mut self.tables.conn, names, 0..days, counts).await?;
        self.tables.take_size("EventDay").await
    }

    async fn rows(&mut self, names: &Names, days: i64, mean: f64) -> Result<Size> {
        let rng = &mut self.rng;
        fill::rows(&mut self.tables.conn, names, 0..days, || random_day(mean, rng)).await?;
        self.tables.take_size("EventMinute").await
    }

    /// As if each hour were packed when it ends.
    async fn rewritten(&mut self, names: &Names, days: i64, mean: f64) -> Result<Size> {
        for day in 0..days {
            let mut of_day = Vec::new();
            for _ in names.values().flatten() {
                of_day.push(random_day(mean, &mut self.rng)?);
            }
            for hour in 1..=24 {
                let date = fill::day(day);
                let all = names
                    .iter()
                    .flat_map(|(shard, ids)| ids.iter().map(move |id| (shard, id)));
                for ((shard, id), minutes) in all.zip(&of_day) {
                    let (total, text) = packed_day(&minutes[..hour * 60])?;
                    let text = fill::quoted(&text);
                    self.tables
                        .conn
                        .query_drop(format!(
                            "INSERT INTO {shard}.EventDay VALUES ('{date}',{id},{total},{text}) \
                             ON DUPLICATE KEY UPDATE total = VALUES(total), counts = VALUES(counts)"
                        ))
                        .await?;
                }
            }
        }
        self.tables.take_size("EventDay").await
    }
}

impl Tables {
    pub(crate) async fn new(pipeline: &Pipeline) -> Result<Self> {
        let socket = &pipeline.description.central.socket;
        let dir = socket.parent().context("the centre has no directory")?;
        Ok(Self {
            conn: pipeline.description.central.root().connect().await?,
            data: dir.join("data"),
        })
    }

    /// Measures a table, and empties it.
    pub(crate) async fn take_size(&mut self, table: &str) -> Result<Size> {
        let mut size = Size { pages: 0, files: 0 };
        for shard in Shard::all() {
            self.conn
                .query_drop(format!("ANALYZE TABLE {shard}.{table}"))
                .await?;
            let rows: Option<u64> = self
                .conn
                .query_first(format!("SELECT 1 FROM {shard}.{table} LIMIT 1"))
                .await?;
            if rows.is_some() {
                size.files += file_bytes(&self.data.join(format!("{shard}/{table}.ibd")))?;
                let sql = format!(
                    "SELECT data_length + index_length FROM information_schema.TABLES \
                     WHERE table_schema = '{shard}' AND table_name = '{table}'"
                );
                size.pages += self
                    .conn
                    .query_first::<u64, _>(sql)
                    .await?
                    .context("no such table")?;
            }
            self.conn.query_drop(format!("TRUNCATE {shard}.{table}")).await?;
        }
        Ok(size)
    }
}

fn file_bytes(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path)
        .with_context(|| format!("failed to look at {}", path.display()))?
        .len())
}

fn megabytes(bytes: u64) -> f64 {
    float(bytes / 1_000) / 1_000.0
}

fn days_f(days: i64) -> f64 {
    float(u64::try_from(days).unwrap_or_default())
}

/// Of a count, in bits: what no coding of independent counts can go below.
fn entropy_bits(mean: f64) -> f64 {
    let mut probability = (-mean).exp();
    let mut bits = 0.0;
    for count in 1..1_000 {
        if probability > 0.0 {
            bits -= probability * probability.log2();
        }
        probability *= mean / f64::from(count);
    }
    bits
}
