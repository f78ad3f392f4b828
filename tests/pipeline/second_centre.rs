//! Two centres that the same regions feed: they hold the same, one answers where the other cannot, and no binlog is purged
//! that one of them still needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use model::Timestamp;
use mysql_async::prelude::Queryable;
use playground::{Database, Options};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::centre;
use crate::complete::{LAG_MS_MAX, complete_until};
use crate::keeper_watches::{alarms, binlogs, count_and_flush, only_newest_is_left};
use crate::ledger::Ledger;
use crate::rig::{Rig, eventtracker, one_region, settings, signal, two_regions, wait_until};
use crate::sender::{FIRST_MINUTE, Progress, client, send_keyed};
use crate::truth;
use crate::under_load::progress_by;

/// Between two questions of one client.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Acknowledged requests whose counts are compared.
const REQUESTS: u64 = 200;

/// Answers in a row that show who is in charge.
const ANSWERS: u64 = 20;

/// Counts that a centre lacks when the other one dies.
const LACKING: u64 = 100;

/// Passes of each keeper before what it purged is looked at.
const PASSES: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn both_hold_the_same() {
    let rig = Rig::start(Options {
        standby: true,
        ..two_regions()
    })
    .await;
    let (stop, progress) = (CancellationToken::new(), Arc::<Progress>::default());
    let senders = start_senders(&rig, &progress, &stop);
    progress_by(&progress, REQUESTS).await;
    stop.cancel();
    expect_all(senders, &rig).await;

    wait_until("both centres to be well", async || {
        let status = rig.get("/v1/status").await.json;
        let names: Vec<_> = status["centres"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| &c["name"])
            .collect();
        assert_eq!(status["centre"], "central");
        assert_eq!(names, ["central", "standby"]);
        let shown = eventtracker(&["status", "--api", &rig.description().api]).await;
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        if shown.status.success() && text.contains("by centre central") && text.contains("standby  yes") {
            Ok(())
        } else {
            Err(format!("{text}{status}"))
        }
    })
    .await;
    assert_eq!(rig.get("/v1/audit").await.json["centre"], "central");
    rig.stop().await;
}

/// A centre that hangs, and one that dies: the other answers within seconds, and nobody sees a count fall.
#[tokio::test(flavor = "multi_thread")]
async fn one_answers_where_the_other_cannot() {
    let (rig, load) = Load::start().await;
    let seen = &load.seen;
    current_answers_of(&rig, seen, "central").await;

    let central = rig.description().central.pid;
    signal("STOP", central).await;
    current_answers_of(&rig, seen, "standby").await;
    let shown = eventtracker(&["status", "--api", &rig.description().api]).await;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        !shown.status.success() && text.contains("! centre central does not answer"),
        "{text}"
    );
    let ready = rig.get("/readyz").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    signal("CONT", central).await;
    current_answers_of(&rig, seen, "central").await;

    // What the first one had answered and the other one has not applied yet is waited for.
    let standby = rig.description().standby.unwrap().database;
    let mut replica = centre::connect(&standby).await;
    replica.query_drop("STOP ALL SLAVES").await.unwrap();
    let answered = seen.total.load(Ordering::SeqCst);
    wait_until("counts that the standby lacks", async || {
        match seen.total.load(Ordering::SeqCst) {
            now if now > answered + LACKING => Ok(()),
            now => Err(format!("{now}, {answered} before")),
        }
    })
    .await;
    let before = fallbacks(&rig).await;
    signal("KILL", central).await;
    wait_until("requests to fall back", async || match fallbacks(&rig).await {
        now if now > before => Ok(()),
        now => Err(format!("{now} fallbacks, {before} before")),
    })
    .await;
    replica.query_drop("START ALL SLAVES").await.unwrap();
    wait_until("the playground to restart the centre", async || {
        match rig.description().central.pid {
            same if same == central => Err(format!("pid is still {same}")),
            _ => Ok(()),
        }
    })
    .await;
    current_answers_of(&rig, seen, "central").await;

    // The other way round, nobody notices.
    let before = fallbacks(&rig).await;
    signal("STOP", standby.pid).await;
    current_answers_of(&rig, seen, "central").await;
    signal("CONT", standby.pid).await;
    assert_eq!(fallbacks(&rig).await, before);

    load.stop(&rig).await;
    rig.stop().await;
}

