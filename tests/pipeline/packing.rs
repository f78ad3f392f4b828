//! Closed days are packed, whatever dies meanwhile and whoever else packs: each count stays in one place, and every answer the same.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use model::{EventId, Shard, Step};
use mysql_async::prelude::Queryable;
use playground::Description;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::centre;
use crate::ledger::Ledger;
use crate::rig::{PROGRAM, Rig, one_region, settings, signal, two_regions, wait_until, wait_up_to};
use crate::under_load::{exact_under_load, progress_by, two_of_each};

/// 2025-11-22T00:00:00Z.
const DAY: i64 = 1_763_769_600;

/// Two passes of the keeper, ten seconds apart, of which the first copies the tables of all shards: 30 s beside other tests.
const DROPPED_WITHIN: Duration = Duration::from_secs(180);

/// From when on audits look: before all that is counted here.
const FROM: &str = "2023-11-01T00:00:00Z";

const KILLS: usize = 4;

/// Name, minute and count of each event: a name of every minute, one of three minutes a day, one of a single day's end.
fn history() -> Vec<(&'static str, i64, u64)> {
    let mut events = Vec::new();
    for day in 0..3 {
        let start = DAY + day * 86_400;
        for minute in 0..1_440 {
            let count = u64::try_from(1 + (minute * 7 + day) % 50).unwrap();
            events.push(("often", start + 60 * minute, count));
        }
        for minute in [0, 700, 1_439] {
            events.push(("seldom", start + 60 * minute, 1_000_000_000));
        }
    }
    events.push(("once", DAY + 86_400 - 60, 1));
    events
}

async fn post_all(rig: &Rig, region: &str, ledger: &mut Ledger, events: &[(&str, i64, u64)]) {
    let body: Vec<Value> = events
        .iter()
        .map(|(name, at, count)| json!({"name": name, "timestamp": at, "count": count}))
        .collect();
    rig.post_until_accepted(region, &json!(body)).await;
    for (name, at, count) in events {
        ledger.acknowledged(name, *at, *count);
    }
}

