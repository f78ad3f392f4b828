//! The views for analysts: what they show is what was counted, whatever form it lies in, and they read no more than they must.

use std::collections::{BTreeMap, BTreeSet};

use model::EventId;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use store::setup::Site;

use crate::filled::{
    DAY_S, Filled, NOW_S, TODAY_S, branches_read, date, datetime, digits, refusal, rows, shards_of,
};
use crate::servers::{Servers, apply};

const EVERYTHING: (u64, u64) = (0, NOW_S);

#[tokio::test(flavor = "multi_thread")]
async fn every_count_is_in_both_views() {
    let mut filled = Filled::start().await;
    let mut analyst = filled.analyst().await;
    let known: BTreeMap<_, _> = filled
        .names
        .iter()
        .filter(|(_, counts)| !counts.is_empty())
        .map(|(name, counts)| (EventId::of(name).0, (counts.values().sum::<u64>(), counts.len())))
        .collect();
    let minutes = "SELECT eventId, CAST(SUM(count) AS UNSIGNED), COUNT(DISTINCT createDate) \
        FROM eventtracker.event_minutes GROUP BY eventId";
    let shown: BTreeMap<_, _> = rows(&mut analyst, minutes)
        .await
        .into_iter()
        .map(|(id, sum, minutes): (u64, u64, usize)| (id, (sum, minutes)))
        .collect();
    assert!(shown == known, "event_minutes differs from what was counted");

    let days = "SELECT DATE_FORMAT(day, '%Y-%m-%d'), CAST(SUM(total) AS UNSIGNED) FROM eventtracker.event_days GROUP BY day";
    let shown: BTreeMap<String, u64> = rows(&mut analyst, days).await.into_iter().collect();
    let known = filled.buckets(|_| true, EVERYTHING, DAY_S);
    let known: BTreeMap<_, _> = known.into_iter().map(|(day, sum)| (date(day), sum)).collect();
    assert_eq!(shown, known);

    filled.servers.playground.stop().await;
}

/// Minutes lie where they were counted, in a session that lives by another time, too.
#[tokio::test(flavor = "multi_thread")]
async fn minutes_are_the_same_in_every_zone() {
    let mut filled = Filled::start().await;
    let mut analyst = filled.analyst().await;
    let id = EventId::of("web.requests");
    let counts = &filled.names["web.requests"];
    for time_zone in ["+00:00", "+05:00", "-11:00"] {
        rows::<u8>(&mut analyst, &format!("SET time_zone = '{time_zone}'")).await;
        for range in [(TODAY_S - 4 * DAY_S, TODAY_S - DAY_S), (TODAY_S - DAY_S, NOW_S)] {
            for (of, which) in [
                ("event_minutes", format!("eventId = {id}")),
                ("named_minutes", "tagName = 'web.requests'".to_owned()),
            ] {
                let known: BTreeSet<_> = counts
                    .range(range.0..range.1)
                    .map(|(&m, &count)| (m, date(m), m - m % DAY_S, count))
                    .collect();
                let sql = format!(
                    "SELECT unixSeconds, DATE_FORMAT(MIN(day), '%Y-%m-%d'), MIN(unixDay), CAST(SUM(count) AS UNSIGNED) \
                     FROM eventtracker.{of} WHERE {which} AND unixSeconds >= {} AND unixSeconds < {} GROUP BY unixSeconds",
                    range.0, range.1
                );
                let shown: BTreeSet<(u64, String, u64, u64)> =
                    rows(&mut analyst, &sql).await.into_iter().collect();
                assert!(shown == known, "{time_zone}: {sql}");
                let sql = format!(
                    "SELECT DATE_FORMAT(createDate, '%Y-%m-%d %H:%i:%s'), CAST(SUM(count) AS UNSIGNED) \
                     FROM eventtracker.{of} WHERE {which} AND createDate >= '{}' AND createDate < '{}' GROUP BY createDate",
                    datetime(range.0),
                    datetime(range.1)
                );
                if time_zone == "+00:00" {
                    let shown: BTreeSet<(String, u64)> = rows(&mut analyst, &sql).await.into_iter().collect();
                    let known: BTreeSet<_> = known
                        .into_iter()
                        .map(|(m, _, _, count)| (datetime(m), count))
                        .collect();
                    assert!(shown == known, "{sql}");
                } else {
                    expect_other_zone(&mut analyst, &sql, time_zone).await;
                }
            }
        }
        let regions = format!(
            "SELECT CAST(SUM(count) AS UNSIGNED) FROM eventtracker.region_minutes WHERE unixSeconds >= {} AND unixSeconds < {}",
            TODAY_S - DAY_S,
            TODAY_S
        );
        let sum: Vec<u64> = rows(&mut analyst, &regions).await;
        assert_eq!(
            sum,
            [filled.sum(|_| true, (TODAY_S - DAY_S, TODAY_S))],
            "{time_zone}"
        );
        if time_zone != "+00:00" {
            expect_other_zone(
                &mut analyst,
                "SELECT MAX(createDate) FROM eventtracker.region_minutes",
                time_zone,
            )
            .await;
        }
    }
    filled.servers.playground.stop().await;
}

