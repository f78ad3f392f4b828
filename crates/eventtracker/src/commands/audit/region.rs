//! A region's own books: acknowledged = queued + counted + recognised.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use store::Verdict;

use crate::config::Config;

/// Readings until nothing moves between the first and the last figure of one: under load the queue is rarely at rest.
const READINGS_MAX: usize = 50;

const READ_LIMIT: Duration = Duration::from_secs(5);

const ACKNOWLEDGED: &str = "collector_counts_acknowledged_total";
const DOUBTFUL: &str = "collector_counts_doubtful_total";
const JOBS_PUT: &str = "collector_jobs_put_total";
const COUNTED: &str = "worker_deleted_counts_total{outcome=\"counted\"}";
const RECOGNISED: &str = "worker_deleted_counts_total{outcome=\"recognised\"}";
const JOBS_DELETED: &str = "worker_jobs_deleted_total";
const JOBS_BURIED: &str = "worker_jobs_buried_total";

/// What the books are made of. A process shows each of them once it has something to count.
const FIGURES: [&str; 7] = [
    ACKNOWLEDGED,
    DOUBTFUL,
    JOBS_PUT,
    COUNTED,
    RECOGNISED,
    JOBS_DELETED,
    JOBS_BURIED,
];

/// Sums over the processes of a role, and what is odd about one of them.
#[derive(Debug, Clone, Default, PartialEq)]
struct Books {
    /// Whole numbers: beyond 2^53, a difference of one would vanish in a float.
    sums: BTreeMap<&'static str, i128>,
    /// beanstalkd processes that they have seen, with the jobs that were there before.
    queues: BTreeMap<String, i128>,
    /// Processes that have not seen one yet.
    without_queue: u32,
}

/// One reading of everything.
#[derive(Debug, Clone, PartialEq)]
struct Reading {
    collectors: Books,
    workers: Books,
    jobs_queued: i128,
}

pub(super) async fn audit(
    config: Config,
    collectors: Vec<String>,
    workers: Vec<String>,
) -> anyhow::Result<(String, Verdict)> {
    let queue = config.file.section(config.queue, "queue")?;
    let or_own = |given: Vec<String>, own: Option<std::net::SocketAddr>, what: &str| {
        let own = own.map(|address| vec![format!("http://{address}")]);
        let urls = if given.is_empty() { own } else { Some(given) };
        urls.with_context(|| format!("no {what} is known: give --{what} URL"))
    };
    let collectors = or_own(collectors, config.collector.map(|c| c.listen), "collector")?;
    let workers = or_own(workers, config.worker.map(|w| w.listen), "worker")?;
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(READ_LIMIT)
        .build()?;
    let read = async || -> anyhow::Result<Reading> {
        Ok(Reading {
            collectors: books(&http, &collectors).await?,
            workers: books(&http, &workers).await?,
            jobs_queued: jobs(&queue).await?,
        })
    };
    let mut last = read().await?;
    let mut at_rest = false;
    for _ in 0..READINGS_MAX {
        let next = read().await?;
        at_rest = next == last;
        last = next;
        if at_rest {
            break;
        }
    }
    let verdict = if at_rest {
        verdict(&last)
    } else {
        Verdict::NotKnown("the figures moved all the time: once more, with less load".to_owned())
    };
    Ok((report(&last, &verdict), verdict))
}

async fn jobs(queue: &queue::Config) -> anyhow::Result<i128> {
    let (tube, _) = queue::heads(queue).await?;
    Ok(tube.jobs().into())
}

async fn books(http: &reqwest::Client, urls: &[String]) -> anyhow::Result<Books> {
    let mut books = Books::default();
    for url in urls {
        let answer = http.get(format!("{url}/metrics")).send().await;
        let text = answer
            .and_then(reqwest::Response::error_for_status)
            .with_context(|| format!("{url} does not show its metrics"))?
            .text()
            .await?;
        let added = books.add(&text);
        added.with_context(|| format!("the metrics of {url} cannot be read"))?;
    }
    Ok(books)
}

impl Books {
    /// Adds the figures of one process in Prometheus' text format.
    ///
    /// # Errors
    /// A figure that is no whole number: without it, the books would balance where they do not.
    fn add(&mut self, text: &str) -> anyhow::Result<()> {
        const AT_START: &str = "queue_tube_jobs_at_start{process=\"";
        self.without_queue += u32::from(!text.contains(AT_START));
        for line in text.lines() {
            let (name, value) = line.rsplit_once(' ').unwrap_or((line, ""));
            let number = || {
                let number = value.parse::<i128>();
                number.with_context(|| format!("no whole number: {line}"))
            };
            if let Some(rest) = name.strip_prefix(AT_START) {
                let process = rest.split('"').next().context("no process")?;
                let jobs = self.queues.entry(process.to_owned()).or_default();
                *jobs = number()?.max(*jobs);
            } else if let Some(figure) = FIGURES.into_iter().find(|figure| *figure == name) {
                *self.sums.entry(figure).or_default() += number()?;
            }
        }
        Ok(())
    }

    fn sum(&self, figure: &str) -> i128 {
        self.sums.get(figure).copied().unwrap_or(0)
    }
}

impl Reading {
    fn acknowledged(&self) -> i128 {
        self.collectors.sum(ACKNOWLEDGED)
    }

    fn doubtful(&self) -> i128 {
        self.collectors.sum(DOUBTFUL)
    }

    fn counted(&self) -> i128 {
        self.workers.sum(COUNTED)
    }

    fn recognised(&self) -> i128 {
        self.workers.sum(RECOGNISED)
    }

    fn open(&self) -> i128 {
        self.acknowledged() - self.counted() - self.recognised()
    }
}

