//! Forecasts of a series from its trend and its seasons: triple exponential smoothing after Holt and Winters, as in graphite-web.

use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Frame, Function, WindowContext, Windows};
use crate::number::{Number, Point};
use crate::parameter::{DefaultValue, Kind, Parameter, SERIES, optional};
use crate::series::{Grid, Series};
use crate::window::Window;

/// The smoothing factors of the level, the trend and the season: the weight of the last value against its forecast. Graphite's constants.
const ALPHA: f64 = 0.1;
const BETA: f64 = 0.0035;
const GAMMA: f64 = 0.1;

const BOOTSTRAP: Parameter = optional("bootstrapInterval", Kind::Interval).or(DefaultValue::Text("7d"));
const SEASON: Parameter = optional("seasonality", Kind::Interval).or(DefaultValue::Text("1d"));
const BANDS: &[Parameter] = &[
    SERIES,
    optional("delta", Kind::Integer).or(DefaultValue::Number(3)),
    BOOTSTRAP,
    SEASON,
];

const fn expecting(
    names: &'static [&'static str],
    description: &'static str,
    run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Error>,
    and_as_is: bool,
) -> Function {
    Function {
        names,
        group: "Calculate",
        description,
        parameters: BANDS,
        run,
        windows: Some(Windows {
            of: |args, window, _| begun_before(args, window, 2),
            and_as_is,
        }),
        ..Function::PLAIN
    }
}

pub(crate) const TABLE: &[Function] = &[
    Function {
        parameters: &[SERIES, BOOTSTRAP, SEASON],
        windows: Some(Windows {
            of: |args, window, _: WindowContext| begun_before(args, window, 1),
            and_as_is: false,
        }),
        ..expecting(
            &["holtWintersForecast"],
            "What each value is expected to be, learned from those before it and before the range.",
            |frame, args| {
                let bootstrap = args.length(1)?;
                let forecast = |series: Series| {
                    let name = format!("holtWintersForecast({})", series.name);
                    Ok(within(
                        &series,
                        name,
                        bootstrap,
                        expected(&series, args.length(2)?)?.predictions,
                    ))
                };
                frame.in_own_windows.drain(..).flatten().map(forecast).collect()
            },
            false,
        )
    },
    expecting(
        &["holtWintersConfidenceBands"],
        "Between which values each is expected: delta times as far from its forecast as values of its season were.",
        |frame, args| {
            let bands = bands(frame, &args)?.into_iter();
            Ok(bands.flat_map(|(lower, upper)| [lower, upper]).collect())
        },
        false,
    ),
    expecting(
        &["holtWintersAberration"],
        "How far each value lies outside of the confidence bands.",
        |frame, mut args| {
            let bands = bands(frame, &args)?;
            let outside = args
                .series()
                .into_iter()
                .zip(bands)
                .map(|(mut series, (lower, upper))| {
                    series.tag("holtWintersAberration", 1);
                    series.renamed(format!("holtWintersAberration({})", series.name));
                    for ((value, lower), upper) in
                        series.values.iter_mut().zip(lower.values).zip(upper.values)
                    {
                        *value = Some(beyond(*value, lower, upper));
                    }
                    series
                });
            Ok(outside.collect())
        },
        true,
    ),
];

fn begun_before(args: &Arguments, window: Window, bootstrap_at: usize) -> Result<Vec<Window>, Error> {
    Ok(super::shift::preview(window, args.length(bootstrap_at)?))
}

/// The series of those `values` that come after the bootstrap; `values` are as many as those of `series`.
fn within(series: &Series, name: String, bootstrap: i64, mut values: Vec<Point>) -> Series {
    let skipped = usize::try_from(bootstrap / series.step).unwrap_or(usize::MAX);
    values.drain(..skipped.min(values.len()));
    let grid = Grid {
        start: series.start + bootstrap,
        ..series.grid()
    };
    let mut made = Series::new(name, grid, values);
    made.tags.clone_from(&series.tags);
    made.x_files_factor = series.x_files_factor;
    made
}

