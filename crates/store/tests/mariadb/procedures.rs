//! The procedures for analysts give what was counted, and refuse with a sentence what they cannot give.

use std::collections::{BTreeMap, BTreeSet};

use model::{EventId, Glob};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::filled::{
    DAY_S, Filled, HOUR_S, NOW_S, TODAY_S, close, datetime, ratio, refusal, rows, shards_of, texts,
};

/// Rows as [`texts`] gives them: what leads each row, then a value for each bucket, 0 where nothing is known.
fn listed(
    lead: Option<&str>,
    (from, until): (u64, u64),
    width_s: u64,
    known: &BTreeMap<u64, u64>,
) -> Vec<Vec<Option<String>>> {
    (from..until)
        .step_by(usize::try_from(width_s).unwrap())
        .map(|bucket| {
            let has_begun = bucket <= NOW_S;
            let value = known.get(&bucket).copied().or(has_begun.then_some(0));
            let lead = lead.map(|lead| Some(lead.to_owned()));
            let value = value.map(|value| value.to_string());
            lead.into_iter().chain([Some(datetime(bucket)), value]).collect()
        })
        .collect()
}

fn call(procedure: &str, names: &[&str], (from, until): (u64, u64), last: &str) -> String {
    let names: String = names.iter().map(|name| format!("'{name}', ")).collect();
    format!(
        "CALL eventtracker.{procedure}({names}'{}Z', '{}Z'{last})",
        datetime(from),
        datetime(until)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn procedures_give_what_was_counted() {
    let mut filled = Filled::start().await;
    let mut analyst = filled.analyst().await;
    rows::<u8>(&mut analyst, "SET time_zone = '+05:00'").await;
    series_of_names(&filled, &mut analyst).await;
    weeks_and_months(&filled, &mut analyst).await;
    ratios(&filled, &mut analyst).await;
    sums(&filled, &mut analyst).await;
    patterns(&filled, &mut analyst).await;
    slashes(&filled, &mut analyst).await;
    refusals(&mut analyst).await;
    a_pattern_that_cannot_be_matched(&filled, &mut analyst).await;
    filled.servers.playground.stop().await;
}

async fn series_of_names(filled: &Filled, analyst: &mut Conn) {
    // From within a packed day into the day that is yet to end, widened to whole hours.
    let asked = (TODAY_S - 3 * DAY_S + 100, TODAY_S + 9 * HOUR_S - 100);
    let whole = (TODAY_S - 3 * DAY_S, TODAY_S + 9 * HOUR_S);
    for (step, width_s) in [("1m", 60), ("5m", 300), ("15m", 900), ("1h", HOUR_S)] {
        let widened = (asked.0 - asked.0 % width_s, asked.1.next_multiple_of(width_s));
        let known = filled.buckets(|name| name == "web.requests", widened, width_s);
        let shown = texts(
            analyst,
            &call("series", &["web.requests"], asked, &format!(", '{step}'")),
        )
        .await;
        assert!(
            shown == listed(Some("web.requests"), widened, width_s, &known),
            "{step}"
        );
    }
    let known = |name: &str| filled.buckets(|n| n == name, whole, 6 * HOUR_S);
    for names in [
        "shop.item.sold,web.requests",
        "web.requests,shop.item.sold",
        "shop.item.s*d,web.requests",
    ] {
        let shown = texts(analyst, &call("series", &[names], asked, ", '6h'")).await;
        let until = TODAY_S + 12 * HOUR_S;
        let expected: Vec<_> = ["shop.item.sold", "web.requests"]
            .iter()
            .flat_map(|name| listed(Some(name), (whole.0, until), 6 * HOUR_S, &known(name)))
            .collect();
        assert_eq!(shown, expected, "{names}");
    }

    // One name's series reads one name's shard, and of it only the days that are asked for.
    let read = filled
        .rows_read(analyst, &call("series", &["web.requests"], asked, ", '1h'"))
        .await;
    let databases: BTreeSet<_> = read.keys().map(|(database, _)| database.clone()).collect();
    assert_eq!(databases, shards_of(&["web.requests"]));
    let days: u64 = read
        .iter()
        .filter(|((_, table), _)| table == "EventDay")
        .map(|(_, rows)| rows)
        .sum();
    assert!(days <= 3, "{read:?}");
}

async fn weeks_and_months(filled: &Filled, analyst: &mut Conn) {
    // Weeks begin on Monday: 2025-10-13 is one. Months have their own lengths.
    let monday = TODAY_S - 40 * DAY_S;
    let weeks = filled.buckets(|name| name == "web.requests", (monday, NOW_S), 60);
    let mut by_week = BTreeMap::new();
    for (minute, count) in weeks {
        *by_week
            .entry(minute - (minute - monday) % (7 * DAY_S))
            .or_default() += count;
    }
    let shown = texts(
        analyst,
        &call("series", &["web.requests"], (monday + 9, NOW_S), ", '1w'"),
    )
    .await;
    assert_eq!(
        shown,
        listed(Some("web.requests"), (monday, NOW_S), 7 * DAY_S, &by_week)
    );
    let november = TODAY_S - 21 * DAY_S;
    let days = texts(
        analyst,
        &call("series", &["web.requests"], (november - DAY_S, NOW_S), ", '1mo'"),
    )
    .await;
    let months = [(0, november), (november, NOW_S)]
        .map(|period| filled.sum(|name| name == "web.requests", period).to_string());
    let shown: Vec<_> = days
        .iter()
        .map(|row| (row[1].clone().unwrap(), row[2].clone().unwrap()))
        .collect();
    let starts = [datetime(november - 31 * DAY_S), datetime(november)];
    assert_eq!(shown, starts.into_iter().zip(months).collect::<Vec<_>>());
}

async fn ratios(filled: &Filled, analyst: &mut Conn) {
    let period = (TODAY_S - 4 * DAY_S, TODAY_S);
    let hours = |wanted: &dyn Fn(&str) -> bool| filled.buckets(wanted, period, HOUR_S);
    let (failed, requests) = (hours(&|n| n == "web.status.500"), hours(&|n| n == "web.requests"));
    let of_shop = hours(&|name| name.starts_with("shop."));
    let sold = hours(&|n| n == "shop.item.sold");
    for asked in ["web.status.500/web.requests", "web.status.500 / web.requests"] {
        let shown = texts(analyst, &call("series", &[asked], period, ", '1h'")).await;
        assert_eq!(shown.len(), 96);
        for row in shown {
            let bucket = (period.0..period.1)
                .step_by(3600)
                .find(|&b| Some(datetime(b)) == row[1])
                .unwrap();
            let known = ratio(failed.get(&bucket), requests.get(&bucket));
            assert!(close(row[2].as_ref(), known), "{row:?} {known:?}");
            assert_eq!(row[0].as_deref(), Some(asked));
        }
    }
    let asked = ["shop.item.sold/shop.**", "web.requests"];
    let shown = texts(analyst, &call("side_by_side", &asked, period, ", '1h'")).await;
    assert_eq!(shown.len(), 96);
    for row in shown {
        let bucket = (period.0..period.1)
            .step_by(3600)
            .find(|&b| Some(datetime(b)) == row[0])
            .unwrap();
        let share = ratio(sold.get(&bucket), of_shop.get(&bucket));
        assert!(close(row[1].as_ref(), share), "{row:?} {share:?}");
        let requests = requests.get(&bucket).copied().unwrap_or(0);
        assert_eq!(row[2], Some(requests.to_string()));
    }
    // The two hours without a request: a ratio over nothing is NULL, a name's count 0.
    let pause = (
        TODAY_S - 3 * DAY_S + 10 * HOUR_S,
        TODAY_S - 3 * DAY_S + 12 * HOUR_S,
    );
    let shown = texts(
        analyst,
        &call(
            "side_by_side",
            &["shop.item.sold/web.requests", "web.requests"],
            pause,
            ", '1h'",
        ),
    )
    .await;
    assert!(
        shown
            .iter()
            .all(|row| row[1].is_none() && row[2].as_deref() == Some("0")),
        "{shown:?}"
    );
}

type Predicate = fn(&str) -> bool;

async fn sums(filled: &Filled, analyst: &mut Conn) {
    let periods = [
        (TODAY_S - 30 * DAY_S, TODAY_S),
        (TODAY_S - 30 * DAY_S + 60, NOW_S - 60),
        (TODAY_S - 5 * DAY_S + 3 * HOUR_S, TODAY_S - 5 * DAY_S + 4 * HOUR_S),
        (TODAY_S - 5 * DAY_S + 23 * HOUR_S, TODAY_S - 4 * DAY_S + HOUR_S),
        (TODAY_S - 5 * DAY_S + 23 * HOUR_S, TODAY_S - 4 * DAY_S),
    ];
    for period in periods {
        let shown = texts(analyst, &call("total", &["shop.**"], period, "")).await;
        let known = filled.sum(|name| name.starts_with("shop."), period);
        assert_eq!(shown, [[Some(known.to_string())]], "{period:?}");
        let shown: Vec<(String, u64)> = rows(analyst, &call("top_names", &[], period, ", 5")).await;
        assert_eq!(shown, filled.top(period, 5), "{period:?}");
    }
    // * stays within a part, ** does not, ? is one character; upper and lower case differ.
    let period = periods[0];
    let globs: [(&str, Option<Predicate>); 6] = [
        ("shop.*", None),
        ("shop.*.sold", Some(|name| name == "shop.item.sold")),
        ("**.sold", Some(|name| name.ends_with(".sold"))),
        (
            "web.page.p?.views",
            Some(|name| name.starts_with("web.page.p") && name.len() == 17),
        ),
        ("WEB.**", None),
        ("shop_item.*", None),
    ];
    for (pattern, wanted) in globs {
        let sql = call("total", &[pattern], period, "");
        if let Some(wanted) = wanted {
            let known = filled.sum(wanted, period).to_string();
            assert_eq!(texts(analyst, &sql).await, [[Some(known)]], "{pattern}");
        } else {
            assert!(
                refusal(analyst, &sql).await.contains("matches no name"),
                "{pattern}"
            );
        }
    }
}

/// A slash divides where it is not part of a name.
async fn slashes(filled: &Filled, analyst: &mut Conn) {
    let names = ["a/b", "a", "b", "c/d", "c", "d/e", "e"];
    let mut root = filled.servers.centre_root().connect().await.unwrap();
    for (name, count) in names.iter().zip([1_000, 20, 5, 300, 70, 6, 4]) {
        let id = model::EventId::of(name);
        let shard = model::Shard::of(id);
        let insert = format!(
            "INSERT INTO bigdata_0.EventTags VALUES ({id}, '{name}', 1); INSERT INTO {shard}.EventMinute VALUES ({id}, '{}', {count})",
            datetime(NOW_S)
        );
        root.query_drop(insert).await.unwrap();
    }
    for (asked, known) in [
        ("a/b", "1000"),      // is a name
        ("a / b", "4"),       // with blanks, always a ratio
        ("a/b/b", "200"),     // a/b by b: there is no b/b
        ("c/d/e", "refused"), // c/d by e, or c by d/e
        ("c/d / e", "75"),
        ("c / d/e", "11.666666666666666"),
        ("a/b,b", "1005"),
        ("a / b,b", "refused"),
        ("a/", "refused"),
        ("/b", "refused"),
        (" / b", "refused"),
    ] {
        let sql = call("total", &[asked], (NOW_S, NOW_S + 60), "");
        if known == "refused" {
            let refusal = refusal(analyst, &sql).await;
            assert!(
                refusal.contains(asked.trim()) || refusal.contains("no name or pattern"),
                "{asked}: {refusal}"
            );
        } else {
            assert_eq!(texts(analyst, &sql).await, [[Some(known.to_owned())]], "{asked}");
        }
    }
}

/// A pattern's rule lives in `model::Glob`; the procedures have it once more.
async fn patterns(filled: &Filled, analyst: &mut Conn) {
    let parts = ["*", "**", "?", ".", "s", "op", "shop", "web"];
    let three = parts.iter().flat_map(|a| {
        let two = parts
            .iter()
            .flat_map(move |b| parts.map(|c| format!("{a}{b}{c}")));
        two.collect::<Vec<_>>()
    });
    let mut matching = 0;
    for pattern in three.chain(["**.*".to_owned(), "*.?*.**".to_owned()]) {
        let glob = Glob::new(&pattern).unwrap();
        let mut matcher = glob.matcher();
        let matched = filled.names.keys().filter(|name| matcher.matches(name));
        let expected: BTreeSet<u64> = matched.map(|name| EventId::of(name).0).collect();
        rows::<u8>(
            analyst,
            &format!("CALL eventtracker.find_names('{pattern}', @ids)"),
        )
        .await;
        let found = texts(analyst, "SELECT @ids")
            .await
            .remove(0)
            .remove(0)
            .unwrap_or_default();
        let ids = found.split(',').filter(|id| !id.is_empty());
        let found: BTreeSet<u64> = ids.map(|id| id.parse().unwrap()).collect();
        assert_eq!(found, expected, "{pattern}");
        matching += usize::from(!expected.is_empty());
    }
    assert!(matching > 20, "{matching}");
}

async fn refusals(analyst: &mut Conn) {
    let day = (TODAY_S - DAY_S, TODAY_S);
    let year = (TODAY_S - 365 * DAY_S, TODAY_S);
    for (sql, sentence) in [
        (
            call("series", &["web.requests"], day, ", '2h'"),
            "'2h' is no step: take one of 1m 5m 15m 1h 6h 1d 1w 1mo",
        ),
        (
            call("series", &["web.requests"], (TODAY_S, TODAY_S), ", '1h'"),
            "is empty",
        ),
        (
            call("total", &["web.requests"], (TODAY_S, TODAY_S - 60), ""),
            "is empty",
        ),
        (call("top_names", &[], (TODAY_S, TODAY_S - 60), ", 3"), "is empty"),
        (
            call("top_names", &[], day, ", 0"),
            "0 names cannot be listed: ask for 1 to 10000",
        ),
        (call("top_names", &[], day, ", 10001"), "ask for 1 to 10000"),
        (
            call("series", &["web.requests"], year, ", '1m'"),
            "525600 buckets of 1 series are more than 100000 rows",
        ),
        (
            call("series", &["shop.**"], year, ", '1h'"),
            "are more than 100000 rows",
        ),
        (
            call("series", &["**,**"], day, ", '1d'"),
            "matches more than 499 names",
        ),
        (
            call("series", &["web.request"], day, ", '1d'"),
            "'web.request' or a part of it matches no name",
        ),
        (
            call("series", &["web.requests,"], day, ", '1d'"),
            "or a part of it matches no name",
        ),
        (
            call("series", &["web.requests'' OR ''1''=''1"], day, ", '1d'"),
            "is no name or pattern",
        ),
        (
            call("series", &["web.[a-z]*"], day, ", '1d'"),
            "is no name or pattern",
        ),
        (call("series", &["é"], day, ", '1d'"), "'é' is no name or pattern"),
        (call("series", &[""], day, ", '1d'"), "is no name or pattern"),
        (
            "CALL eventtracker.series(NULL, '2025-11-01', '2025-11-02', '1d')".to_owned(),
            "'NULL' is no name or pattern",
        ),
        (
            "CALL eventtracker.series('web.requests', NULL, '2025-11-02', '1d')".to_owned(),
            "from NULL until",
        ),
        (
            "CALL eventtracker.series('web.requests', '2025-11-01', '2025-11-02', NULL)".to_owned(),
            "'NULL' is no step",
        ),
    ] {
        let refusal = refusal(analyst, &sql).await;
        assert!(refusal.contains(sentence), "{sql}: {refusal}");
    }
}

/// The server gives up on a pattern that can match in too many ways: that is not the same as no match.
async fn a_pattern_that_cannot_be_matched(filled: &Filled, analyst: &mut Conn) {
    let mut root = filled.servers.centre_root().connect().await.unwrap();
    let name = format!("{}.ba", "a".repeat(250));
    let insert = format!(
        "INSERT INTO bigdata_0.EventTags VALUES ({}, '{name}', 1)",
        model::EventId::of(&name)
    );
    root.query_drop(insert).await.unwrap();
    let pattern = format!("**{}.b", "a**".repeat(8));
    let sql = call("total", &[&pattern], (TODAY_S - DAY_S, TODAY_S), "");
    assert!(
        refusal(analyst, &sql)
            .await
            .contains("has too many wildcards to be matched")
    );
}
