//! Very many names in one flush: their counts come in blocks, are read there as anywhere, and are moved on to rows once.

use mysql_async::prelude::Queryable;
use playground::Description;
use serde_json::{Value, json};

use crate::centre;
use crate::ledger::Ledger;
use crate::rig::{Rig, one_region, signal, wait_until};

/// More than a flush writes as rows.
const NAMES: usize = 6_000;

/// A closed day, 2025-11-22T05:00:00Z.
const PAST: i64 = 1_763_787_600;

fn name(number: usize) -> String {
    format!("many.{number}")
}

/// Two counts in the open day and two in a closed one, of every name, in requests that one flush takes up.
async fn post(rig: &Rig, ledger: &mut Ledger, today: i64) {
    for minutes in [[today, today - 180], [PAST, PAST + 60]] {
        let mut events = Vec::new();
        for number in 0..NAMES {
            let count = 1 + number % 9;
            let at = minutes[number % 2];
            events.push(json!({"name": name(number), "timestamp": at, "count": count}));
            ledger.acknowledged(&name(number), at, u64::try_from(count).unwrap());
        }
        rig.post_until_accepted("eu", &Value::Array(events)).await;
    }
}

async fn blocks(rig: &Rig) -> u64 {
    let mut conn = centre::connect(&rig.description().central).await;
    let counts = model::Shard::all().map(|shard| format!("(SELECT COUNT(*) FROM {shard}.EventBlock)"));
    let sql = format!("SELECT {}", counts.collect::<Vec<_>>().join(" + "));
    conn.query_first(sql).await.unwrap().unwrap()
}

async fn wait_until_merged(rig: &Rig) {
    wait_until("blocks to be merged", async || match blocks(rig).await {
        0 => Ok(()),
        left => Err(format!("{left} blocks")),
    })
    .await;
}

/// The same by the API, by the views and by the procedures, wherever counts are.
async fn expect_readings(rig: &Rig, rounds: u64, today: i64) {
    let mut conn = centre::connect(&rig.description().central).await;
    for (number, at) in [(3, today - 180), (4, PAST), (5_999, PAST + 60)] {
        let (name, count) = (name(number), rounds * u64::try_from(1 + number % 9).unwrap());
        let minute = at - at % 60;
        let query = format!("name={name}&from={minute}&until={}&step=1m", minute + 60);
        let series = rig.get(&format!("/v1/series?{query}")).await;
        assert_eq!(series.json["series"][0]["total"], json!(count), "{query}");
        for sql in [
            format!(
                "SELECT CAST(SUM(count) AS UNSIGNED) FROM eventtracker.event_minutes \
                 WHERE eventId = {} AND unixSeconds = {minute}",
                model::EventId::of(&name)
            ),
            format!(
                "SELECT CAST(SUM(count) AS UNSIGNED) FROM eventtracker.named_minutes \
                 WHERE tagName = '{name}' AND unixSeconds = {minute}"
            ),
        ] {
            assert_eq!(conn.query_first(&sql).await.unwrap(), Some(count), "{sql}");
        }
    }
    let total = |view: &str| {
        format!(
            "SELECT CAST(SUM(total) AS UNSIGNED) FROM eventtracker.{view} WHERE unixDay = {}",
            PAST - PAST % 86_400
        )
    };
    let expected = rounds
        * (0..NAMES)
            .map(|number| u64::try_from(1 + number % 9).unwrap())
            .sum::<u64>();
    for view in ["event_days", "named_days"] {
        assert_eq!(
            conn.query_first(total(view)).await.unwrap(),
            Some(expected),
            "{view}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_in_blocks_are_read_as_others_and_move_once() {
    let rig = Rig::start(one_region()).await;
    let mut ledger = Ledger::default();
    // Nobody moves them meanwhile.
    let keeper = rig.description().pids.keeper.unwrap();
    signal("STOP", keeper).await;
    let now = model::Timestamp::from(std::time::SystemTime::now()).unix_ms() / 1000;
    let today = now - now % 60;
    post(&rig, &mut ledger, today).await;
    ledger.expect_at_centre(&rig).await;
    ledger.acknowledged("test.mark.eu", 1_700_000_040, 1);
    assert!(blocks(&rig).await >= 32, "one for each shard and day");
    expect_readings(&rig, 1, today).await;

    // What comes then joins what was moved, in the open day and in the closed one.
    signal("CONT", keeper).await;
    wait_until_merged(&rig).await;
    expect_readings(&rig, 1, today).await;
    post(&rig, &mut ledger, today).await;
    ledger.expect_at_centre(&rig).await;
    wait_until_merged(&rig).await;
    expect_readings(&rig, 2, today).await;

    let audited = rig.audit("central", "2025-11-20T00:00:00Z", &[]).await;
    assert!(audited.status.success(), "{audited:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_move_once_whatever_dies() {
    let rig = Rig::start(one_region()).await;
    let mut ledger = Ledger::default();
    let now = model::Timestamp::from(std::time::SystemTime::now()).unix_ms() / 1000;
    let keeper = |description: &Description| description.pids.keeper.unwrap();
    let centre = |description: &Description| description.central.pid;
    for round in 0..6 {
        post(&rig, &mut ledger, now - now % 60).await;
        wait_until("some blocks", async || {
            match rig.description().central.root().connect().await {
                Ok(_) if blocks(&rig).await > 0 => Ok(()),
                outcome => Err(format!("{:?}", outcome.err())),
            }
        })
        .await;
        let victim: &dyn Fn(&Description) -> u32 = if round % 3 == 2 { &centre } else { &keeper };
        let pid = victim(&rig.description());
        signal("KILL", pid).await;
        wait_until(
            "the playground to restart what was killed",
            async || match victim(&rig.description()) {
                same if same == pid => Err("it was not noticed yet".to_owned()),
                _ => Ok(()),
            },
        )
        .await;
    }
    ledger.expect_at_centre(&rig).await;
    wait_until_merged(&rig).await;
    ledger.acknowledged("test.mark.eu", 1_700_000_040, 1);
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}