/// The lower and the upper band of each series.
fn bands(frame: &mut Frame, args: &Arguments) -> Result<Vec<(Series, Series)>, Error> {
    let (delta, bootstrap, season) = (args.required_number(1).real(), args.length(2)?, args.length(3)?);
    let mut made = Vec::new();
    for series in frame.in_own_windows.drain(..).flatten() {
        let expected = expected(&series, season)?;
        let band = |word: &str, sign: f64| {
            let values = expected.predictions.iter().zip(&expected.deviations);
            let edge = |(prediction, deviation): (&Point, &f64)| {
                prediction.map(|prediction| Number::Real(prediction.real() + sign * delta * deviation))
            };
            let name = format!("holtWintersConfidence{word}({})", series.name);
            let mut band = within(&series, name, bootstrap, values.map(edge).collect());
            band.tag(&format!("holtWintersConfidence{word}"), 1);
            band.path.clone_from(&series.path);
            band
        };
        made.push((band("Lower", -1.0), band("Upper", 1.0)));
    }
    Ok(made)
}

fn beyond(value: Point, lower: Point, upper: Point) -> Number {
    match (value, lower, upper) {
        (Some(value), _, Some(upper)) if value.is_above(upper) => value.minus(upper),
        (Some(value), Some(lower), _) if value.is_below(lower) => value.minus(lower),
        _ => Number::ZERO,
    }
}

struct Expected {
    predictions: Vec<Point>,
    deviations: Vec<f64>,
}

fn expected(series: &Series, season: i64) -> Result<Expected, Error> {
    let season = match usize::try_from(season / series.step) {
        Ok(season) if season > 0 => season,
        _ => {
            return Err(Error::Function {
                function: "holtWinters",
                problem: "wants a season that is longer than the time between two values",
            });
        }
    };
    let count = series.values.len();
    let (mut seasonals, mut deviations) =
        (Vec::<f64>::with_capacity(count), Vec::<f64>::with_capacity(count));
    let mut predictions = Vec::with_capacity(count);
    // The level and the trend after the last value; no level where that is not known.
    let (mut level, mut trend, mut next) = (None, 0.0, None);
    let a_season_before = |values: &[f64], at: usize| {
        at.checked_sub(season)
            .and_then(|at| values.get(at))
            .copied()
            .unwrap_or(0.0)
    };
    for (at, value) in series.values.iter().enumerate() {
        let Some(actual) = value.map(Number::real) else {
            predictions.push(next.take().map(Number::Real));
            seasonals.push(0.0);
            deviations.push(0.0);
            (level, trend) = (None, 0.0);
            continue;
        };
        let prediction = if at == 0 { Some(actual) } else { next };
        let (last_level, last_trend) = (level.unwrap_or(actual), trend);
        let last_seasonal = a_season_before(&seasonals, at);
        let new_level = ALPHA * (actual - last_seasonal) + (1.0 - ALPHA) * (last_level + last_trend);
        trend = BETA * (new_level - last_level) + (1.0 - BETA) * last_trend;
        let off = (actual - prediction.unwrap_or(0.0)).abs();
        deviations.push(GAMMA * off + (1.0 - GAMMA) * a_season_before(&deviations, at));
        let next_seasonal = a_season_before(&seasonals, at + 1);
        seasonals.push(GAMMA * (actual - new_level) + (1.0 - GAMMA) * last_seasonal);
        next = Some(new_level + trend + next_seasonal);
        level = Some(new_level);
        predictions.push(prediction.map(Number::Real));
    }
    Ok(Expected {
        predictions,
        deviations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_changes_is_expected_to_stay() {
        let values = vec![Some(Number::Exact(7)); 10];
        let series = Series::new("a".to_owned(), (0, 600, 60), values);
        let expected = expected(&series, 180).unwrap();
        let near = |point: &Point| (point.unwrap().real() - 7.0).abs() < 1e-9;
        assert!(
            expected.predictions.iter().all(near),
            "{:?}",
            expected.predictions
        );
        assert!(expected.deviations.iter().all(|deviation| *deviation < 1e-9));
    }

    #[test]
    fn a_value_beyond_a_band_is_an_aberration() {
        let number = |real| Some(Number::Real(real));
        assert_eq!(beyond(number(5.0), number(1.0), number(3.0)), Number::Real(2.0));
        assert_eq!(beyond(number(0.0), number(1.0), number(3.0)), Number::Real(-1.0));
        assert_eq!(beyond(number(2.0), number(1.0), number(3.0)), Number::ZERO);
        assert_eq!(beyond(None, number(1.0), number(3.0)), Number::ZERO);
    }
}
