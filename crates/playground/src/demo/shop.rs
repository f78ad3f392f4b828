//! The events of a shop that does not exist: a pure function of region and second, chance included.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const DAY_S: i64 = 86_400;

/// Seconds that an incident lasts: a bad release, now and then.
const INCIDENT_S: i64 = 7 * 60;

/// Seconds from one incident to the next.
const INCIDENT_EVERY_S: i64 = 59_900;

/// Mean price of an item, in euros.
const PRICE_MEAN: u64 = 37;

/// Counts by event name.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// One region's shop: how much it can serve, and how far its clocks are from UTC.
#[derive(Debug, Clone)]
pub(crate) struct Shop {
    /// Requests per second at a load of 1.
    capacity: f64,
    utc_offset_s: i64,
    seed: u64,
}

impl Shop {
    /// The shop of region `number`, counted from 1: the first is European, the second larger and American.
    pub(crate) fn of_region(number: u32) -> Self {
        let (capacity, utc_offset_h) = match number {
            1 => (180.0, 1),
            2 => (260.0, -6),
            _ => (90.0, (i64::from(number) * 5) % 24 - 12),
        };
        Self {
            capacity,
            utc_offset_s: utc_offset_h * 3600,
            seed: u64::from(number) << 40,
        }
    }

    /// The events of the second that begins at `unix_s`.
    pub(crate) fn second(&self, unix_s: i64) -> Counts {
        let mut chance = Chance(StdRng::seed_from_u64(unix_s.unsigned_abs() ^ self.seed));
        let load = (self.expected_load(unix_s) + 0.02 * chance.gauss()).max(0.01);
        let incident = unix_s
            .saturating_add(self.utc_offset_s)
            .rem_euclid(INCIDENT_EVERY_S)
            < INCIDENT_S;
        // Errors grow when the servers have more to do than they can.
        let overload = (load - 0.8).max(0.0);
        let error_share = if incident {
            0.03
        } else {
            0.0005 + 0.05 * overload * overload
        };
        let requests = chance.count(self.capacity * load);
        let failed = chance.share(requests, error_share);
        let not_found = chance.share(requests, 0.012);
        let served = requests.saturating_sub(failed + not_found);
        let sold = chance.count(self.capacity / 110.0 * load * if incident { 0.4 } else { 1.0 });
        let abandoned = chance.count(self.capacity / 70.0 * load);
        let latency_ms = 35.0 + 60.0 * load * load + if incident { 180.0 } else { 0.0 };
        Counts::from([
            ("web.request.count", requests),
            ("web.status.200", served),
            ("web.status.404", not_found),
            ("web.status.500", failed),
            ("web.load", chance.round(load * 100.0)),
            ("web.load.samples", 1),
            ("web.latency_ms", chance.count(latency_ms)),
            ("web.latency_ms.samples", 1),
            ("shop.page.view", chance.share(served, 0.35)),
            ("shop.search.count", chance.share(served, 0.06)),
            ("shop.cart.added", sold + abandoned),
            ("shop.cart.abandoned", abandoned),
            ("shop.item.sold", sold),
            (
                "shop.revenue.eur",
                sold * PRICE_MEAN + chance.share(sold * 20, 0.5),
            ),
            ("shop.error.500", failed),
        ])
    }

    /// The sum of `seconds`, in unix seconds, without names that did not happen: a count of 0 is no event.
    pub(crate) fn sum(&self, seconds: std::ops::Range<i64>) -> Counts {
        let mut sum = Counts::new();
        for (name, count) in seconds.flat_map(|second| self.second(second)) {
            *sum.entry(name).or_default() += count;
        }
        sum.retain(|_, count| *count > 0);
        sum
    }

    /// The load to be expected at a time: busiest at eight in the evening, with a bump at lunch, quiet before dawn, and ripples of a few
    /// minutes.
    fn expected_load(&self, unix_s: i64) -> f64 {
        let local_s = unix_s.saturating_add(self.utc_offset_s);
        let hour = remainder(local_s, DAY_S) / 3600.0;
        let evening = (0.5 + 0.5 * ((hour - 20.0) * TAU / 24.0).cos()).powf(1.5);
        let lunch = 0.18 * (-((hour - 12.5) / 1.2).powi(2)).exp();
        let ripple = 0.06 * (remainder(local_s, 1_260) * TAU / 1_260.0).sin()
            + 0.04 * (remainder(local_s, 433) * TAU / 433.0).sin();
        0.12 + 0.72 * (evening + lunch) * (1.0 + ripple)
    }
}