/// It answers, but of the past.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_cut_off_is_asked_last() {
    let (rig, load) = Load::start().await;
    current_answers_of(&rig, &load.seen, "central").await;
    let mut central = centre::connect(&rig.description().central).await;
    central.query_drop("STOP ALL SLAVES").await.unwrap();
    current_answers_of(&rig, &load.seen, "standby").await;
    let shown = eventtracker(&["status", "--api", &rig.description().api]).await;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        text.contains("! centre central is 3") && text.contains("s behind"),
        "{text}"
    );
    central.query_drop("START ALL SLAVES").await.unwrap();
    current_answers_of(&rig, &load.seen, "central").await;
    load.stop(&rig).await;
    rig.stop().await;
}

/// What one centre claims in its status, and the other one has not applied yet, is waited for like counts that were answered.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_status_says_holds_for_what_is_asked_next() {
    let rig = Rig::start(Options {
        standby: true,
        ..one_region()
    })
    .await;
    let description = rig.description();
    let mut replica = centre::connect(&description.standby.unwrap().database).await;
    replica.query_drop("STOP ALL SLAVES").await.unwrap();
    rig.post_until_accepted("eu", &json!({ "name": "claimed", "timestamp": FIRST_MINUTE }))
        .await;
    let counted = truth::now();
    wait_until("the centre to have it", async || {
        let status = rig.get("/v1/status").await.json;
        let has_it = status["centre"] == "central" && complete_until(&status) > Some(counted);
        has_it.then_some(()).ok_or(status.to_string())
    })
    .await;

    signal("STOP", description.central.pid).await;
    wait_until("the standby to be in charge", async || {
        let metrics = rig.metrics(&description.api).await;
        let is_in_charge = metrics.contains(r#"api_centre_in_charge{centre="standby"} 1"#);
        is_in_charge.then_some(()).ok_or(metrics)
    })
    .await;
    let rendered = rig
        .get("/render?target=claimed&from=1763769600&until=1763856000&format=json")
        .await;
    let gone_back = figure(&rig, "api_answers_gone_back_total").await;
    assert_eq!(
        (rendered.status, gone_back),
        (200, 1),
        "it waits, and says so where that is in vain: {rendered:?}"
    );
    signal("CONT", description.central.pid).await;
    rig.stop().await;
}

