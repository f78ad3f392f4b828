//! Sessions as tools make them: of any time zone, without hashes, with numbers that are rounded. Each gets the same counts, or a sentence.

use std::collections::{BTreeMap, BTreeSet};

use model::EventId;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::filled::{DAY_S, Filled, HOUR_S, TODAY_S, date, datetime, refusal, rows, shards_of, texts};

/// What Grafana's MySQL source, Metabase and Superset write.
#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_would_shift_an_answer_is_noticed() {
    let mut filled = Filled::start().await;
    let root = filled.servers.centre_root();
    assert!(store::setup::lacks_zones(&root).await.unwrap());
    assert!(store::setup::load_zones(&root).await.unwrap());
    assert!(!store::setup::load_zones(&root).await.unwrap(), "they are there");
    let mut analyst = filled.analyst().await;
    for time_zone in ["+00:00", "+02:00", "-09:30", "Europe/Berlin", "Europe/London"] {
        rows::<u8>(&mut analyst, &format!("SET time_zone = '{time_zone}'")).await;
        procedures_agree(&filled, &mut analyst, time_zone).await;
    }
    rows::<u8>(&mut analyst, "SET time_zone = '+00:00'").await;
    for time in [
        "1763787600250",
        "'2025-02-30'",
        "'soon'",
        "17637876",
        "12345",
        "-1",
    ] {
        let sentence = refusal(
            &mut analyst,
            &format!("CALL eventtracker.total('web.requests', {time}, NOW())"),
        )
        .await;
        assert!(
            sentence.contains("is no time: give unix seconds"),
            "{time}: {sentence}"
        );
    }
    filled.servers.playground.stop().await;
}

/// Unix seconds, dates and times with a `Z` mean the same in every session; a time without is refused in one of another zone.
async fn procedures_agree(filled: &Filled, analyst: &mut Conn, time_zone: &str) {
    let (from, until) = (TODAY_S - 3 * DAY_S + 100 * 60, TODAY_S - HOUR_S);
    let known = filled
        .sum(|name| name == "web.requests", (from, until))
        .to_string();
    let hours = filled.buckets(
        |name| name == "web.requests",
        (TODAY_S - 2 * DAY_S, TODAY_S),
        HOUR_S,
    );
    let total = |from: &str, until: &str| format!("CALL eventtracker.total('web.requests', {from}, {until})");
    for sql in [
        total(&from.to_string(), &until.to_string()),
        total(&format!("{from}.75"), &format!("'{until}'")),
        total(
            &format!("'{}Z'", datetime(from)),
            &format!("'{}Z'", datetime(until)),
        ),
    ] {
        assert_eq!(
            texts(analyst, &sql).await,
            [[Some(known.clone())]],
            "{time_zone}: {sql}"
        );
    }
    // A date is a day of UTC, however it is written.
    let days = total("UTC_DATE() - INTERVAL 2 DAY", &format!("'{}'", date(TODAY_S)));
    let of_days = hours.values().sum::<u64>().to_string();
    assert_eq!(texts(analyst, &days).await, [[Some(of_days)]], "{time_zone}");
    let series = format!(
        "CALL eventtracker.series('web.requests', {}, {}, '1h')",
        TODAY_S - 2 * DAY_S,
        TODAY_S
    );
    let shown = texts(analyst, &series).await.into_iter();
    let shown: BTreeMap<u64, u64> = shown
        .map(|row| {
            let number = |at: usize| row[at].as_ref().unwrap().parse().unwrap();
            (number(1), number(2))
        })
        .filter(|(_, value)| *value > 0)
        .collect();
    assert_eq!(shown, hours, "{time_zone}");
    let local = total(
        &format!("FROM_UNIXTIME({from})"),
        &format!("FROM_UNIXTIME({until})"),
    );
    if time_zone == "+00:00" {
        assert_eq!(texts(analyst, &local).await, [[Some(known.clone())]]);
        let zoned = "SELECT MAX(CONVERT_TZ(createDate, 'UTC', 'Europe/Berlin')) IS NOT NULL FROM eventtracker.named_minutes WHERE tagName = 'web.requests'";
        assert_eq!(rows::<u8>(analyst, zoned).await, [1]);
    } else {
        let sentence = refusal(analyst, &local).await;
        let expected = format!("has no time zone, and that of this session is {time_zone}");
        assert!(sentence.contains(&expected), "{sentence}");
    }
}

/// Tools round numbers beyond 2^53, and half of all ids exceed even 2^63.
#[tokio::test(flavor = "multi_thread")]
async fn ids_come_as_text_and_names_beside_counts() {
    let mut filled = Filled::start().await;
    let mut analyst = filled.analyst().await;
    let ids: Vec<(String, u64, String)> = rows(
        &mut analyst,
        "SELECT tagName, eventId, eventIdText FROM eventtracker.event_tags",
    )
    .await;
    assert!(ids.iter().any(|(_, id, _)| *id > 1 << 63));
    for (name, id, text) in ids {
        assert_eq!((id, text), (EventId::of(&name).0, EventId::of(&name).to_string()));
    }
    // A whole name is found beside thousands that begin alike.
    let mut root = filled.servers.centre_root().connect().await.unwrap();
    root.query_drop(
        "INSERT INTO bigdata_0.EventTags SELECT CAST(CONV(LEFT(MD5(name), 16), 16, 10) AS UNSIGNED), name, 1 \
         FROM (SELECT CONCAT('web.requests.of.some.service.', seq) AS name FROM bigdata_0.seq_1_to_20000) AS names; \
         ANALYZE TABLE bigdata_0.EventTags",
    )
    .await
    .unwrap();
    let (from, until) = (TODAY_S - 5 * DAY_S, TODAY_S - 2 * DAY_S);
    let within = format!("unixDay >= {from} AND unixDay < {until}");
    for (condition, names) in [
        ("tagName = 'web.requests'", vec!["web.requests"]),
        (
            "tagName IN ('web.requests', 'shop.item.sold')",
            vec!["web.requests", "shop.item.sold"],
        ),
        ("tagName LIKE 'shop.item.s%'", vec!["shop.item.sold"]),
    ] {
        let known = filled.sum(|name| names.contains(&name), (from, until));
        for (view, sum) in [("named_minutes", "SUM(count)"), ("named_days", "SUM(total)")] {
            let sql = format!(
                "SELECT CAST({sum} AS UNSIGNED) FROM eventtracker.{view} WHERE {condition} AND {within}"
            );
            assert_eq!(rows::<u64>(&mut analyst, &sql).await, [known], "{sql}");
            let read = filled.rows_read(&mut analyst, &sql).await;
            let databases: BTreeSet<_> = read.keys().map(|(database, _)| database.clone()).collect();
            assert_eq!(databases, shards_of(&names), "{sql}");
        }
    }
    filled.servers.playground.stop().await;
}
