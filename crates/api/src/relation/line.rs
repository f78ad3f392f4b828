//! Pearson's correlation and the least-squares line over pairs that come one by one.

use super::Value;

/// The line through all pairs so far: Welford's running means and sums of squares (Technometrics 4, 1962), for two variables. They are
/// taken of the differences from the first pair, which are exact for sums: counts around 2^60 that differ by a few keep what makes
/// them differ.
#[derive(Debug, Default)]
pub(crate) struct Line {
    first: Option<(Value, Value)>,
    n: f64,
    mean_x: f64,
    mean_y: f64,
    squares_x: f64,
    squares_y: f64,
    products: f64,
}

/// Correlation and line. Both are `None` where they are not defined: less than two pairs, or no variance of x. Without variance of y
/// there is a line, but no correlation.
#[derive(Debug, PartialEq)]
pub(crate) struct Fitted {
    pub(crate) correlation: Option<f64>,
    /// Slope and intercept.
    pub(crate) fit: Option<(f64, f64)>,
}

impl Line {
    /// Takes one more pair.
    pub(crate) fn add(&mut self, x: Value, y: Value) {
        let (first_x, first_y) = *self.first.get_or_insert((x, y));
        let (x, y) = (difference(x, first_x), difference(y, first_y));
        self.n += 1.0;
        let (from_x, from_y) = (x - self.mean_x, y - self.mean_y);
        self.mean_x += from_x / self.n;
        self.mean_y += from_y / self.n;
        // One factor with the mean before this pair, the other with the mean after it: that is Welford's recurrence.
        self.squares_x += from_x * (x - self.mean_x);
        self.squares_y += from_y * (y - self.mean_y);
        self.products += from_x * (y - self.mean_y);
    }

    /// Correlation and line of the pairs so far.
    pub(crate) fn fitted(&self) -> Fitted {
        // Without variance of x all differences are 0, and so is their sum of squares, exactly.
        let (Some((first_x, first_y)), true) = (self.first, self.squares_x > 0.0) else {
            return Fitted {
                correlation: None,
                fit: None,
            };
        };
        let slope = self.products / self.squares_x;
        let correlation = (self.squares_y > 0.0)
            .then(|| (self.products / (self.squares_x.sqrt() * self.squares_y.sqrt())).clamp(-1.0, 1.0));
        let intercept = (whole(first_y) - slope * whole(first_x)) + (self.mean_y - slope * self.mean_x);
        Fitted {
            correlation,
            fit: Some((slope, intercept)),
        }
    }
}

/// `value` less `first`. Sums are subtracted as integers: as floats, large ones would lose their difference.
fn difference(value: Value, first: Value) -> f64 {
    match (value, first) {
        (Value::Sum(sum), Value::Sum(first)) if sum < first => -float(first - sum),
        (Value::Sum(sum), Value::Sum(first)) => float(sum - first),
        _ => whole(value) - whole(first),
    }
}

/// The value itself, as near as a float comes to it.
fn whole(value: Value) -> f64 {
    match value {
        Value::Sum(sum) => float(sum),
        Value::Ratio(ratio) => ratio,
    }
}

/// The float nearest to a sum.
pub(super) fn float(sum: u128) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio and a line are as exact as f64 is"
    )]
    let float = sum as f64;
    float
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fitted(pairs: &[(u128, u128)]) -> Fitted {
        let mut line = Line::default();
        for &(x, y) in pairs {
            line.add(Value::Sum(x), Value::Sum(y));
        }
        line.fitted()
    }

    #[test]
    fn a_line_is_found() {
        let mut line = Line::default();
        for n in 1..=60_u32 {
            line.add(Value::Ratio(f64::from(n) / 100.0), Value::Sum(u128::from(n)));
        }
        let Fitted { correlation, fit } = line.fitted();
        let (slope, intercept) = fit.unwrap();
        assert!((correlation.unwrap() - 1.0).abs() < 1e-12);
        assert!(
            (slope - 100.0).abs() < 1e-9 && intercept.abs() < 1e-9,
            "{slope} {intercept}"
        );
        assert_eq!(fitted(&[(0, 5), (1, 3)]).fit, Some((-2.0, 5.0)));
    }

    #[test]
    fn undefined_is_none() {
        let none = Fitted {
            correlation: None,
            fit: None,
        };
        assert_eq!(fitted(&[]), none);
        assert_eq!(fitted(&[(1, 2)]), none);
        assert_eq!(fitted(&[(3, 1), (3, 2), (3, 7)]), none);
        let flat = fitted(&[(1, 7), (2, 7), (9, 7)]);
        assert_eq!((flat.correlation, flat.fit), (None, Some((0.0, 7.0))));
    }

    /// The one-pass formula of textbooks, with the sum of squares less the square of the sum, would find nothing but rounding here.
    #[test]
    fn large_counts_keep_their_differences() {
        let large = u128::from(u64::MAX);
        let found = fitted(&[(large, 3), (large - 1, 2), (large - 2, 1), (large - 1, 2)]);
        assert!((found.correlation.unwrap() - 1.0).abs() < 1e-12, "{found:?}");
        assert!((found.fit.unwrap().0 - 1.0).abs() < 1e-12, "{found:?}");
    }

    proptest! {
        #[test]
        fn as_the_definition_in_two_passes(pairs in prop::collection::vec((0u32..1000, 0u32..1000), 2..50)) {
            let n = f64::from(u32::try_from(pairs.len()).unwrap());
            let mean = |of: &dyn Fn(&(u32, u32)) -> u32| pairs.iter().map(|p| f64::from(of(p))).sum::<f64>() / n;
            let (mean_x, mean_y) = (mean(&|p| p.0), mean(&|p| p.1));
            let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
                pairs.iter().map(|&(x, y)| of(f64::from(x) - mean_x, f64::from(y) - mean_y)).sum()
            };
            let (xx, yy, xy) = (sum(&|x, _| x * x), sum(&|_, y| y * y), sum(&|x, y| x * y));
            let exact: Vec<_> = pairs.iter().map(|&(x, y)| (u128::from(x), u128::from(y))).collect();
            let found = fitted(&exact);
            if let Some(correlation) = found.correlation {
                prop_assert!((correlation - xy / (xx * yy).sqrt()).abs() < 1e-9);
            }
            if let Some((slope, intercept)) = found.fit {
                prop_assert!((slope - xy / xx).abs() < 1e-9);
                prop_assert!((intercept - (mean_y - xy / xx * mean_x)).abs() < 1e-6);
            }
            prop_assert_eq!(found.fit.is_some(), pairs.iter().any(|p| p.0 != pairs[0].0));
        }
    }
}
