//! `kill -9` of each process, one at a time, under load: after recovery, what is counted is what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use playground::{Description, Options};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;
use crate::rig::{Rig, answer, signal, two_regions, wait_until};
use crate::sender::{Progress, Sent, send_keyed, send_unkeyed};

/// Acknowledged requests between two disturbances.
const REQUESTS_BETWEEN: u64 = 100;

/// Kills of the same process in one test: a first kill may miss the moment that matters.
const KILLS: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn worker() {
    disturbed("KILL", |description| {
        description.regions["eu"].pids.worker.all()[0]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn collector() {
    disturbed("KILL", |description| {
        description.regions["eu"].pids.collector.all()[0]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beanstalkd() {
    disturbed("KILL", |description| description.regions["eu"].pids.beanstalkd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn regional_mariadb() {
    disturbed("KILL", |description| description.regions["eu"].mariadb.pid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn central_mariadb() {
    disturbed("KILL", |description| description.central.pid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn collector_told_to_stop() {
    disturbed("TERM", |description| {
        description.regions["eu"].pids.collector.all()[0]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_told_to_stop() {
    disturbed("TERM", |description| {
        description.regions["eu"].pids.worker.all()[0]
    })
    .await;
}

/// Sends with and without keys over two regions while `victim` gets the signal, and compares; then sends every keyed
/// request once more and compares again.
async fn disturbed(signal_name: &str, victim: impl Fn(&Description) -> u32) {
    let rig = Rig::start(Options {
        collectors: 2,
        workers: 2,
        ..two_regions()
    })
    .await;
    let stop = CancellationToken::new();
    let progress = Arc::<Progress>::default();
    let senders = Senders::start(&rig, &progress, &stop);
    for _ in 0..KILLS {
        progress_by(&progress, REQUESTS_BETWEEN).await;
        let pid = victim(&rig.description());
        signal(signal_name, pid).await;
        wait_until(
            "the playground to restart what was killed",
            async || match victim(&rig.description()) {
                same if same == pid => Err(format!("pid is still {pid}")),
                _ => Ok(()),
            },
        )
        .await;
        progress_by(&progress, REQUESTS_BETWEEN).await;
    }
    stop.cancel();
    let (mut ledger, repeatable) = senders.results().await;
    ledger.expect_at_centre(&rig).await;

    for (region, request) in &repeatable {
        let url = format!("{}/v1/events", rig.collectors(region)[0]);
        let again = rig
            .http
            .post(url)
            .header("Idempotency-Key", &request.key)
            .json(&request.events);
        let again = answer(again).await;
        assert_eq!(again.status, 202, "{again:?}");
    }
    for region in rig.regions() {
        // The marks of the first comparison are counted a second time: the ledger learns of both.
        ledger.acknowledged(&format!("test.mark.{region}"), 1_700_000_040, 1);
    }
    ledger.expect_at_centre(&rig).await;
    rig.expect_replication_runs().await;
    rig.stop().await;
}

type KeyedSender = JoinHandle<(Ledger, Vec<Sent>)>;

/// Two clients with keys and two without, in each region.
struct Senders {
    keyed: Vec<(String, KeyedSender)>,
    unkeyed: Vec<JoinHandle<Ledger>>,
}

impl Senders {
    fn start(rig: &Rig, progress: &Arc<Progress>, stop: &CancellationToken) -> Self {
        let mut senders = Self {
            keyed: Vec::new(),
            unkeyed: Vec::new(),
        };
        for region in rig.regions() {
            let collectors = rig.collectors(&region);
            for (number, collector) in collectors.iter().enumerate() {
                let prefix = format!("{region}.{number}");
                let unkeyed = send_unkeyed(collector.clone(), prefix.clone(), progress.clone(), stop.clone());
                senders.unkeyed.push(tokio::spawn(unkeyed));
                let keyed = send_keyed(collectors.clone(), prefix, progress.clone(), stop.clone());
                senders.keyed.push((region.clone(), tokio::spawn(keyed)));
            }
        }
        senders
    }

    /// What all of them sent, and the keyed requests by region, to be sent again.
    async fn results(self) -> (Ledger, Vec<(String, Sent)>) {
        let mut ledger = Ledger::default();
        let mut repeatable = Vec::new();
        for sender in self.unkeyed {
            ledger.merge(sender.await.unwrap());
        }
        for (region, sender) in self.keyed {
            let (sent, requests) = sender.await.unwrap();
            ledger.merge(sent);
            repeatable.extend(requests.into_iter().map(|request| (region.clone(), request)));
        }
        (ledger, repeatable)
    }
}

async fn progress_by(progress: &Progress, requests: u64) {
    let seen = |progress: &Progress| progress.acknowledged.load(Ordering::Relaxed);
    let goal = seen(progress) + requests;
    wait_until("requests to be acknowledged", async || match seen(progress) {
        now if now >= goal => Ok(()),
        now => Err(format!(
            "{now} of {goal}, {} refused",
            progress.refused.load(Ordering::Relaxed)
        )),
    })
    .await;
}
