//! Days that the api keeps in memory are exact, whatever happens to them meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusBuilder;
use model::{Day, EventId, EventName, Glob, Minute, Shard, Timestamp};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use store::central::{Central, Counted, Grain, Wanted};
use store::upkeep::Packer;
use store::{Error, Members};

use crate::servers::{LIMIT, MINUTE_S, Servers, first};

const NAME: &str = "raced";

/// Late events that are sent, each for another minute than the one before.
const LATE: u64 = 200;

/// Readings that each late event waits for, and more for some: so many that what is in memory is trusted again.
const READINGS: u64 = 5;
const READINGS_MANY: u64 = 5_000;
const FEW_READINGS_LATE: u64 = 25;

/// Fewest readings that must have met a day which was merged since they saw it, and fewest that were answered out of memory: else nothing
/// was raced.
const MERGED_MIN: u64 = 3;
const REMEMBERED_MIN: u64 = 1_000;

/// The age that the counts of an answer may have.
const AGE_MAX: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Race {
    /// Late events whose transaction was sent.
    sent: AtomicU64,
    /// When each transaction had ended.
    counted: Mutex<Vec<Instant>>,
    readings: AtomicU64,
    merged: AtomicU64,
    is_over: AtomicBool,
}

/// The ways to read a day.
#[derive(Debug, Clone, Copy)]
enum Way {
    Named(Grain),
    Found(Grain),
}

/// What was read of a day.
struct Answer {
    sum: u64,
    /// The number of minutes, hours or days that the sum came in.
    parts: usize,
    /// The claim, in thousandths of events.
    claimed: Option<u64>,
}

/// Reads the day: its sum, and in how many parts it came.
async fn read(central: &Central, way: Way) -> Result<(u64, usize), Error> {
    let answer = read_day(central, way, Day::containing(MINUTE_S)).await?;
    Ok((answer.sum, answer.parts))
}

async fn read_day(central: &Central, way: Way, day: Day) -> Result<Answer, Error> {
    let name = EventName::new(NAME).unwrap();
    let minute = |unix_s| Minute::from_unix_s(unix_s).unwrap();
    let (Way::Named(grain) | Way::Found(grain)) = way;
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
    let extent = match way {
        Way::Named(_) => central.read((&[], false, None), &[wanted], add).await?.extent,
        Way::Found(_) => {
            let (snapshot, _) = central.snapshot(&[Glob::new("rac*").unwrap()], 1, None).await?;
            snapshot.read(&[wanted], add).await?.extent
        }
    };
    let claimed = |until: Timestamp| u64::try_from(until.unix_ms() - MINUTE_S * 1_000).unwrap();
    Ok(Answer {
        sum,
        parts,
        claimed: extent.complete_until.map(claimed),
    })
}

/// Reads the day in each way in turn, as one client does.
async fn reads(central: &Central, race: &Race) {
    const WAYS: [Way; 6] = [
        Way::Named(Grain::Minute),
        Way::Named(Grain::Hour),
        Way::Named(Grain::Minute),
        Way::Named(Grain::Day),
        Way::Named(Grain::Hour),
        Way::Found(Grain::Minute),
    ];
    let (mut last, mut last_claimed) = (0, None);
    for number in 0.. {
        if race.is_over.load(Ordering::SeqCst) {
            break;
        }
        // Most readings are by name, as those of a dashboard are.
        let way = WAYS[if number % 64 == 0 {
            number / 64 % 6
        } else {
            number % 3
        }];
        let begun = Instant::now();
        match read_day(central, way, Day::containing(MINUTE_S)).await {
            Ok(Answer { sum, claimed, .. }) => {
                let counted = race.counted.lock().unwrap();
                let counted = counted.partition_point(|&at| at < begun.checked_sub(AGE_MAX).unwrap());
                let bounds = counted as u64..=race.sent.load(Ordering::SeqCst);
                assert!(bounds.contains(&sum), "{way:?}: {sum} is not in {bounds:?}");
                assert!(sum >= last, "{way:?}: {sum} after {last}");
                assert!(
                    Some(sum * 1_000 + 999) >= claimed,
                    "{way:?}: {sum} where {claimed:?} are claimed"
                );
                assert!(
                    claimed >= last_claimed,
                    "{way:?}: {claimed:?} are claimed after {last_claimed:?}"
                );
                (last, last_claimed) = (sum, claimed);
            }
            Err(error) => {
                assert!(error.is_changed(), "{}", error.with_causes());
                race.merged.fetch_add(1, Ordering::SeqCst);
            }
        }
        race.readings.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
    assert!(last_claimed.is_some(), "nothing was claimed");
}

/// Counts one event as a region does, and claims that as many as `number` are complete.
async fn count(conn: &mut Conn, unix_s: i64, number: u64) {
    let id = EventId::of(NAME);
    conn.query_drop(format!(
        "BEGIN; INSERT INTO {}.EventMinute VALUES ({id}, FROM_UNIXTIME({unix_s}), 1) ON DUPLICATE KEY UPDATE count = count + 1; \
         INSERT INTO bigdata_0.RegionMinute VALUES ('eu', FROM_UNIXTIME({unix_s}), 1) ON DUPLICATE KEY UPDATE count = count + 1; \
         INSERT INTO bigdata_0.RegionTotal VALUES ('eu', {number}, {number}) \
         ON DUPLICATE KEY UPDATE total = VALUES(total), flushes = VALUES(flushes); \
         {}; REPLACE INTO eventtracker.ClockOffset VALUES ('eu', 0, 0, NOW(3), NOW(3), NULL); COMMIT",
        Shard::of(id),
        claim(number * 1_000)
    ))
    .await
    .unwrap();
}

/// The statement that claims so many thousandths of events: as many milliseconds.
fn claim(thousandths: u64) -> String {
    let (s, ms) = (MINUTE_S.unsigned_abs() + thousandths / 1_000, thousandths % 1_000);
    format!("REPLACE INTO bigdata_0.RegionClock VALUES ('eu', 'w', FROM_UNIXTIME({s}.{ms:03}), NOW(3))")
}

/// Gives the number of readings that were answered out of memory.
fn remembered() -> impl Fn() -> u64 {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).unwrap();
    move || {
        let shown = handle.render();
        let count = |line: &str| {
            Some(
                line.strip_prefix("store_readings_remembered_total ")?
                    .parse()
                    .unwrap(),
            )
        };
        shown.lines().find_map(count).unwrap_or(0)
    }
}