fn verdict(reading: &Reading) -> Verdict {
    if reading.collectors.without_queue + reading.workers.without_queue > 0 {
        return Verdict::NotKnown(
            "one of these processes has just begun and has not reached the queue yet".to_owned(),
        );
    }
    let queues: BTreeMap<&String, i128> = [&reading.collectors, &reading.workers]
        .into_iter()
        .flat_map(|books| &books.queues)
        .fold(BTreeMap::new(), |mut all, (process, &jobs)| {
            let most: &mut i128 = all.entry(process).or_default();
            *most = jobs.max(*most);
            all
        });
    if queues.len() != 1 {
        return Verdict::NotKnown(format!(
            "the queue's server was started {} times since the oldest of these processes began: what was in it then is not in their figures",
            queues.len()
        ));
    }
    if let Some(jobs) = queues.into_values().find(|&jobs| jobs > 0) {
        return Verdict::NotKnown(format!(
            "the youngest of these processes found that {jobs} jobs had been put before it began: what an earlier process acknowledged or counted is not in their figures"
        ));
    }
    let (open, doubtful) = (reading.open(), reading.doubtful());
    if reading.jobs_queued == 0 {
        return if open <= 0 && -open <= doubtful {
            Verdict::Equal
        } else if open > 0 {
            Verdict::Gap(format!(
                "{open} were acknowledged and never counted, and the queue is empty"
            ))
        } else {
            Verdict::Gap(format!("{} were counted that nobody acknowledged", -open))
        };
    }
    let jobs = reading.collectors.sum(JOBS_PUT) - reading.workers.sum(JOBS_DELETED);
    let difference = reading.jobs_queued - jobs;
    let buried = reading.workers.sum(JOBS_BURIED);
    if difference == 0 && open >= reading.jobs_queued {
        Verdict::Equal
    } else if difference.abs() <= doubtful + buried {
        Verdict::NotKnown(format!(
            "{} jobs are in the queue, and some of them are in doubt or of others",
            reading.jobs_queued
        ))
    } else {
        Verdict::NotKnown(format!(
            "the queue has {} jobs, the figures say {jobs}: it moves, or others put jobs, too; once more",
            reading.jobs_queued
        ))
    }
}

fn report(reading: &Reading, verdict: &Verdict) -> String {
    let mut text = format!(
        "acknowledged since start {}\n  counted                {}\n  recognised as known    {}\n  queued                 {} in {} jobs\n",
        reading.acknowledged(),
        reading.counted(),
        reading.recognised(),
        reading.open().max(0),
        reading.jobs_queued
    );
    if reading.doubtful() > 0 {
        text += &format!("  of unknown outcome     {}\n", reading.doubtful());
    }
    text + &match verdict {
        Verdict::Equal => "equal\n".to_owned(),
        Verdict::Gap(why) => format!("! GAP: {why}\n"),
        Verdict::NotKnown(why) => format!("not known: {why}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(collectors: &str, workers: &str, jobs_queued: i128) -> Reading {
        let books = |text: &str| {
            let mut books = Books::default();
            books.add(text).unwrap();
            books
        };
        Reading {
            collectors: books(collectors),
            workers: books(workers),
            jobs_queued,
        }
    }

    const START: &str = "queue_tube_jobs_at_start{process=\"ab\"} 0\n";

    #[test]
    fn a_figure_that_cannot_be_read_is_no_zero() {
        let mut books = Books::default();
        let others = "# HELP x\n\nworker_flush_seconds_sum 0.25\n";
        books
            .add(&format!("{others}{JOBS_PUT} 9007199254740993\n"))
            .unwrap();
        books.add(&format!("{JOBS_PUT} 1\n")).unwrap();
        assert_eq!(books.sum(JOBS_PUT), 9_007_199_254_740_994);
        for value in ["", " x", " 1.5"] {
            assert!(books.add(&format!("{COUNTED}{value}\n")).is_err(), "{value}");
        }
    }

    #[test]
    fn the_books_balance_or_say_why_not() {
        let collector = |acknowledged: u32, doubtful: u32| {
            format!(
                "{START}collector_counts_acknowledged_total {acknowledged}\ncollector_counts_doubtful_total {doubtful}\ncollector_jobs_put_total 3\n"
            )
        };
        let worker = |counted: u32, recognised: u32| {
            format!(
                "# HELP x\n{START}worker_deleted_counts_total{{outcome=\"counted\"}} {counted}\nworker_deleted_counts_total{{outcome=\"recognised\"}} {recognised}\nworker_jobs_deleted_total 1\n"
            )
        };
        let of = |a: &str, b: &str, jobs| verdict(&reading(a, b, jobs));
        assert_eq!(of(&collector(10, 0), &worker(7, 3), 0), Verdict::Equal);
        assert!(matches!(of(&collector(10, 0), &worker(7, 2), 0), Verdict::Gap(_)));
        assert!(matches!(of(&collector(10, 0), &worker(9, 2), 0), Verdict::Gap(_)));
        assert_eq!(of(&collector(10, 1), &worker(9, 2), 0), Verdict::Equal);
        assert_eq!(of(&collector(10, 0), &worker(7, 0), 2), Verdict::Equal);
        let just_begun = worker(7, 3).replace(START, "");
        assert!(matches!(
            of(&collector(10, 0), &just_begun, 0),
            Verdict::NotKnown(_)
        ));
        let earlier = worker(7, 3).replace("} 0", "} 5");
        assert!(matches!(of(&collector(10, 0), &earlier, 0), Verdict::NotKnown(_)));
        let restarted = worker(7, 3) + &START.replace("ab", "cd");
        assert!(matches!(
            of(&collector(10, 0), &restarted, 0),
            Verdict::NotKnown(_)
        ));
    }
}