/// A time in UTC beside what the session takes for now would be hours off, so the query is refused.
async fn expect_other_zone(analyst: &mut Conn, sql: &str, time_zone: &str) {
    let sentence = refusal(analyst, sql).await;
    let expected =
        format!("createDate is UTC, and the time_zone of this session is {time_zone}: take unixSeconds");
    assert!(sentence.starts_with(&expected), "{sql}: {sentence}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_asked_for_is_read() {
    let mut filled = Filled::start().await;
    let mut analyst = filled.analyst().await;
    let (a, b) = ("web.requests", "shop.item.sold");
    let (id_a, id_b) = (EventId::of(a), EventId::of(b));
    let week = format!(
        "day >= '{}' AND day < '{}'",
        date(TODAY_S - 9 * DAY_S),
        date(TODAY_S - 2 * DAY_S)
    );
    rows::<u8>(&mut analyst, &format!("SET @id = {id_a}, @other = {id_b}")).await;
    let unpacked = |name: &str| filled.names[name].range(TODAY_S - DAY_S..).count() as u64;
    for (condition, names) in [
        (format!("eventId = {id_a}"), &[a][..]),
        ("eventId = @id".to_owned(), &[a]),
        (
            "eventId = CAST(CONV(LEFT(MD5('web.requests'), 16), 16, 10) AS UNSIGNED)".to_owned(),
            &[a],
        ),
        (format!("eventId IN ({id_a}, {id_b})"), &[a, b]),
        ("eventId IN (@id, @other)".to_owned(), &[a, b]),
    ] {
        for view in ["event_minutes", "event_days"] {
            let sql = format!("SELECT * FROM eventtracker.{view} WHERE {condition} AND {week}");
            let read = filled.rows_read(&mut analyst, &sql).await;
            let databases: BTreeSet<_> = read.keys().map(|(database, _)| database.clone()).collect();
            assert_eq!(databases, shards_of(names), "{sql}");
            assert_eq!(branches_read(&mut analyst, &sql).await, 2 * names.len(), "{sql}");
            for (table, &rows) in &read {
                // Late minutes of a packed day are two.
                let limit = if table.1 == "EventDay" {
                    8
                } else {
                    unpacked(a).max(unpacked(b)) + 3
                };
                assert!(rows <= limit, "{sql} read {rows} rows of {table:?}");
            }
        }
    }
    filled.servers.playground.stop().await;
}

/// The largest counts there can be, in each form.
#[tokio::test(flavor = "multi_thread")]
async fn saturated_counts_are_shown_exactly() {
    const MAX: u64 = u64::MAX;
    let mut servers = Servers::start().await;
    let mut root = servers.centre_root().connect().await.unwrap();
    let dense = format!("[{MAX}{},{MAX}]", ",0".repeat(1438));
    let sparse = format!("[[0,1],[1439,{MAX}]]");
    let high = MAX - 92u64.pow(4) + 1;
    let digits = digits(
        &(0..1_440)
            .map(|minute| if minute == 7 { MAX } else { high })
            .collect::<Vec<_>>(),
    );
    assert_eq!(digits.matches('~').count(), 4);
    for (day, total, counts) in [
        ("2025-01-01", MAX, dense),
        ("2025-01-02", MAX, sparse),
        ("2025-01-04", MAX, digits),
    ] {
        let insert = format!("INSERT INTO bigdata_0.EventDay VALUES ('{day}', 5, {total}, '{counts}')");
        root.query_drop(insert).await.unwrap();
    }
    let insert = format!(
        "INSERT INTO bigdata_0.EventMinute VALUES (5, '2025-01-03 00:00:00', {MAX}), (5, '2025-01-03 00:01:00', 7)"
    );
    root.query_drop(insert).await.unwrap();
    let mut analyst = servers.analyst().connect().await.unwrap();
    let minutes = "SELECT DATE_FORMAT(createDate, '%d %H:%i'), count FROM eventtracker.event_minutes WHERE eventId = 5 \
                   AND (day <> '2025-01-04' OR createDate BETWEEN '2025-01-04 00:06:00' AND '2025-01-04 00:08:00') ORDER BY createDate";
    let shown: Vec<(String, u64)> = rows(&mut analyst, minutes).await;
    let known = [
        ("01 00:00", MAX),
        ("01 23:59", MAX),
        ("02 00:00", 1),
        ("02 23:59", MAX),
        ("03 00:00", MAX),
        ("03 00:01", 7),
        ("04 00:06", high),
        ("04 00:07", MAX),
        ("04 00:08", high),
    ];
    assert_eq!(shown, known.map(|(at, count)| (at.to_owned(), count)));
    let sum: Vec<String> = rows(
        &mut analyst,
        "SELECT SUM(count) FROM eventtracker.event_minutes WHERE eventId = 5",
    )
    .await;
    assert_eq!(
        sum,
        [(5 * u128::from(MAX) + 1_439 * u128::from(high) + 8).to_string()]
    );
    let day: Vec<u64> = rows(
        &mut analyst,
        "SELECT total FROM eventtracker.event_days WHERE day = '2025-01-03'",
    )
    .await;
    assert_eq!(day, [MAX], "a day's total saturates, as a packed day's does");
    servers.playground.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn views_and_procedures_that_differ_are_named_and_put_right() {
    let mut servers = Servers::start().await;
    let root = servers.centre_root();
    assert_eq!(store::setup::check(&root, Site::Central).await.unwrap(), []);
    let mut conn = root.connect().await.unwrap();
    for sql in [
        "DROP VIEW eventtracker.event_days",
        "DROP PROCEDURE eventtracker.total",
        "DROP FUNCTION eventtracker.value_of",
        "CREATE OR REPLACE VIEW eventtracker.event_minutes AS SELECT * FROM bigdata_0.EventMinute",
        "ALTER PROCEDURE eventtracker.series SQL SECURITY DEFINER",
    ] {
        conn.query_drop(sql).await.unwrap();
    }
    let differences = store::setup::check(&root, Site::Central).await.unwrap();
    assert!(differences.iter().all(|difference| difference.is_mendable));
    let sentences: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        sentences,
        [
            "eventtracker.event_minutes differs from the schema",
            "eventtracker.event_days is missing",
            "eventtracker.value_of is missing",
            "eventtracker.series differs from the schema",
            "eventtracker.total is missing",
        ]
    );
    apply(&root, Site::Central).await.unwrap();
    assert_eq!(store::setup::check(&root, Site::Central).await.unwrap(), []);
    servers.playground.stop().await;
}

/// What a dashboard of the pipeline's health reads: of each region the freshest word, by the centre's clock.
#[tokio::test(flavor = "multi_thread")]
async fn health_is_the_freshest_word_by_the_centres_clock() {
    let mut servers = Servers::start().await;
    let mut root = servers.centre_root().connect().await.unwrap();
    for sql in [
        "STOP ALL SLAVES",
        "DELETE FROM bigdata_0.RegionStatus",
        "DELETE FROM bigdata_0.RegionClock",
        "INSERT INTO bigdata_0.RegionStatus VALUES \
         ('eu', 'old', '2025-01-01 10:00:00', 9, 9, 9, 9, 9, FALSE, 1, 2, 800), \
         ('eu', 'new', '2025-01-01 10:00:10.5', 1, 2, 3, 4, NULL, TRUE, 10, 40, 2500), \
         ('us', 'only', '2025-01-01 09:00:00', 5, 6, 7, 8, 60, FALSE, NULL, NULL, NULL)",
        "INSERT INTO bigdata_0.RegionClock VALUES \
         ('eu', 'a', '2025-01-01 10:00:08', '2025-01-01 10:00:10'), \
         ('eu', 'b', '2025-01-01 10:00:09', '2025-01-01 10:00:09')",
        "INSERT INTO eventtracker.ClockOffset VALUES ('eu', 1500, 2000, NOW(3), NOW(3), NULL)",
        "REPLACE INTO bigdata_0.RegionTotal VALUES ('eu', 77, 3)",
        "INSERT INTO eventtracker.Alarm VALUES ('us', 'silent', 'nothing has been heard of it', '2025-01-01 09:01:00')",
    ] {
        root.query_drop(sql).await.unwrap();
    }
    let mut analyst = servers.analyst().connect().await.unwrap();
    analyst.query_drop("SET time_zone = '+05:00'").await.unwrap();
    let health = "SELECT CONCAT_WS(' ', region, TIME(heard), TIME(complete_until), jobs_ready, jobs_reserved, jobs_delayed, \
                  jobs_buried, oldest_job_age_s, queue_durable, disk_free_bytes, disk_size_bytes, total, hold_s) \
                  FROM eventtracker.region_health ORDER BY region";
    assert_eq!(
        rows::<String>(&mut analyst, health).await,
        [
            "eu 10:00:09.0000 10:00:07.0000 1 2 3 4 1 10 40 77 2.5000",
            "us 5 6 7 8 60 0"
        ]
    );
    let alarms = "SELECT CONCAT_WS(' ', region, kind, sentence, since) FROM eventtracker.alarms";
    assert_eq!(
        rows::<String>(&mut analyst, alarms).await,
        ["us silent nothing has been heard of it 2025-01-01 09:01:00.000"]
    );
    servers.playground.stop().await;
}
