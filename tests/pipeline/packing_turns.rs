//! Every closed day has its turn, the recent ones first, however many old days somebody sends events for; and what waits for longer
//! than promised is an alarm.

use std::time::Duration;

use model::{Day, EventId, Shard};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::centre;
use crate::keeper_watches::alarms;
use crate::rig::{Rig, one_region, signal, wait_until, wait_up_to};

/// 27 years, nearly all that may be counted.
const OLD_DAYS: u16 = 9_800;

/// An old day of each shard takes the keeper some 5 ms: so much is not done within any test's limit.
const OLD_MINUTES: u64 = 32 * OLD_DAYS as u64;

/// Longest wait for the alarm: both lanes have their share of 40 s first, and what is wrong must be so for 10 s.
const ALARM_LIMIT: Duration = Duration::from_secs(120);

/// Old minutes that are packed beside late events for yesterday.
const SHARE: u64 = 1_000;

/// The last day that the keeper packs by now.
async fn yesterday(conn: &mut Conn) -> Day {
    let now: Option<i64> = conn.query_first("SELECT UNIX_TIMESTAMP()").await.unwrap();
    Day::containing(now.unwrap() - 3_600).earlier(1)
}

/// A name of its own for each shard.
fn name(shard: Shard, number: u64) -> EventId {
    EventId(shard.event_ids().start() + number)
}

/// A minute in each of [`OLD_DAYS`] before yesterday, for a name in each shard.
async fn sprinkle(conn: &mut Conn, yesterday: Day) {
    let last = yesterday.earlier(5).unix_s();
    for shard in Shard::all() {
        let id = name(shard, 1);
        conn.query_drop(format!(
            "INSERT INTO {shard}.EventMinute SELECT {id}, FROM_UNIXTIME({last} - 86400 * seq), 1 FROM {shard}.seq_1_to_{OLD_DAYS}"
        ))
        .await
        .unwrap();
    }
}

async fn send_for(conn: &mut Conn, day: Day) {
    for shard in Shard::all() {
        let id = name(shard, 2);
        conn.query_drop(format!(
            "INSERT INTO {shard}.EventMinute VALUES ({id}, FROM_UNIXTIME({}), 1) ON DUPLICATE KEY UPDATE count = count + 1",
            day.unix_s()
        ))
        .await
        .unwrap();
    }
}

/// Minutes that are not packed: of yesterday, and of the days before.
async fn open(conn: &mut Conn, yesterday: Day) -> (u64, u64) {
    let sum = |condition: &str| {
        let counts = Shard::all().map(|shard| {
            format!(
                "(SELECT COUNT(*) FROM {shard}.EventMinute WHERE createDate {condition} FROM_UNIXTIME({}))",
                yesterday.unix_s()
            )
        });
        counts.collect::<Vec<_>>().join(" + ")
    };
    let sql = format!("SELECT {}, {}", sum(">="), sum("<"));
    conn.query_first(sql).await.unwrap().unwrap()
}

async fn keeper(rig: &Rig, sign: &str) {
    signal(sign, rig.description().pids.keeper.unwrap()).await;
}

/// Another one begins at once. The same one would rest for long from a question that seemed to take as long as it was stopped.
async fn another_keeper(rig: &Rig) {
    let killed = rig.description().pids.keeper.unwrap();
    keeper(rig, "KILL").await;
    wait_until("another keeper", async || match rig.description().pids.keeper {
        Some(pid) if pid != killed => Ok(()),
        pid => Err(format!("{pid:?}")),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_timestamps_do_not_keep_yesterday_from_being_packed_nor_late_events_the_old_days() {
    let rig = Rig::start(one_region()).await;
    let mut conn = centre::connect(&rig.description().central).await;
    let yesterday = yesterday(&mut conn).await;
    keeper(&rig, "STOP").await;
    sprinkle(&mut conn, yesterday).await;
    send_for(&mut conn, yesterday).await;
    another_keeper(&rig).await;
    wait_until("yesterday to be packed", async || {
        match open(&mut conn, yesterday).await {
            (0, _) => Ok(()),
            (recent, old) => Err(format!("{recent} minutes of yesterday are open, {old} before")),
        }
    })
    .await;

    let (_, before) = open(&mut conn, yesterday).await;
    assert!(before > SHARE, "{before} of {OLD_MINUTES} old minutes are left");
    wait_until("old days to have their turn beside it", async || {
        send_for(&mut conn, yesterday).await;
        match open(&mut conn, yesterday).await {
            (_, old) if old + SHARE <= before => Ok(()),
            (_, old) => Err(format!("{old} of {before} old minutes are open")),
        }
    })
    .await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_wait_for_longer_than_promised_are_an_alarm_whoever_keeps() {
    let rig = Rig::start(one_region()).await;
    let mut conn = centre::connect(&rig.description().central).await;
    let yesterday = yesterday(&mut conn).await;
    wait_until("the keeper to note that all is packed", async || {
        let notes = "SELECT COUNT(*) FROM eventtracker.PackedUntil";
        match conn.query_first::<u64, _>(notes).await {
            Ok(Some(4)) => Ok(()),
            notes => Err(format!("{notes:?}")),
        }
    })
    .await;
    keeper(&rig, "STOP").await;
    sprinkle(&mut conn, yesterday).await;
    send_for(&mut conn, yesterday).await;
    another_keeper(&rig).await;
    // As if the keeper had not come to the end for four hours; yesterday's end is as long ago, or longer. Each time, since a walk through the
    // recent days may note its end meanwhile.
    let first = wait_up_to(ALARM_LIMIT, "an alarm", async || {
        conn.query_drop(
            "UPDATE eventtracker.PackedUntil SET packedUntil = LEAST(packedUntil, CURRENT_TIMESTAMP(3) - INTERVAL 4 HOUR)",
        )
        .await
        .unwrap();
        packing(&rig).await.ok_or("none".to_owned())
    })
    .await;
    assert!(
        first.contains(" has waited since ") || first.contains(" days have waited "),
        "{first}"
    );

    another_keeper(&rig).await;
    conn.query_drop("DELETE FROM eventtracker.Alarm").await.unwrap();
    raised(&rig).await;

    for shard in Shard::all() {
        conn.query_drop(format!("DELETE FROM {shard}.EventMinute"))
            .await
            .unwrap();
    }
    wait_until("the alarm's end", async || match packing(&rig).await {
        None => Ok(()),
        Some(sentence) => Err(sentence),
    })
    .await;
    rig.stop().await;
}

async fn packing(rig: &Rig) -> Option<String> {
    let alarms = alarms(rig).await;
    let alarm = alarms.iter().find(|alarm| alarm["kind"] == "packing")?;
    Some(alarm["sentence"].as_str()?.to_owned())
}

async fn raised(rig: &Rig) -> String {
    wait_until("an alarm", async || packing(rig).await.ok_or("none".to_owned())).await
}
