//! A disturbance under load: after recovery, what is counted is what was acknowledged.

use std::sync::Arc;

use playground::Options;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;
use crate::rig::{Rig, answer, wait_until};
use crate::sender::{Progress, Sent, client, send_keyed, send_unkeyed};
use crate::truth;

/// Senders of what is sent again: far fewer than the connections that a collector lets one address have.
const TASKS_MAX: usize = 64;

/// Two collectors and two workers in each region.
pub(crate) fn two_of_each(options: Options) -> Options {
    Options {
        collectors: 2,
        workers: 2,
        ..options
    }
}

/// Sends with and without keys over all regions during `disturb`, which notes what it sends itself, and compares; then sends every keyed request once more
/// and compares again. Meanwhile readers hold every answer against what is known.
pub(crate) async fn exact_under_load(rig: Rig, disturb: impl AsyncFnOnce(&Rig, &Progress, &mut Ledger)) {
    let (mut ledger, repeatable) = under_load(&rig, disturb)
        .await
        .unwrap_or_else(|why| panic!("{why}"));
    ledger.expect_at_centre(&rig).await;

    send_again(&rig, repeatable).await;
    for region in rig.regions() {
        // The marks of the first comparison are counted a second time: the ledger learns of both.
        ledger.acknowledged(&format!("test.mark.{region}"), 1_700_000_040, 1);
    }
    ledger.expect_at_centre(&rig).await;
    rig.expect_replication_runs().await;
    rig.stop().await;
}

/// Whether a system that is broken on purpose is seen to be: the same load and the same comparisons.
pub(crate) async fn fault_under_load(
    rig: &Rig,
    disturb: impl AsyncFnOnce(&Rig, &Progress, &mut Ledger),
) -> Result<(), String> {
    let (ledger, repeatable) = under_load(rig, disturb).await?;
    ledger.check_at_centre(rig).await?;
    send_again(rig, repeatable).await;
    ledger.check_at_centre(rig).await
}

/// What was sent, and what of it can be sent again.
async fn under_load(
    rig: &Rig,
    disturb: impl AsyncFnOnce(&Rig, &Progress, &mut Ledger),
) -> Result<(Ledger, Vec<(String, Sent)>), String> {
    let stop = CancellationToken::new();
    let progress = Arc::<Progress>::default();
    let senders = Senders::start(rig, &progress, &stop);
    let readers = truth::watch(rig, &progress.truth, &stop);
    let mut ledger = Ledger::default();
    disturb(rig, &progress, &mut ledger).await;
    every_reader_answered(&progress).await;
    stop.cancel();
    let (sent, repeatable) = senders.results().await;
    ledger.merge(sent);
    readers.join_all().await;
    println!("answers, and those with a claim: {:?}", progress.truth.answers());
    match progress.truth.violation() {
        Some(why) => Err(why),
        None => Ok((ledger, repeatable)),
    }
}

/// Until every reader had an answer that something is held against, or one of them was wrong.
async fn every_reader_answered(progress: &Progress) {
    wait_until("every reader to have an answer with a claim", async || {
        let silent = progress.truth.silent();
        if silent.is_empty() || progress.truth.violation().is_some() {
            Ok(())
        } else {
            Err(format!("{silent:?} had none"))
        }
    })
    .await;
}

async fn send_again(rig: &Rig, mut requests: Vec<(String, Sent)>) {
    let mut senders = JoinSet::new();
    let requests_per_task = requests.len().div_ceil(TASKS_MAX);
    while !requests.is_empty() {
        let some = requests.split_off(requests.len().saturating_sub(requests_per_task));
        let (http, description) = (rig.http.clone(), rig.description());
        senders.spawn(async move {
            for (region, request) in some {
                let url = format!("{}/v1/events", description.regions[&region].collector);
                let again = http.post(url).header("Idempotency-Key", &request.key);
                let again = answer(again.json(&request.events)).await;
                assert_eq!(again.status, 202, "{again:?}");
            }
        });
    }
    senders.join_all().await;
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
                let unkeyed = send_unkeyed(
                    client(rig),
                    collector.clone(),
                    prefix.clone(),
                    progress.clone(),
                    stop.clone(),
                );
                senders.unkeyed.push(tokio::spawn(unkeyed));
                let keyed = send_keyed(
                    client(rig),
                    collectors.clone(),
                    prefix,
                    progress.clone(),
                    stop.clone(),
                );
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

/// Waits until so many more requests were acknowledged.
pub(crate) async fn progress_by(progress: &Progress, requests: u64) {
    let goal = progress.acknowledged() + requests;
    wait_until("requests to be acknowledged", async || {
        match progress.acknowledged() {
            now if now >= goal => Ok(()),
            now => Err(format!("{now} of {goal}, {} refused", progress.refused())),
        }
    })
    .await;
}
