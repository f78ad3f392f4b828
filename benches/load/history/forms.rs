//! `forms`: what a packed day takes in other forms than ours, how fast it is written, and how fast SQL reads it.

use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use model::MINUTES_PER_DAY;
use mysql_async::prelude::Queryable;
use rand::distr::Distribution;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::Normal;

use super::fill::{self, Names, as_day_counts, random_day};
use super::storage::{MEANS, Tables};
use crate::figures::{float, table};
use crate::pipeline::Pipeline;

#[derive(Debug, Args)]
pub(crate) struct Forms {
    /// Names of a single shard
    #[arg(long, default_value_t = 200)]
    names: u64,
    #[arg(long, default_value_t = 60)]
    days: i64,
}

/// A way to write a day as text.
struct Form {
    name: &'static str,
    /// The setting of the server with which the text is compressed.
    strategy: &'static str,
    way: Way,
}

enum Way {
    /// `[n0,…,n1439]`.
    Numbers,
    /// The least, and digits to this base, from the character that is 0.
    Digits(u64, u8),
    /// As the keeper writes.
    Ours,
}

const FORMS: [Form; 6] = [
    form("numbers", "DEFAULT_STRATEGY", Way::Numbers),
    form("numbers, filtered", "FILTERED", Way::Numbers),
    form("base 10, filtered", "FILTERED", Way::Digits(10, b'0')),
    form("base 64, filtered", "FILTERED", Way::Digits(64, b'#')),
    form("base 92", "DEFAULT_STRATEGY", Way::Digits(92, b'#')),
    form("ours", "FILTERED", Way::Ours),
];

/// The label, and a column for each form.
const COLUMNS: usize = FORMS.len() + 1;

const fn form(name: &'static str, strategy: &'static str, way: Way) -> Form {
    Form { name, strategy, way }
}

/// Makes a day of counts.
type Source = Box<dyn Fn(&mut StdRng) -> Result<Vec<u64>>>;

/// The means of `storage`, and what real names look like.
fn series() -> Vec<(String, Source)> {
    let mut all: Vec<(String, Source)> = Vec::new();
    for (mean, label) in MEANS {
        all.push((
            format!("mean {label}"),
            Box::new(move |rng| random_day(mean, rng)),
        ));
    }
    let minutes = || 0..MINUTES_PER_DAY;
    all.push((
        "nightly zeros, mean 25 by day".to_owned(),
        Box::new(move |rng| {
            let mut day = random_day(25.0, rng)?;
            day[..480].fill(0);
            Ok(day)
        }),
    ));
    all.push((
        "bursts: 2, and 800 in one minute of 50".to_owned(),
        Box::new(|rng| {
            let (calm, burst) = (random_day(2.0, rng)?, random_day(800.0, rng)?);
            let either = calm.into_iter().zip(burst);
            Ok(either
                .map(|(calm, burst)| if rng.random_ratio(1, 50) { burst } else { calm })
                .collect())
        }),
    ));
    all.push((
        "a constant 60".to_owned(),
        Box::new(|_| Ok(vec![60; MINUTES_PER_DAY])),
    ));
    all.push((
        "12 every five minutes".to_owned(),
        Box::new(move |_| {
            Ok(minutes()
                .map(|minute| if minute % 5 == 0 { 12 } else { 0 })
                .collect())
        }),
    ));
    all.push((
        "one event a day".to_owned(),
        Box::new(move |_| Ok(minutes().map(|minute| u64::from(minute == 700)).collect())),
    ));
    all.push((
        "two million a minute".to_owned(),
        Box::new(move |rng| {
            let normal = Normal::new(2e6, 2e6_f64.sqrt())?;
            let counts = minutes().map(|_| format!("{:.0}", normal.sample(rng)).parse::<u64>());
            Ok(counts.collect::<Result<_, _>>()?)
        }),
    ));
    all
}

/// What one form of one series took.
struct Took {
    pages: f64,
    files: f64,
    write_us: f64,
    read_us: f64,
}

impl Forms {
    pub(crate) async fn run(self) -> Result<bool> {
        super::on_bare_servers(async |pipeline| self.measure(pipeline).await).await
    }

    async fn measure(&self, pipeline: &Pipeline) -> Result<()> {
        let mut bench = Tables::new(pipeline).await?;
        let names = fill::names_of_one_shard(self.names);
        println!("one shard, {} names, {} days", self.names, self.days);
        let mut lines: [Vec<[String; COLUMNS]>; 4] = Default::default();
        for (label, source) in series() {
            let mut cells: [Vec<String>; 4] = std::array::from_fn(|_| vec![label.clone()]);
            for form in &FORMS {
                let took = self.take(&mut bench, &names, form, &source).await?;
                cells[0].push(format!("{:.4}", took.pages));
                cells[1].push(format!("{:.4}", took.files));
                cells[2].push(format!("{:.0}", took.write_us));
                cells[3].push(format!("{:.0}", took.read_us));
            }
            for (lines, cells) in lines.iter_mut().zip(cells) {
                lines.push(cells.try_into().map_err(|_| anyhow!("a cell is missing"))?);
            }
        }
        let titles = [
            "bytes per minute, pages",
            "bytes per minute, files",
            "a day written, µs",
            "a day read by SQL, µs",
        ];
        for (title, lines) in titles.into_iter().zip(lines) {
            let mut header = [title; COLUMNS];
            for (cell, form) in header[1..].iter_mut().zip(&FORMS) {
                *cell = form.name;
            }
            println!("\n{}", table(header, lines));
        }
        Ok(())
    }