async fn wait_until_packed(rig: &Rig, minutes_open: u64) -> u64 {
    wait_until("closed days to be packed", async || {
        let mut conn = centre::connect(&rig.description().central).await;
        match centre::rows(&mut conn).await {
            (open, days) if open == minutes_open && days > 0 => Ok(days),
            (open, days) => Err(format!("{open} minutes are open, {days} days packed")),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_the_same_and_late_events_join_their_day() {
    let rig = Rig::start(two_regions()).await;
    let mut ledger = Ledger::default();
    let mut all = history();
    post_all(&rig, "eu", &mut ledger, &all).await;
    ledger.expect_at_centre(&rig).await;
    // 3 days of two names, one of another, and the marks of the comparison.
    assert_eq!(wait_until_packed(&rig, 0).await, 3 + 3 + 1 + 2);
    for region in ["eu", "us"] {
        ledger.acknowledged(&format!("test.mark.{region}"), 1_700_000_040, 1);
    }
    expect_answers(&rig, &all).await;

    // Late: into a minute that has a count, into one that had none, and so many that the day is no longer sparse.
    let mut late = vec![("often", DAY, 4), ("once", DAY + 60, 5), ("seldom", DAY, 1)];
    late.extend((0..20).map(|minute| ("seldom", DAY + 86_400 + 60 * minute, 3)));
    post_all(&rig, "us", &mut ledger, &late).await;
    let now = model::Timestamp::from(std::time::SystemTime::now()).unix_ms() / 1000;
    post_all(&rig, "us", &mut ledger, &[("seldom", now - now % 60, 9)]).await;
    ledger.expect_at_centre(&rig).await;
    assert_eq!(
        wait_until_packed(&rig, 1).await,
        3 + 3 + 1 + 2,
        "today is not packed"
    );
    all.extend(late);
    expect_answers(&rig, &all).await;

    let audited = rig.audit("central", FROM, &[]).await;
    assert!(audited.status.success(), "{audited:?}");
    expect_tampering_is_found(&rig).await;
    rig.stop().await;
}

/// The history at every step and its total, from packed days, is what was sent.
async fn expect_answers(rig: &Rig, events: &[(&str, i64, u64)]) {
    for (step, seconds) in [
        ("1m", 60),
        ("15m", 900),
        ("1h", 3_600),
        ("6h", 21_600),
        ("1d", 86_400),
        ("1w", 604_800),
    ] {
        // A part of the first day is left out where the step lets it be.
        let from = DAY + 7_200;
        let query = format!(
            "/v1/series?name=often&name=seldom&name=once&from={from}&until={}&step={step}",
            DAY + 3 * 86_400
        );
        let answer = rig.get(&query).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let first = answer.json["from"].as_i64().unwrap();
        for series in answer.json["series"].as_array().unwrap() {
            let mut expected = BTreeMap::<i64, u64>::new();
            for (_, at, count) in events
                .iter()
                .filter(|(name, at, _)| series["name"] == *name && *at >= first)
            {
                *expected
                    .entry(first + (at - first) / seconds * seconds)
                    .or_default() += count;
            }
            let points = series["points"].as_array().unwrap().iter();
            let shown: BTreeMap<i64, u64> = points
                .filter_map(|point| Some((point[0].as_i64()?, point[1].as_u64().filter(|&count| count > 0)?)))
                .collect();
            assert_eq!(shown, expected, "{} at {step}", series["name"]);
            assert_eq!(series["total"].as_u64().unwrap(), expected.values().sum::<u64>());
        }
    }
}

async fn expect_tampering_is_found(rig: &Rig) {
    let mut conn = centre::connect(&rig.description().central).await;
    let id = EventId::of("once");
    let day = format!("{}.EventDay", Shard::of(id));
    for (harm, sentence) in [
        (
            format!("UPDATE {day} SET total = total + 1 WHERE eventId = {id}"),
            "packed day 2025-11-22: totals that are not the sums of their minutes: 7 against 6",
        ),
        (
            format!("UPDATE {day} SET counts = '[[1,4],[1439,2]]', total = 6 WHERE eventId = {id}"),
            "minute 2025-11-22T00:01:00.000Z: regions counted",
        ),
    ] {
        conn.query_drop(harm).await.unwrap();
        let audited = rig.audit("central", FROM, &[]).await;
        let text = String::from_utf8_lossy(&audited.stdout).into_owned();
        assert!(
            audited.status.code() == Some(1) && text.contains(sentence),
            "{text}"
        );
    }
}

/// Another keeper of the same centre, which packs as the first one does, and where it listens.
fn second_keeper(rig: &Rig) -> (Child, String) {
    let config = std::fs::read_to_string(rig.config("central")).unwrap();
    let mut config: toml::Table = config.parse().unwrap();
    let address = format!("127.0.0.1:{}", playground::free_port(1).unwrap());
    config["keeper"]["listen"] = toml::Value::String(address.clone());
    let path = rig.data_dir().join("second-keeper.toml");
    std::fs::write(&path, config.to_string()).unwrap();
    let keeper = Command::new(PROGRAM)
        .args(["keeper", "--config", path.to_str().unwrap()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    (keeper, format!("http://{address}"))
}

/// The senders' minutes are a year old: all that they send comes late for a day that is packed again and again.
#[tokio::test(flavor = "multi_thread")]
async fn two_keepers_pack_while_keeper_and_centre_are_killed() {
    let rig = Rig::start(two_of_each(two_regions())).await;
    exact_under_load(rig, async |rig, progress, _| {
        let (mut keeper, address) = second_keeper(rig);
        for kill in 0..KILLS {
            progress_by(progress, 100).await;
            let victim = |description: &Description| match kill % 2 {
                0 => description.pids.keeper.unwrap(),
                _ => description.central.pid,
            };
            let pid = victim(&rig.description());
            signal("KILL", pid).await;
            wait_until("a restart", async || match victim(&rig.description()) {
                same if same == pid => Err(format!("pid is still {pid}")),
                _ => Ok(()),
            })
            .await;
        }
        progress_by(progress, 100).await;
        assert!(keeper.try_wait().unwrap().is_none(), "the second keeper goes on");
        wait_until("both keepers to pack", async || {
            let mut packed = Vec::new();
            for keeper in [&address, &rig.keeper()] {
                packed.push(rig.counter(keeper, "keeper_packed_minutes_total").await);
            }
            match packed.contains(&0) {
                true => Err(format!("minutes packed: {packed:?}")),
                false => Ok(()),
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_cannot_be_read_is_an_alarm_and_holds_up_no_other() {
    let rig = Rig::start(one_region()).await;
    let id = EventId::of("broken");
    let day = format!("{}.EventDay", Shard::of(id));
    let mut conn = centre::connect(&rig.description().central).await;
    conn.query_drop(format!(
        "INSERT INTO {day} VALUES ('2025-11-22', {id}, 1, '[1,2]')"
    ))
    .await
    .unwrap();
    // A name of the same shard, which goes with it in one slice, and others.
    let beside = (0..)
        .map(|n| format!("beside.{n}"))
        .find(|name| Shard::of(EventId::of(name)) == Shard::of(id))
        .unwrap();
    let mut ledger = Ledger::default();
    post_all(
        &rig,
        "eu",
        &mut ledger,
        &[("broken", DAY, 1), (&beside, DAY, 2), ("other", DAY, 3)],
    )
    .await;
    wait_until("an alarm", async || {
        let alarms = rig.get("/v1/status").await.json["alarms"].clone();
        match alarms
            .as_array()
            .unwrap()
            .iter()
            .find(|alarm| alarm["kind"] == "packing")
        {
            Some(alarm) if alarm["sentence"].as_str().unwrap().contains(&id.to_string()) => Ok(()),
            _ => Err(alarms.to_string()),
        }
    })
    .await;
    assert_eq!(wait_until_packed(&rig, 1).await, 3);
    let answer = rig
        .get(&format!("/v1/series?name=broken&from={DAY}&until={}", DAY + 60))
        .await;
    assert_eq!(answer.status, 503, "{answer:?}");

    conn.query_drop(format!("DELETE FROM {day} WHERE eventId = {id}"))
        .await
        .unwrap();
    ledger.expect_at_centre(&rig).await;
    wait_until("the alarm's end", async || {
        let alarms = rig.get("/v1/status").await.json["alarms"].clone();
        match alarms
            .as_array()
            .unwrap()
            .iter()
            .any(|alarm| alarm["kind"] == "packing")
        {
            true => Err(alarms.to_string()),
            false => Ok(()),
        }
    })
    .await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_kept_is_dropped_and_said() {
    let options = playground::Options {
        central_overrides: settings("[keeper]\npack_interval_s = 1\nkeep_months = 1"),
        ..one_region()
    };
    let rig = Rig::start(options).await;
    let now = model::Timestamp::from(std::time::SystemTime::now()).unix_ms() / 1000;
    let recent = Step::Minute.floor(now - 3 * 86_400);
    let mut ledger = Ledger::default();
    post_all(&rig, "eu", &mut ledger, &[("old", DAY, 5), ("old", recent, 7)]).await;
    let until = recent + 60;
    wait_up_to(DROPPED_WITHIN, "the old day to be dropped", async || {
        let answer = rig
            .get(&format!("/v1/series?name=old&from={DAY}&until={until}&step=1d"))
            .await;
        match (
            &answer.json["series"][0]["total"],
            answer.json["series"][0]["points"][0][1].as_u64(),
        ) {
            (total, None) if *total == json!(7) => Ok(()),
            (total, first) => Err(format!("total {total}, first day {first:?}")),
        }
    })
    .await;
    let status = rig.get("/v1/status").await.json;
    let kept_since = status["kept_since"].as_i64().unwrap();
    assert!(DAY < kept_since && kept_since < recent, "{kept_since}");

    // Zeros are told only of what is kept.
    let series = |from: i64, until: i64| format!("/v1/series?name=old&from={from}&until={until}&step=1d");
    let answer = rig
        .get(&series(kept_since - 2 * 86_400, kept_since + 2 * 86_400))
        .await;
    let points: Vec<Option<u64>> = answer.json["series"][0]["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point[1].as_u64())
        .collect();
    assert_eq!(points, [None, None, Some(0), Some(0)]);

    let audited = rig.audit("central", FROM, &[]).await;
    assert!(audited.status.success(), "{audited:?}");
    rig.stop().await;
}