/// What it answered by the centre that has more is not known to it any more, but is asked for, and waited for where that centre dies, too.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_was_started_again_takes_nothing_back() {
    let rig = Rig::start(Options {
        standby: true,
        ..one_region()
    })
    .await;
    let description = rig.description();
    let mut replica = centre::connect(&description.central).await;
    replica.query_drop("STOP ALL SLAVES").await.unwrap();
    rig.post_until_accepted("eu", &json!({ "name": "kept", "timestamp": FIRST_MINUTE }))
        .await;
    signal("STOP", description.central.pid).await;
    let total = async || {
        let answer = rig
            .get("/v1/series?name=kept&from=2025-11-22&until=2025-11-23&step=1d")
            .await;
        answer.json["series"][0]["total"]
            .as_u64()
            .ok_or(format!("{answer:?}"))
    };
    wait_until("the standby to have it", async || match total().await {
        Ok(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    signal("CONT", description.central.pid).await;
    another_api(&rig).await;
    assert_eq!(total().await, Ok(1));

    // It cannot start without its data.
    let data = rig.data_dir().join("standby/data");
    let away = data.with_extension("away");
    std::fs::rename(&data, &away).unwrap();
    signal("KILL", description.standby.unwrap().database.pid).await;
    another_api(&rig).await;
    let put_back = async { std::fs::rename(&away, &data).unwrap() };
    assert_eq!(tokio::join!(total(), put_back).0, Ok(1));
    rig.stop().await;
}

async fn another_api(rig: &Rig) {
    let api = rig.description().pids.api.unwrap();
    signal("KILL", api).await;
    wait_until("another api", async || {
        let now = rig.description().pids.api;
        if now == Some(api) {
            return Err(format!("pid is still {api}"));
        }
        let url = format!("{}/readyz", rig.description().api);
        let answer = rig.http.get(url).send().await;
        answer.map(|_| ()).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_binlog_is_purged_that_one_of_them_lacks() {
    let rig = Rig::start(Options {
        standby: true,
        central_overrides: settings("[keeper]\nbinlog_keep_hours = 0"),
        ..one_region()
    })
    .await;
    let description = rig.description();
    let standby = description.standby.unwrap();
    let mut ledger = Ledger::default();
    count_and_flush(&rig, &mut ledger).await;
    only_newest_is_left(&rig).await;

    let mut conn = centre::connect(&standby.database).await;
    conn.query_drop("STOP SLAVE 'eu'").await.unwrap();
    let before = binlogs(&rig).await;
    count_and_flush(&rig, &mut ledger).await;
    for centre in [&description.central, &standby.database] {
        passes(centre).await;
    }
    let kept = binlogs(&rig).await;
    assert!(
        kept.starts_with(&before) && kept.len() > before.len(),
        "{before:?} {kept:?}"
    );
    let alarms_now = alarms(&rig).await;
    assert!(
        alarms_now.iter().all(|alarm| alarm["kind"] != "purge"),
        "{alarms_now:?}"
    );

    signal("STOP", standby.database.pid).await;
    wait_until("the alarm of the purge", async || {
        let alarms = alarms(&rig).await;
        let sentence = alarms
            .iter()
            .find(|alarm| alarm["kind"] == "purge")
            .map(|alarm| &alarm["sentence"]);
        let names_it = sentence
            .and_then(Value::as_str)
            .is_some_and(|s| s.contains("centre standby does not answer"));
        names_it.then_some(()).ok_or(format!("{alarms:?}"))
    })
    .await;
    assert_eq!(binlogs(&rig).await, kept);
    signal("CONT", standby.database.pid).await;

    let mut conn = centre::connect(&standby.database).await;
    conn.query_drop("START SLAVE 'eu'").await.unwrap();
    only_newest_is_left(&rig).await;
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}

type KeyedSender = JoinHandle<Ledger>;

fn start_senders(rig: &Rig, progress: &Arc<Progress>, stop: &CancellationToken) -> Vec<KeyedSender> {
    let start = |region: String| {
        let (progress, stop) = (progress.clone(), stop.clone());
        let sending = send_keyed(client(rig), rig.collectors(&region), region, progress, stop);
        tokio::spawn(async { sending.await.0 })
    };
    rig.regions().into_iter().map(start).collect()
}

async fn expect_all(senders: Vec<KeyedSender>, rig: &Rig) {
    let mut ledger = Ledger::default();
    for sender in senders {
        ledger.merge(sender.await.unwrap());
    }
    ledger.expect_at_centre(rig).await;
}

/// Senders in every region of two centres, and a client that looks at what they send.
struct Load {
    stop: CancellationToken,
    senders: Vec<KeyedSender>,
    seen: Arc<Seen>,
    reader: JoinHandle<()>,
}

impl Load {
    async fn start() -> (Rig, Self) {
        let rig = Rig::start(Options {
            standby: true,
            ..two_regions()
        })
        .await;
        let (stop, seen) = (CancellationToken::new(), Arc::<Seen>::default());
        let load = Self {
            senders: start_senders(&rig, &Arc::default(), &stop),
            reader: read_on(&rig, seen.clone(), stop.clone()),
            seen,
            stop,
        };
        (rig, load)
    }

    /// Fails unless both centres hold what was sent, and no answer was wrong.
    async fn stop(self, rig: &Rig) {
        self.stop.cancel();
        self.reader.await.unwrap();
        expect_all(self.senders, rig).await;
    }
}

/// What a client has seen.
#[derive(Default)]
struct Seen {
    answers: AtomicU64,
    total: AtomicU64,
    complete_until_ms: AtomicU64,
}

/// Asks for the sum of a name that is being counted, one time after the other: every request is answered, and no answer is
/// less than the one before.
fn read_on(rig: &Rig, seen: Arc<Seen>, stop: CancellationToken) -> JoinHandle<()> {
    let (http, api) = (rig.http.clone(), rig.description().api);
    tokio::spawn(async move {
        let url = format!("{api}/v1/series?name=load.eu.0&from=2025-11-22&until=2025-11-23&step=1d");
        let mut last = 0;
        while !stop.is_cancelled() {
            let response = http.get(&url).send().await.unwrap();
            let status = response.status();
            let series: Value = response.json().await.unwrap();
            assert_eq!(status, 200, "{series}");
            let total = series["series"][0]["total"].as_u64().unwrap_or(0);
            assert!(total >= last, "{total} after {last}");
            last = total;
            seen.total.store(total, Ordering::SeqCst);
            if let Some(until) = complete_until(&series) {
                seen.complete_until_ms
                    .store(until.unix_ms().unsigned_abs(), Ordering::SeqCst);
            }
            seen.answers.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    })
}

/// Waits until `name` is in charge and answers follow the present.
async fn current_answers_of(rig: &Rig, seen: &Seen, name: &str) {
    let is_in_charge = format!(r#"api_centre_in_charge{{centre="{name}"}} 1"#);
    let first = seen.answers.load(Ordering::SeqCst);
    wait_until("a centre to answer for the present", async || {
        let status = rig.get("/v1/status").await.json;
        let metrics = rig.metrics(&rig.description().api).await;
        let answers = seen.answers.load(Ordering::SeqCst) - first;
        let until_ms = seen.complete_until_ms.load(Ordering::SeqCst);
        let now_ms = Timestamp::from(SystemTime::now()).unix_ms().unsigned_abs();
        let lag_ms = i64::try_from(now_ms.saturating_sub(until_ms)).unwrap();
        if status["centre"] == name
            && metrics.contains(&is_in_charge)
            && answers >= ANSWERS
            && lag_ms < LAG_MS_MAX
        {
            Ok(())
        } else {
            Err(format!(
                "{} {}, {answers} answers, {lag_ms} ms",
                status["centre"], status["centres"]
            ))
        }
    })
    .await;
}

async fn fallbacks(rig: &Rig) -> u64 {
    figure(rig, "api_fallbacks_total").await
}

async fn figure(rig: &Rig, metric: &str) -> u64 {
    let metrics = rig.metrics(&rig.description().api).await;
    let mut lines = metrics.lines();
    let figure = lines.find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    figure.map_or(0, |text| text.parse().unwrap())
}

/// Waits until a centre's keeper has compared the region's clock a few times more, which each of its passes begins with.
async fn passes(centre: &Database) {
    const SQL: &str =
        "SELECT CAST(UNIX_TIMESTAMP(measuredAt) * 1000 AS SIGNED) FROM eventtracker.ClockOffset";
    let mut conn = centre::connect(centre).await;
    let mut seen = Vec::new();
    wait_until("the keeper's passes", async || {
        let measured_ms: Option<i64> = conn.query_first(SQL).await.unwrap();
        seen.extend(measured_ms);
        seen.dedup();
        // The first was before, and the last may not have ended.
        (seen.len() > PASSES + 1).then_some(()).ok_or(format!("{seen:?}"))
    })
    .await;
}
