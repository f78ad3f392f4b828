//! The counts that graphite-web and ours render in tests, by name: how many seconds after the first minute of today's, and how many.

use std::collections::BTreeMap;

const DAY_S: i64 = 86_400;

/// Minutes with counts, around a midnight: from half past nine until half past twelve.
const MINUTES: i64 = 180;

/// Where the midnight is.
pub(crate) const MIDNIGHT_S: i64 = 150 * 60;

type Counts = BTreeMap<&'static str, Vec<(i64, u64)>>;

/// What is not there is 0.
pub(crate) fn counts() -> Counts {
    let mut counts = Counts::new();
    let mut add = |name, days_ago: i64, count: fn(i64) -> Option<u64>| {
        let of_minute = (0..MINUTES).filter_map(|m| Some((60 * m - days_ago * DAY_S, count(m)?)));
        let counted = of_minute.filter(|(_, count)| *count > 0);
        counts.entry(name).or_default().extend(counted);
    };
    for days_ago in [7, 1, 0] {
        add("shop.item.sold", days_ago, |m| Some(20 + wave(m, 3) % 23));
        add("shop.cart.paid", days_ago, |m| Some(wave(m, 5) % 5));
    }
    add("shop.item.rare", 0, |m| spike(m, 59, 4));
    add("shop.cart.added", 0, |m| Some(2 + wave(m, 11) % 9));
    add("shop.cart.removed", 0, |m| Some(wave(m, 13) % 3));
    add("web.status.200", 0, |m| Some(100 + wave(m, 17) % 97));
    add("web.status.404", 0, |m| Some(wave(m, 19) % 11));
    add("web.status.500", 0, |m| (m > 60).then(|| wave(m, 23) % 2));
    add("web.load", 0, |m| Some(73 * (wave(m, 29) % 7)));
    add("web.load.samples", 0, |m| Some(wave(m, 29) % 4));
    add("hosts.a.requests", 0, |m| Some(10 + wave(m, 31) % 40));
    add("hosts.b.requests", 0, |m| Some(5 + wave(m, 37) % 7));
    add("hosts.c.requests", 0, |m| spike(m, 30, 90));
    // Stops after an hour and a half.
    add("hosts.d.requests", 0, |m| (m < 90).then(|| 8 + wave(m, 41) % 30));
    add("hosts.a.errors", 0, |m| Some(wave(m, 43) % 4));
    add("hosts.b.errors", 0, |m| Some(wave(m, 47) % 2));
    add("hosts.c.errors", 0, |m| spike(m, 60, 3));
    add("hosts.d.errors", 0, |m| spike(m, 45, 2));
    for name in [
        "odd.a-b_c",
        "odd.a+b",
        "odd.x@y",
        "odd.50%",
        "odd.#1",
        "odd.a:b",
        "odd.a~b",
        "odd.k=v",
    ] {
        add(name, 0, |m| Some(wave(m, 53) % 6));
    }
    // Counted once, days ago.
    add("quiet.name", 5, |m| (m == 0).then_some(7));
    // What the pipeline's tests mark its end by, years ago.
    add("test.mark.eu", 0, |_| None);
    counts
}

/// A number that looks irregular and is the same in each run.
fn wave(minute: i64, salt: i64) -> u64 {
    let mixed = (minute + 1) * (minute + salt) * 7 + minute * salt + (minute / 7) * 13;
    mixed.unsigned_abs() / 3
}

fn spike(minute: i64, every: i64, height: u64) -> Option<u64> {
    (minute % every == every / 2).then_some(height)
}
