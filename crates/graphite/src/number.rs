//! Numbers, the values of series: integers stay exact as long as they can.

use std::cmp::Ordering;
use std::fmt;

/// A number. Counts, and their sums and products, are exact; a quotient that is not whole, or a number beyond 128 bits, is a float.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Exact(i128),
    Real(f64),
}

/// A value; `None` where it is not known.
pub(crate) type Point = Option<Number>;

use self::Number::{Exact, Real};

impl Number {
    pub(crate) const ZERO: Self = Exact(0);
    pub(crate) const ONE: Self = Exact(1);

    pub(crate) fn real(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "who asks for a float gets the nearest")]
            Exact(integer) => integer as f64,
            Real(real) => real,
        }
    }

    pub(crate) fn of(count: usize) -> Self {
        Exact(i128::try_from(count).unwrap_or(i128::MAX))
    }

    fn either(self, other: Self, exact: fn(i128, i128) -> Option<i128>, real: fn(f64, f64) -> f64) -> Self {
        if let (Exact(a), Exact(b)) = (self, other)
            && let Some(outcome) = exact(a, b)
        {
            return Exact(outcome);
        }
        Real(real(self.real(), other.real()))
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        self.either(other, i128::checked_add, |a, b| a + b)
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        self.either(other, i128::checked_sub, |a, b| a - b)
    }

    pub(crate) fn times(self, other: Self) -> Self {
        self.either(other, i128::checked_mul, |a, b| a * b)
    }

    /// The quotient; `None` where `other` is 0, as Graphite has it.
    pub(crate) fn over(self, other: Self) -> Point {
        if other.real() == 0.0 {
            return None;
        }
        Some(match (self, other) {
            (Exact(a), Exact(b)) if a.checked_rem(b) == Some(0) => Exact(a / b),
            _ => Real(self.real() / other.real()),
        })
    }

    pub(crate) fn magnitude(self) -> Self {
        match self {
            Exact(integer) => integer.checked_abs().map_or(Real(self.real().abs()), Exact),
            Real(real) => Real(real.abs()),
        }
    }

    /// The power; `None` where it is infinite or not a number at all.
    pub(crate) fn power(self, exponent: Self) -> Point {
        if let (Exact(base), Exact(exponent)) = (self, exponent)
            && let Some(power) = u32::try_from(exponent).ok().and_then(|e| base.checked_pow(e))
        {
            return Some(Exact(power));
        }
        let power = self.real().powf(exponent.real());
        power.is_finite().then_some(Real(power))
    }

    /// The number rounded half to even at so many decimal places, as Python does.
    pub(crate) fn rounded(self, places: i32) -> Self {
        match self {
            Exact(integer) if places >= 0 => Exact(integer),
            _ => {
                let factor = 10f64.powi(places);
                let rounded = (self.real() * factor).round_ties_even() / factor;
                if rounded.is_finite() { Real(rounded) } else { self }
            }
        }
    }

    /// The order by size, exactly; a total one, as sorting needs.
    pub(crate) fn order(self, other: Self) -> Ordering {
        if let (Exact(a), Exact(b)) = (self, other) {
            return a.cmp(&b);
        }
        // There is one zero.
        let floats = (self.real() + 0.0).total_cmp(&(other.real() + 0.0));
        floats.then_with(|| self.whole().cmp(&other.whole()))
    }

    /// The number without its fraction.
    fn whole(self) -> i128 {
        match self {
            Exact(integer) => integer,
            #[expect(
                clippy::cast_possible_truncation,
                reason = "saturates, and the fraction is to go"
            )]
            Real(real) => real as i128,
        }
    }

    pub(crate) fn is_above(self, other: Self) -> bool {
        self.order(other).is_gt()
    }

    pub(crate) fn is_below(self, other: Self) -> bool {
        self.order(other).is_lt()
    }

    /// Writes the number as JSON, or null where JSON has no number for it.
    pub(crate) fn write_json(self, text: &mut String) {
        match self {
            Exact(integer) => text.push_str(itoa::Buffer::new().format(integer)),
            Real(real) => text.push_str(&serde_json::json!(real).to_string()),
        }
    }
}

/// The number as Python's `str` writes a float, which Graphite takes some parameters for.
pub(crate) fn float_text(number: Number) -> String {
    Real(number.real()).to_string()
}

/// The number as Python's `str` writes it.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exact(integer) => integer.fmt(f),
            Real(real) => write!(f, "{real:?}"),
        }
    }
}

/// The number as C's `%g` writes it, with which Graphite writes numbers in names: six digits, without trailing zeros.
pub(crate) fn general(number: Number) -> String {
    let value = number.real();
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let scientific = format!("{value:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |digits: &str| match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits.to_owned(),
    };
    if (-4..6).contains(&exponent) {
        let places = usize::try_from(5 - exponent).unwrap_or(0);
        trimmed(&format!("{value:.places$}"))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_stay_exact_until_they_do_not_fit() {
        let large = Exact((1 << 53) + 1);
        assert_eq!(large.plus(Number::ONE), Exact((1 << 53) + 2));
        assert_eq!(large.times(Exact(1_000)), Exact(((1 << 53) + 1) * 1_000));
        assert_eq!(Exact(i128::MAX).plus(Number::ONE), Real(Exact(i128::MAX).real()));
        assert_eq!(large.over(Number::ONE), Some(large));
        assert_eq!(Exact(1).over(Exact(2)), Some(Real(0.5)));
        assert_eq!(Exact(1).over(Number::ZERO), None);
        assert_eq!(Exact(3).power(Exact(2)), Some(Exact(9)));
        assert_eq!(Exact(0).power(Exact(-1)), None);
    }

    #[test]
    fn numbers_are_written_as_graphite_writes_them() {
        for (number, shown) in [
            (Exact(2), "2"),
            (Real(0.1), "0.1"),
            (Real(1.0 / 3.0), "0.333333"),
            (Real(1e6), "1e+06"),
            (Real(123_456.7), "123457"),
            (Real(-2.5e-7), "-2.5e-07"),
            (Real(100.0), "100"),
            (Exact(0), "0"),
            (Real(f64::INFINITY), "inf"),
        ] {
            assert_eq!(general(number), shown);
        }
    }

    #[test]
    fn the_order_is_total() {
        let (large, larger) = (Exact(1 << 53), Exact((1 << 53) + 1));
        assert_eq!(large.order(Real(large.real())), Ordering::Equal);
        assert_eq!(larger.order(Real(large.real())), Ordering::Greater);
        assert_eq!(Real(-0.0).order(Exact(0)), Ordering::Equal);
        assert!(Real(0.5).is_above(Exact(0)) && Real(f64::NEG_INFINITY).is_below(Exact(i128::MIN)));
    }

    #[test]
    fn json_has_no_infinity() {
        let json = |number: Number| {
            let mut text = String::new();
            number.write_json(&mut text);
            text
        };
        assert_eq!(json(Exact(9_007_199_254_740_993)), "9007199254740993");
        assert_eq!(json(Real(5.0)), "5.0");
        assert_eq!(json(Real(f64::NAN)), "null");
        assert_eq!(json(Real(f64::INFINITY)), "null");
    }
}