/// Remainder as a float, exact because it is small.
fn remainder(value: i64, modulus: i64) -> f64 {
    i32::try_from(value.rem_euclid(modulus)).map_or(0.0, f64::from)
}

/// Random numbers, which are the same for the same seed.
struct Chance(StdRng);

impl Chance {
    /// A number that is close enough to a standard normal: the sum of twelve uniform ones, centred (Irwin–Hall).
    fn gauss(&mut self) -> f64 {
        (0..12).map(|_| self.0.random::<f64>()).sum::<f64>() - 6.0
    }

    /// A count that scatters around `mean` as independent events do.
    fn count(&mut self, mean: f64) -> u64 {
        let scatter = if mean > 8.0 {
            mean.sqrt() * self.gauss()
        } else {
            0.0
        };
        self.round(mean + scatter)
    }

    /// A count that is about this share `of` another one, and no more than that.
    fn share(&mut self, of: u64, share: f64) -> u64 {
        let whole = u32::try_from(of).unwrap_or(u32::MAX);
        self.count(f64::from(whole) * share).min(of)
    }

    /// A whole number: rounded up as often as the fraction says, so that small means are met, too.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 0, and far below 2^53"
    )]
    fn round(&mut self, value: f64) -> u64 {
        (value + self.0.random::<f64>()).floor().max(0.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Midnight UTC of 22 November 2025.
    const MIDNIGHT: i64 = 1_763_769_600;

    fn sold(shop: &Shop, hour_utc: i64) -> u64 {
        let begin = MIDNIGHT + hour_utc * 3600;
        shop.sum(begin..begin + 3600)["shop.item.sold"]
    }

    #[test]
    fn the_same_second_is_always_the_same() {
        let shop = Shop::of_region(1);
        assert_eq!(shop.second(MIDNIGHT), shop.second(MIDNIGHT));
        assert_ne!(shop.second(MIDNIGHT), Shop::of_region(2).second(MIDNIGHT));
    }

    #[test]
    fn evenings_are_busy_and_differ_between_regions() {
        let (eu, us) = (Shop::of_region(1), Shop::of_region(2));
        assert!(
            sold(&eu, 19) > 3 * sold(&eu, 3),
            "{} {}",
            sold(&eu, 19),
            sold(&eu, 3)
        );
        assert!(
            sold(&us, 2) > 3 * sold(&us, 13),
            "{} {}",
            sold(&us, 2),
            sold(&us, 13)
        );
    }

    #[test]
    fn load_drives_sales() {
        let shop = Shop::of_region(1);
        let minutes = (0..1440).map(|minute| shop.sum(MIDNIGHT + minute * 60..MIDNIGHT + minute * 60 + 60));
        let pairs: Vec<(f64, f64)> = minutes
            .map(|m| {
                let of = |name| m.get(name).map_or(0.0, |&n| f64::from(u32::try_from(n).unwrap()));
                (of("web.load") / of("web.load.samples"), of("shop.item.sold"))
            })
            .collect();
        let mean = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>() / 1440.0;
        let (x, y) = (mean(&|p| p.0), mean(&|p| p.1));
        let covariance = mean(&|p| (p.0 - x) * (p.1 - y));
        let correlation = covariance / (mean(&|p| (p.0 - x).powi(2)) * mean(&|p| (p.1 - y).powi(2))).sqrt();
        assert!(correlation > 0.9, "{correlation}");
    }

    #[test]
    fn parts_do_not_exceed_the_whole() {
        let counts = Shop::of_region(2).sum(MIDNIGHT..MIDNIGHT + 60);
        let statuses: u64 = ["web.status.200", "web.status.404", "web.status.500"]
            .iter()
            .filter_map(|&name| counts.get(name))
            .sum();
        assert_eq!(statuses, counts["web.request.count"]);
        assert_eq!(counts["web.load.samples"], 60);
    }
}