    /// Writes all days of one form, reads one name's, and measures and empties the table.
    async fn take(&self, bench: &mut Tables, names: &Names, form: &Form, source: &Source) -> Result<Took> {
        let mut rng = StdRng::seed_from_u64(7);
        let mut days = Vec::new();
        // A few days for all names: they are compressed one by one, so that none profits from another.
        for _ in 0..40 {
            let minutes = source(&mut rng)?;
            let text = form.text(&minutes)?;
            days.push((minutes.iter().sum::<u64>(), text));
        }
        let mut at = 0;
        let next = || {
            at += 1;
            Ok(days[at % days.len()].clone())
        };
        let begun = Instant::now();
        fill::packed_with(&mut bench.conn, form.strategy, names, 0..self.days, next).await?;
        let written = begun.elapsed();
        let id = names.values().flatten().next().map_or(0, |id| id.0);
        let of_name = "SELECT CAST(SUM(total) AS UNSIGNED) FROM bigdata_0.EventDay WHERE eventId = ";
        let total: Option<u64> = bench.conn.query_first(format!("{of_name}{id}")).await?;
        let sql = form.sql(id, days[0].1.starts_with("[["));
        let mut fastest = f64::INFINITY;
        for _ in 0..5 {
            let begun = Instant::now();
            let sum: Option<u64> = bench.conn.query_first(&sql).await?;
            fastest = fastest.min(begun.elapsed().as_secs_f64());
            ensure!(sum == total, "{}: {sum:?} is not {total:?}", form.name);
        }
        let days = float(u64::try_from(self.days)?);
        let rows = days * float(self.names);
        let size = bench.take_size("EventDay").await?;
        Ok(Took {
            pages: float(size.pages) / rows / 1_440.0,
            files: float(size.files) / rows / 1_440.0,
            write_us: written.as_secs_f64() * 1e6 / rows,
            read_us: fastest * 1e6 / days,
        })
    }
}

impl Form {
    fn text(&self, minutes: &[u64]) -> Result<String> {
        Ok(match self.way {
            Way::Numbers => format!("{minutes:?}").replace(' ', ""),
            Way::Digits(base, zero) => digits(minutes, base, zero)?,
            Way::Ours => as_day_counts(minutes)?.pack(),
        })
    }

    /// The sum of a name's minutes, from the table itself; `are_pairs` if they are written so.
    fn sql(&self, id: u64, are_pairs: bool) -> String {
        let days = "bigdata_0.EventDay AS d FORCE INDEX (eventTotal)";
        let (base, zero) = match self.way {
            Way::Numbers => {
                return format!(
                    "SELECT CAST(SUM(j.n) AS UNSIGNED) FROM {days}, \
                     JSON_TABLE(d.counts, '$[*]' COLUMNS (n BIGINT UNSIGNED PATH '$')) AS j WHERE d.eventId = {id} AND j.n > 0"
                );
            }
            Way::Ours if are_pairs => {
                return format!(
                    "SELECT CAST(SUM(j.c) AS UNSIGNED) FROM {days}, \
                     JSON_TABLE(d.counts, '$[*]' COLUMNS (c BIGINT UNSIGNED PATH '$[1]')) AS j WHERE d.eventId = {id}"
                );
            }
            Way::Ours => (92, b'#'),
            Way::Digits(base, zero) => (base, zero),
        };
        // As many as the numbers of the series have.
        let digits = if base == 10 { 7 } else { 4 };
        let columns: Vec<String> = (0..digits)
            .map(|at| format!("d{at} VARCHAR(1440) CHARACTER SET ascii PATH '$[{}]'", at + 1))
            .collect();
        let value = (0..digits).rev().fold("0".to_owned(), |above, at| {
            format!("IF(j.d{at} IS NULL, 0, ORD(SUBSTR(j.d{at}, s.seq + 1, 1)) - {zero} + {base} * {above})")
        });
        format!(
            "SELECT CAST(SUM(n) AS UNSIGNED) FROM (SELECT j.least + {value} AS n FROM {days} \
             STRAIGHT_JOIN JSON_TABLE(CONCAT('[', d.counts, ']'), '$' COLUMNS (least BIGINT UNSIGNED PATH '$[0]', {})) AS j \
             STRAIGHT_JOIN bigdata_0.seq_0_to_1439 AS s WHERE d.eventId = {id}) AS minutes WHERE n > 0",
            columns.join(", ")
        )
    }
}

/// The form of digits, to another base.
fn digits(minutes: &[u64], base: u64, zero: u8) -> Result<String> {
    let least = minutes.iter().copied().min().unwrap_or(0);
    let mut above: Vec<u64> = minutes.iter().map(|count| count - least).collect();
    let mut parts = vec![least.to_string()];
    while parts.len() == 1 || above.iter().any(|&count| count > 0) {
        let mut line = String::new();
        for count in &mut above {
            line.push(char::from(zero + u8::try_from(*count % base)?));
            *count /= base;
        }
        parts.push(format!("\"{}\"", line.replace('\\', r"\\")));
    }
    Ok(parts.join(","))
}
