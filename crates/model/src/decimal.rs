//! Decimal numbers as text, read exactly: a number that an `f64` would round is taken as it stands.

/// Most digits before the point that a result may have: those of the largest u64, and of any i64 in milliseconds.
const DIGITS_MAX: usize = 20;

/// The whole number from 0 on that `text` writes in any way: `3`, `3.0`, `0.3e1`. `None` where it is not one, such as
/// `3.0000000000000001`, or does not fit.
#[must_use]
pub fn whole(text: &str) -> Option<u64> {
    let scaled = scaled(text, 0)?;
    (scaled.is_exact && (!scaled.is_negative || scaled.above == 0)).then_some(scaled.above)
}

/// The number that `text` writes in thousandths, rounded down: milliseconds for seconds. `None` where it is no number, or does not fit.
#[must_use]
pub fn thousandths(text: &str) -> Option<i64> {
    let scaled = scaled(text, 3)?;
    let above = i64::try_from(scaled.above).ok()?;
    if scaled.is_negative {
        above.checked_neg()?.checked_sub(i64::from(!scaled.is_exact))
    } else {
        Some(above)
    }
}

/// A number that was multiplied by a power of ten.
struct Scaled {
    is_negative: bool,
    /// The digits before the point, without the sign.
    above: u64,
    /// Whether nothing but zeros stands behind the point.
    is_exact: bool,
}

/// The number that `text` writes, times ten to the power of `places`.
fn scaled(text: &str, places: i32) -> Option<Scaled> {
    let (is_negative, number) = match text.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, text),
    };
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (number, 0),
    };
    let (before, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || before.bytes().chain(behind.bytes());
    if digits().next().is_none() || !digits().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let first = digits().position(|b| b != b'0');
    let Some(first) = first else {
        return Some(Scaled {
            is_negative,
            above: 0,
            is_exact: true,
        });
    };
    // The place of the point, counted from the first digit that is not 0.
    let point = i64::try_from(before.len()).ok()? - i64::try_from(first).ok()?
        + i64::from(exponent)
        + i64::from(places);
    let point = usize::try_from(point.max(0))
        .ok()
        .filter(|&point| point <= DIGITS_MAX)?;
    let significant = || digits().skip(first);
    let zeros = std::iter::repeat(b'0');
    let above = significant()
        .chain(zeros)
        .take(point)
        .try_fold(0_u64, |sum, digit| {
            sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })?;
    Some(Scaled {
        is_negative,
        above,
        is_exact: significant().skip(point).all(|b| b == b'0'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_numbers_in_all_their_forms() {
        for (text, number) in [
            ("3", 3),
            ("003", 3),
            ("3.0", 3),
            ("3.", 3),
            ("3e0", 3),
            ("0.3E1", 3),
            ("300e-2", 3),
            ("1e9", 1_000_000_000),
            ("1.5e+1", 15),
            ("-0.0", 0),
            ("0e999999", 0),
            ("18446744073709551615", u64::MAX),
            ("9007199254740993.0", 9_007_199_254_740_993),
        ] {
            assert_eq!(whole(text), Some(number), "{text}");
        }
        for text in [
            "3.0000000000000001",
            "0.99999999999999999999",
            "1e-30",
            "-1",
            "18446744073709551616",
            "1e20",
            "1e999999999999",
            "",
            ".",
            "-",
            "e1",
            "1e",
            "+1",
            "1,0",
            "0x1",
            "inf",
            "NaN",
        ] {
            assert_eq!(whole(text), None, "{text}");
        }
    }

    #[test]
    fn thousandths_are_never_rounded_up() {
        for (text, ms) in [
            ("1763787600", 1_763_787_600_000),
            ("1763787659.9999999999", 1_763_787_659_999),
            ("1.7637876E9", 1_763_787_600_000),
            ("0.0009", 0),
            ("-0.0001", -1),
            ("-1.5", -1_500),
        ] {
            assert_eq!(thousandths(text), Some(ms), "{text}");
        }
        for text in ["1e300", "99999999999999999999", "soon", "--1"] {
            assert_eq!(thousandths(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in any::<u64>(), zeros in 0_usize..5, shift in 0_u32..5) {
            let padded = format!("{}{number}.{}", "0".repeat(zeros), "0".repeat(zeros));
            prop_assert_eq!(whole(&padded), Some(number));
            let text = number.to_string();
            let (above, below) = text.split_at(text.len() / 2);
            prop_assert_eq!(whole(&format!("0{above}.{below}e{}", below.len())), Some(number));
            let small = number >> 32;
            prop_assert_eq!(whole(&format!("{small}{}e-{shift}", "0".repeat(usize::try_from(shift).unwrap()))), Some(small));
            prop_assert_eq!(thousandths(&small.to_string()), Some(i64::try_from(small).unwrap() * 1000));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eE]{0,30}") {
            let (whole, thousandths) = (whole(&text), thousandths(&text));
            if let (Some(whole), Some(thousandths)) = (whole, thousandths) {
                prop_assert_eq!(i64::try_from(whole).unwrap() * 1000, thousandths);
            }
        }
    }
}
