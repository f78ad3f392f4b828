//! A region's own books: acknowledged = queued + counted + recognised.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use queue::Figures;
use store::Verdict;

use crate::commands::send::{Access, client, url_of};
use crate::config::Config;

/// Readings until nothing moves between the first and the last figure of one: under load the queue is rarely at rest.
const READINGS_MAX: usize = 50;

const READ_LIMIT: Duration = Duration::from_secs(5);

/// Sums over the processes of a role. They are wider than each process' own, so that they cannot overflow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Books {
    acknowledged: i128,
    doubtful: i128,
    jobs_put: i128,
    counted: i128,
    recognised: i128,
    jobs_deleted: i128,
    jobs_buried: i128,
    /// Processes of beanstalkd that they have seen, with the jobs that were there before.
    queues: BTreeMap<String, u64>,
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
    access: &Access,
) -> anyhow::Result<(String, Verdict)> {
    let queue = config.file.section(config.queue, "queue")?;
    let or_own = |given: Vec<String>, own: Option<String>, what: &str| {
        let urls = if given.is_empty() {
            own.map(|url| vec![url])
        } else {
            Some(given)
        };
        urls.with_context(|| format!("no {what} is known: give --{what} URL"))
    };
    let own = config.collector.map(|c| url_of(c.listen, c.tls.is_some()));
    let collectors = or_own(collectors, own, "collector")?;
    let own = config.worker.map(|w| url_of(w.listen, false));
    let workers = or_own(workers, own, "worker")?;
    let http = client(access, READ_LIMIT)?;
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
        let answer = http.get(format!("{url}/books")).send().await;
        let figures = answer
            .and_then(reqwest::Response::error_for_status)
            .with_context(|| format!("{url} does not show its books"))?
            .json()
            .await
            .with_context(|| format!("the books of {url} cannot be read"))?;
        books.add(figures);
    }
    Ok(books)
}

impl Books {
    fn add(&mut self, figures: Figures) {
        self.acknowledged += i128::from(figures.acknowledged);
        self.doubtful += i128::from(figures.doubtful);
        self.jobs_put += i128::from(figures.jobs_put);
        self.counted += i128::from(figures.counted);
        self.recognised += i128::from(figures.recognised);
        self.jobs_deleted += i128::from(figures.jobs_deleted);
        self.jobs_buried += i128::from(figures.jobs_buried);
        self.without_queue += u32::from(figures.jobs_at_start.is_empty());
        for (process, jobs) in figures.jobs_at_start {
            let most = self.queues.entry(process).or_default();
            *most = jobs.max(*most);
        }
    }
}

impl Reading {
    fn acknowledged(&self) -> i128 {
        self.collectors.acknowledged
    }

    fn doubtful(&self) -> i128 {
        self.collectors.doubtful
    }

    fn counted(&self) -> i128 {
        self.workers.counted
    }

    fn recognised(&self) -> i128 {
        self.workers.recognised
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
    let queues: BTreeMap<&String, u64> = [&reading.collectors, &reading.workers]
        .into_iter()
        .flat_map(|books| &books.queues)
        .fold(BTreeMap::new(), |mut all, (process, &jobs)| {
            let most: &mut u64 = all.entry(process).or_default();
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
    let jobs = reading.collectors.jobs_put - reading.workers.jobs_deleted;
    let difference = reading.jobs_queued - jobs;
    let buried = reading.workers.jobs_buried;
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

    fn reading(collector: Figures, worker: Figures, jobs_queued: i128) -> Reading {
        let books = |figures| {
            let mut books = Books::default();
            books.add(figures);
            books
        };
        Reading {
            collectors: books(collector),
            workers: books(worker),
            jobs_queued,
        }
    }

    fn seen(process: &str, jobs: u64) -> BTreeMap<String, u64> {
        BTreeMap::from([(process.to_owned(), jobs)])
    }

    fn collector(acknowledged: u64, doubtful: u64) -> Figures {
        Figures {
            acknowledged,
            doubtful,
            jobs_put: 3,
            jobs_at_start: seen("ab", 0),
            ..Figures::default()
        }
    }

    fn worker(counted: u64, recognised: u64) -> Figures {
        Figures {
            counted,
            recognised,
            jobs_deleted: 1,
            jobs_at_start: seen("ab", 0),
            ..Figures::default()
        }
    }

    #[test]
    fn sums_of_several_processes_are_exact() {
        let mut books = Books::default();
        books.add(collector(u64::MAX, 0));
        books.add(collector(1, 0));
        assert_eq!(books.acknowledged, i128::from(u64::MAX) + 1);
        assert_eq!((books.jobs_put, books.without_queue), (6, 0));
    }

    #[test]
    fn the_books_balance_or_say_why_not() {
        let of = |collector, worker, jobs| verdict(&reading(collector, worker, jobs));
        assert_eq!(of(collector(10, 0), worker(7, 3), 0), Verdict::Equal);
        assert!(matches!(of(collector(10, 0), worker(7, 2), 0), Verdict::Gap(_)));
        assert!(matches!(of(collector(10, 0), worker(9, 2), 0), Verdict::Gap(_)));
        assert_eq!(of(collector(10, 1), worker(9, 2), 0), Verdict::Equal);
        assert_eq!(of(collector(10, 0), worker(7, 0), 2), Verdict::Equal);
        let just_begun = Figures {
            jobs_at_start: BTreeMap::new(),
            ..worker(7, 3)
        };
        let earlier = Figures {
            jobs_at_start: seen("ab", 5),
            ..worker(7, 3)
        };
        let mut restarted = worker(7, 3);
        restarted.jobs_at_start.extend(seen("cd", 0));
        for worker in [just_begun, earlier, restarted] {
            let verdict = of(collector(10, 0), worker, 0);
            assert!(matches!(verdict, Verdict::NotKnown(_)), "{verdict:?}");
        }
    }
}