/// Counts late events of `day` until enough was raced, and returns how many.
async fn send(conn: &mut Conn, race: &Race, day: Day, is_read: impl Fn() -> bool) -> u64 {
    let mut late = 0;
    while late < LATE || race.merged.load(Ordering::SeqCst) < MERGED_MIN {
        let readings = if late % FEW_READINGS_LATE == 0 {
            READINGS_MANY
        } else {
            READINGS
        };
        let wanted = race.readings.load(Ordering::SeqCst) + readings;
        let (begun, mut beats) = (Instant::now(), 0);
        while race.readings.load(Ordering::SeqCst) < wanted {
            assert!(begun.elapsed() < LIMIT, "nothing was raced: {late} events");
            assert!(is_read(), "a reading failed");
            // Claims go on where nothing is counted.
            beats += 1;
            let claim = claim(late * 1_000 + beats.min(999));
            conn.query_drop(claim).await.unwrap();
        }
        race.sent.fetch_add(1, Ordering::SeqCst);
        let unix_s = day.unix_s() + i64::try_from(late * 7 % 1_440 * 60).unwrap();
        count(conn, unix_s, late + 1).await;
        race.counted.lock().unwrap().push(Instant::now());
        late += 1;
    }
    late
}

#[tokio::test(flavor = "multi_thread")]
async fn late_events_and_packing_are_raced_by_readings() {
    let mut servers = Servers::start().await;
    let root = servers.centre_root();
    let mut conn = root.connect().await.unwrap();
    let central = Central::new(&Members::alone(root.clone())).unwrap();
    let remembered = remembered();
    let id = EventName::new(NAME).unwrap().id();
    let (shard, day) = (Shard::of(id), Day::containing(MINUTE_S));
    conn.query_drop(format!(
        "INSERT INTO bigdata_0.EventTags VALUES ({id}, '{NAME}', 1)"
    ))
    .await
    .unwrap();
    let race = Arc::new(Race::default());
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let (central, race) = (central.clone(), Arc::clone(&race));
        tasks.push(tokio::spawn(async move { reads(&central, &race).await }));
    }
    let packing = {
        let (race, mut packer) = (Arc::clone(&race), Packer::new(root.clone()));
        tokio::spawn(async move {
            while !race.is_over.load(Ordering::SeqCst) {
                packer.pack(shard, day, &[id]).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    let is_read = || tasks.iter().all(|task| !task.is_finished());
    let late = send(&mut conn, &race, day, is_read).await;
    race.is_over.store(true, Ordering::SeqCst);
    for task in tasks.into_iter().chain([packing]) {
        task.await.unwrap();
    }
    let readings = race.readings.load(Ordering::SeqCst);
    println!(
        "{} of {readings} readings were answered out of memory",
        remembered()
    );
    assert!(remembered() >= REMEMBERED_MIN);
    let mut packer = Packer::new(root.clone());
    packer.pack(shard, day, &[id]).await.unwrap();
    while read(&central, Way::Found(Grain::Minute)).await.is_err() {}
    let (minutes, hours) = (late.min(1_440), 24);
    for (grain, parts) in [(Grain::Minute, minutes), (Grain::Hour, hours)] {
        let all = read(&central, Way::Named(grain)).await.unwrap();
        assert_eq!(all, (late, usize::try_from(parts).unwrap()), "{grain:?}");
    }
    servers.playground.stop().await;
}

/// A name without counts is kept, too, and seen when it gets some.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_was_not_there_is_seen_when_it_is() {
    let mut servers = Servers::start().await;
    let root = servers.centre_root();
    let central = Central::new(&Members::alone(root.clone())).unwrap();
    for _ in 0..2 {
        assert_eq!(read(&central, Way::Named(Grain::Minute)).await.unwrap(), (0, 0));
    }
    let (id, day) = (EventId::of(NAME), Day::containing(MINUTE_S));
    let mut conn = root.connect().await.unwrap();
    let row = format!(
        "BEGIN; INSERT INTO {}.EventDay VALUES ('{day}', {id}, 5, '[[0,5]]'); \
         INSERT INTO bigdata_0.RegionTotal VALUES ('eu', 5, 1); COMMIT",
        Shard::of(id)
    );
    conn.query_drop(row).await.unwrap();
    let begun = Instant::now();
    let error = loop {
        match read(&central, Way::Named(Grain::Minute)).await {
            Ok(sum) => assert!(sum == (0, 0) && begun.elapsed() < LIMIT, "{sum:?}"),
            Err(error) => break error,
        }
    };
    assert!(error.is_changed(), "{}", error.with_causes());
    for _ in 0..2 {
        assert_eq!(read(&central, Way::Named(Grain::Minute)).await.unwrap(), (5, 1));
    }
    servers.playground.stop().await;
}

/// Days that are too many for the memory are read as others are.
#[tokio::test(flavor = "multi_thread")]
async fn days_that_are_not_kept_are_exact_too() {
    let mut servers = Servers::start().await;
    let root = servers.centre_root();
    let mut conn = root.connect().await.unwrap();
    let central = Central::new(&Members::alone(root.clone())).unwrap();
    let (id, day) = (EventId::of(NAME), Day::containing(MINUTE_S));
    let mut put = async |counts: &str| {
        let row = format!(
            "REPLACE INTO {}.EventDay VALUES ('{day}', {id}, 12, '{counts}')",
            Shard::of(id)
        );
        conn.query_drop(row).await.unwrap();
    };
    // A year of 200 names, of which only the first has counts.
    let ids: Vec<EventId> = (0..200).map(|n| EventId(id.0 ^ n)).collect();
    let ends = [day.unix_s(), day.unix_s() + 365 * 86_400 - 60].map(|at| Minute::from_unix_s(at).unwrap());
    let read = async |grain| {
        let wanted = Wanted {
            ids: &ids,
            minutes: ends.into(),
            grain,
        };
        let mut found = Vec::new();
        let add = |_, of, counted: Counted<'_>| {
            counted.each(|at, count| found.push((of, at - day.unix_s(), count)));
        };
        let whole = central.read((&[], false, None), &[wanted], add).await;
        whole.map(|_| found)
    };
    put("[[0,5],[61,7]]").await;
    for (grain, second) in [(Grain::Hour, 3_600), (Grain::Minute, 3_660)] {
        let found = read(grain).await.unwrap();
        assert_eq!(found, [(id, 0, 5), (id, second, 7)], "{grain:?}");
    }
    put("[1,2]").await;
    for grain in [Grain::Hour, Grain::Minute] {
        let error = read(grain).await.unwrap_err();
        assert!(matches!(error, Error::PackedDay { .. }), "{error}");
    }
    servers.playground.stop().await;
}

/// A day is answered without asking until something is counted for the past, and what that is is seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_asked_for_again_once_something_of_the_past_is_counted() {
    let mut servers = Servers::start().await;
    let mut conn = servers.centre_root().connect().await.unwrap();
    let central = Central::new(&Members::alone(servers.centre_root())).unwrap();
    let remembered = remembered();
    let day = Day::containing(MINUTE_S);
    let now = first(&servers.centre_root(), "SELECT UNIX_TIMESTAMP() DIV 60 * 60").await;
    count(&mut conn, day.unix_s(), 1).await;
    let mut packer = Packer::new(servers.centre_root());
    let id = EventId::of(NAME);
    packer.pack(Shard::of(id), day, &[id]).await.unwrap();
    // Whether a reading of a day was answered out of memory, and its sum.
    let look = async |day: Day| {
        let before = remembered();
        let answer = read_day(&central, Way::Named(Grain::Minute), day).await.unwrap();
        (remembered() > before, answer.sum)
    };
    let until = async |day: Day, wanted: (bool, u64)| {
        let begun = Instant::now();
        while look(day).await != wanted {
            assert!(begun.elapsed() < LIMIT, "{day} is never {wanted:?}");
        }
    };
    until(day, (true, 1)).await;
    until(day.next(), (true, 0)).await;
    // What is counted for now changes nothing: once the clock was asked for anew, with the other day, this one needs no more. Unless that
    // took too long.
    let (begun, mut number) = (Instant::now(), 1);
    loop {
        number += 1;
        count(&mut conn, now.unwrap().try_into().unwrap(), number).await;
        until(day.next(), (false, 0)).await;
        if look(day).await == (true, 1) {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "{day} is always asked for");
    }
    // What is counted for the day is seen, although the other day was the one that was asked for: once for the regions, and once for the clock.
    count(&mut conn, day.unix_s() + 60, number + 1).await;
    until(day.next(), (false, 0)).await;
    until(day.next(), (false, 0)).await;
    assert_eq!(look(day).await.1, 2);
    servers.playground.stop().await;
}
