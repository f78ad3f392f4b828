//! Days that the api keeps in memory are exact, whatever happens to them meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use model::{Day, EventId, EventName, Minute, Shard};
use mysql_async::prelude::Queryable;
use store::Error;
use store::central::{Central, Counted, Grain, Wanted};
use store::upkeep::Packer;

use crate::servers::{LIMIT, MINUTE_S, Servers};

const NAME: &str = "raced";

/// Late events that are sent, each for another minute than the one before.
const LATE: u64 = 400;

/// Fewest readings that must have met a day which was merged since they saw it: else nothing was raced.
const MERGED_MIN: u64 = 3;

struct Race {
    /// Late events whose transaction was sent, and those whose transaction had ended.
    sent: AtomicU64,
    counted: AtomicU64,
    merged: AtomicU64,
    is_over: AtomicBool,
}

/// The sums of hours, or of minutes, of one day.
async fn read(central: &Central, grain: Grain) -> Result<(u64, usize), Error> {
    let name = EventName::new(NAME).unwrap();
    let day = Day::containing(MINUTE_S);
    let minute = |unix_s| Minute::from_unix_s(unix_s).unwrap();
    let wanted = Wanted {
        ids: &[name.id()],
        minutes: (minute(day.unix_s()), minute(day.end_unix_s() - 60)),
        grain,
    };
    let (mut sum, mut parts) = (0, 0);
    let add = |_, _, counted: Counted<'_>| {
        counted.each(|_, count| {
            sum += count;
            parts += 1;
        });
    };
    central.read(&[name], false, &[wanted], add).await?;
    Ok((sum, parts))
}

async fn reads(central: &Central, race: &Race, grain: Grain) {
    let mut last = 0;
    while !race.is_over.load(Ordering::SeqCst) {
        let counted = race.counted.load(Ordering::SeqCst);
        match read(central, grain).await {
            Ok((sum, _)) => {
                let sent = race.sent.load(Ordering::SeqCst);
                assert!(
                    (counted..=sent).contains(&sum),
                    "{sum} is not {counted} to {sent}"
                );
                assert!(sum >= last, "{sum} after {last}");
                last = sum;
            }
            Err(error) => {
                assert!(error.is_changed(), "{}", error.with_causes());
                race.merged.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_events_and_packing_are_raced_by_readings() {
    let mut servers = Servers::start().await;
    let root = servers.centre_root();
    let central = Central::new(&root).unwrap();
    let id = EventName::new(NAME).unwrap().id();
    let (shard, day) = (Shard::of(id), Day::containing(MINUTE_S));
    let mut conn = root.connect().await.unwrap();
    conn.query_drop(format!(
        "INSERT INTO bigdata_0.EventTags VALUES ({id}, '{NAME}', 1)"
    ))
    .await
    .unwrap();
    let race = Arc::new(Race {
        sent: AtomicU64::new(0),
        counted: AtomicU64::new(0),
        merged: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    });
    let mut tasks = Vec::new();
    for grain in [Grain::Minute, Grain::Hour] {
        let (central, race) = (central.clone(), Arc::clone(&race));
        tasks.push(tokio::spawn(async move { reads(&central, &race, grain).await }));
    }
    let packing = {
        let (race, mut packer) = (Arc::clone(&race), Packer::new(root.clone()));
        tokio::spawn(async move {
            while !race.is_over.load(Ordering::SeqCst) {
                packer.pack(shard, day, &[id]).await.unwrap();
            }
        })
    };
    let begun = Instant::now();
    let mut late = 0;
    while late < LATE || race.merged.load(Ordering::SeqCst) < MERGED_MIN {
        assert!(begun.elapsed() < LIMIT, "nothing was raced: {late} events");
        race.sent.fetch_add(1, Ordering::SeqCst);
        let at = day.unix_s() + i64::try_from(late * 7 % 1_440 * 60).unwrap();
        conn.query_drop(format!(
            "INSERT INTO {shard}.EventMinute VALUES ({id}, FROM_UNIXTIME({at}), 1) ON DUPLICATE KEY UPDATE count = count + 1"
        ))
        .await
        .unwrap();
        race.counted.fetch_add(1, Ordering::SeqCst);
        late += 1;
    }
    race.is_over.store(true, Ordering::SeqCst);
    for task in tasks.into_iter().chain([packing]) {
        task.await.unwrap();
    }
    let mut packer = Packer::new(root.clone());
    packer.pack(shard, day, &[id]).await.unwrap();
    while read(&central, Grain::Minute).await.is_err() {}
    let (minutes, hours) = (late.min(1_440), 24);
    for (grain, parts) in [(Grain::Minute, minutes), (Grain::Hour, hours)] {
        let all = read(&central, grain).await.unwrap();
        assert_eq!(all, (late, usize::try_from(parts).unwrap()), "{grain:?}");
    }
    servers.playground.stop().await;
}

/// A name without counts is kept, too, and seen when it gets some.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_was_not_there_is_seen_when_it_is() {
    let mut servers = Servers::start().await;
    let root = servers.centre_root();
    let central = Central::new(&root).unwrap();
    for _ in 0..2 {
        assert_eq!(read(&central, Grain::Minute).await.unwrap(), (0, 0));
    }
    let (id, day) = (EventId::of(NAME), Day::containing(MINUTE_S));
    let mut conn = root.connect().await.unwrap();
    let row = format!(
        "INSERT INTO {}.EventDay VALUES ('{day}', {id}, 5, '[[0,5]]')",
        Shard::of(id)
    );
    conn.query_drop(row).await.unwrap();
    assert!(read(&central, Grain::Minute).await.unwrap_err().is_changed());
    for _ in 0..2 {
        assert_eq!(read(&central, Grain::Minute).await.unwrap(), (5, 1));
    }
    servers.playground.stop().await;
}
