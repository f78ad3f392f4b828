//! Agreement of two independent clocks: whatever cannot be undone waits for it.

use std::collections::BTreeMap;

use store::RegionClock;

/// Most milliseconds that two clocks may be apart and still agree. Purging and retention are about hours and months; a clock that is off by
/// less is an alarm of its own.
const APART_MS_MAX: i64 = 600_000;

/// Whether a region's clock, `ahead_ms` ahead of the centre's when just compared, agrees with it.
pub(crate) fn agrees(ahead_ms: i64) -> bool {
    ahead_ms.saturating_abs() <= APART_MS_MAX
}

/// The reason why the centre's clock cannot be relied on: a region's clock says something else, or there is none to compare it with. `None`
/// where it can.
pub(crate) fn objection(clocks: &BTreeMap<String, RegionClock>) -> Option<String> {
    let apart = clocks
        .iter()
        .find_map(|(region, clock)| Some((region, clock.ahead_ms.filter(|&ms| !agrees(ms))?)));
    if let Some((region, ahead_ms)) = apart {
        return Some(apart_by(region, ahead_ms));
    }
    let is_compared = clocks.values().any(|clock| clock.ahead_ms.is_some());
    (!is_compared).then(|| "the centre's clock could not be compared with any region's lately".to_owned())
}

/// The sentence about a region whose clock does not agree.
pub(crate) fn apart_by(region: &str, ahead_ms: i64) -> String {
    let seconds = ahead_ms.saturating_abs() / 1000;
    let way = if ahead_ms > 0 { "behind" } else { "ahead of" };
    format!("the centre's clock is {seconds} s {way} that of region {region}: set the one that is wrong")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_clock_alone_is_not_relied_on() {
        let objection_to = |clocks: &[(&str, Option<i64>)]| {
            let clock = |ahead_ms| RegionClock {
                ahead_ms,
                ..RegionClock::default()
            };
            let clocks = clocks
                .iter()
                .map(|&(region, ahead_ms)| (region.to_owned(), clock(ahead_ms)));
            objection(&clocks.collect()).unwrap_or_default()
        };
        assert_eq!(objection_to(&[("eu", Some(90_000)), ("us", None)]), "");
        assert!(objection_to(&[]).contains("any region's lately"));
        assert!(objection_to(&[("eu", None)]).contains("any region's lately"));
        let day_ms = 86_400_000;
        let ahead = objection_to(&[("eu", Some(0)), ("us", Some(-400 * day_ms))]);
        assert!(
            ahead.starts_with("the centre's clock is 34560000 s ahead of that of region us"),
            "{ahead}"
        );
        assert!(objection_to(&[("eu", Some(day_ms))]).contains("86400 s behind"));
    }
}
