//! Functions that move series in time, or cut them to a part of it.

use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Frame, Function, WindowContext, Windows};
use crate::limits::Limits;
use crate::number::{Number, Point};
use crate::parameter::{DefaultValue, Kind, SERIES, optional, required};
use crate::series::Series;
use crate::time;
use crate::window::{Context, Window};
use crate::zone::Zone;

/// Most times that one `timeStack` repeats its series: more curves than anybody can tell apart.
const STACKED_MAX: i64 = 100;

pub(crate) const TABLE: &[Function] = &[
    Function {
        names: &["timeShift"],
        group: "Transform",
        description: "The series as they were so long before, drawn in the present.",
        parameters: &[
            SERIES,
            required("timeShift", Kind::Interval),
            optional("resetEnd", Kind::Boolean).or(DefaultValue::Boolean(true)),
            optional("alignDst", Kind::Boolean).or(DefaultValue::Boolean(false)),
        ],
        run: time_shift,
        windows: Some(Windows {
            of: |args, window, context| Ok(vec![shifted(args, window, context.context.zone)?]),
            and_as_is: true,
        }),
        ..Function::PLAIN
    },
    Function {
        names: &["timeStack"],
        group: "Transform",
        description: "The series as they were several such times before, from the start-th up to but without the end-th.",
        parameters: &[
            SERIES,
            optional("timeShiftUnit", Kind::Interval).or(DefaultValue::Text("1d")),
            optional("timeShiftStart", Kind::Integer).or(DefaultValue::Number(0)),
            optional("timeShiftEnd", Kind::Integer).or(DefaultValue::Number(7)),
        ],
        run: time_stack,
        windows: Some(Windows {
            of: |args, window, _| {
                let shift = shift(args)?;
                let shifts = stacked(args)?.map(|times| window.moved(shift.saturating_mul(times)));
                Ok(shifts.collect())
            },
            and_as_is: true,
        }),
        ..Function::PLAIN
    },
    Function {
        names: &["timeSlice"],
        group: "Transform",
        description: "Nothing for values outside of these times.",
        parameters: &[
            SERIES,
            required("startSliceAt", Kind::Date),
            optional("endSliceAt", Kind::Date).or(DefaultValue::Text("now")),
        ],
        run: time_slice,
        ..Function::PLAIN
    },
    Function {
        names: &["linearRegression"],
        group: "Calculate",
        description: "The straight line that fits the series best; between these times, if they are given.",
        parameters: &[
            SERIES,
            optional("startSourceAt", Kind::Date),
            optional("endSourceAt", Kind::Date),
        ],
        run: linear_regression,
        windows: Some(Windows {
            of: |args, window, context| Ok(vec![source(args, window, context.context)?]),
            and_as_is: true,
        }),
        ..Function::PLAIN
    },
];

/// Seconds to move by; without a sign, into the past.
fn shift(args: &Arguments) -> Result<i64, Error> {
    let text = args.text(1);
    let seconds = time::interval(&text).ok_or_else(|| Error::NoInterval(text.clone()))?;
    Ok(if text.starts_with(|c: char| c.is_ascii_digit()) {
        -seconds
    } else {
        seconds
    })
}

/// The window moved by the call's shift. With `alignDst` it begins and ends at the same time of the day by the zone's clock, if that was not
/// changed within either.
fn shifted(args: &Arguments, window: Window, zone: Zone) -> Result<Window, Error> {
    let before = window.moved(shift(args)?);
    let offset = |window: Window| {
        let (from, until) = (zone.offset_s(window.from), zone.offset_s(window.until));
        (from == until).then_some(from)
    };
    Ok(match (offset(window), offset(before)) {
        (Some(now), Some(then)) if args.boolean(3) => before.moved(now - then),
        _ => before,
    })
}

/// The text of the shift as names show it.
fn shown(args: &Arguments) -> String {
    let text = args.text(1);
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        format!("-{text}")
    } else {
        text
    }
}

fn time_shift(frame: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let (shown, resets_end) = (shown(&args), args.boolean(2));
    let Some(present) = args.series().into_iter().next() else {
        return Ok(Vec::new());
    };
    let mut list: Vec<Series> = frame.in_own_windows.drain(..).flatten().collect();
    for series in &mut list {
        series.tag("timeShift", &shown);
        series.name = format!("timeShift({}, \"{shown}\")", series.name);
        series.end = if resets_end {
            present.end
        } else {
            series.end - series.start + present.start
        };
        series.start = present.start;
        series.zone = present.zone;
    }
    Ok(list)
}

fn stacked(args: &Arguments) -> Result<impl Iterator<Item = i64> + use<>, Error> {
    let (start, end) = (args.integer(2), args.integer(3));
    if end.saturating_sub(start) > STACKED_MAX {
        return Err(Error::Function {
            function: "timeStack",
            problem: "repeats at most 100 times: use a smaller timeShiftEnd",
        });
    }
    Ok(start..end)
}

fn time_stack(frame: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let shown = shown(&args);
    let shifts = stacked(&args)?;
    let Some(present) = args.series().into_iter().next() else {
        return Ok(Vec::new());
    };
    let mut made = Vec::new();
    for (times, list) in shifts.zip(frame.in_own_windows.drain(..)) {
        for mut series in list {
            series.tag("timeShiftUnit", &shown);
            series.tag("timeShift", times);
            series.renamed(format!("timeShift({}, {shown}, {times})", series.name));
            (series.start, series.end) = (present.start, present.end);
            series.zone = present.zone;
            made.push(series);
        }
    }
    Ok(made)
}

fn instant(args: &Arguments, at: usize, context: Context) -> Result<i64, Error> {
    let text = args.text(at);
    time::parse(&text, context.now, context.zone).ok_or(Error::NoTime(text))
}

fn time_slice(frame: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let (start, end) = (
        instant(&args, 1, frame.context)?,
        instant(&args, 2, frame.context)?,
    );
    let mut list = args.series();
    for series in &mut list {
        series.tag("timeSliceStart", start);
        series.tag("timeSliceEnd", end);
        series.name = format!("timeSlice({}, {start}, {end})", series.name);
        for index in 0..series.values.len() {
            if !(start..=end).contains(&series.instant(index)) {
                series.values[index] = None;
            }
        }
    }
    Ok(list)
}

fn source(args: &Arguments, window: Window, context: Context) -> Result<Window, Error> {
    let or = |at, instant_s| {
        if args.has(at) {
            instant(args, at, context)
        } else {
            Ok(instant_s)
        }
    };
    Ok(Window {
        from: or(1, window.from)?,
        until: or(2, window.until)?,
    })
}

fn linear_regression(frame: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let Window { from, until } = source(&args, frame.window, frame.context)?;
    let sources = frame.in_own_windows.drain(..).flatten();
    let mut made = Vec::new();
    for (source, mut series) in sources.zip(args.series()) {
        if source.zone != series.zone {
            return Err(Error::UnevenDays);
        }
        let Some((slope, intercept)) = fit(&source) else {
            continue;
        };
        series.tag("linearRegressions", format!("{from}, {until}"));
        series.renamed(format!("linearRegression({}, {from}, {until})", series.name));
        // The instants are by whichever clock the source's are.
        let instants = (0i64..).map(|index| real(series.start + index * series.step));
        let line: Vec<Point> = instants
            .take(series.values.len())
            .map(|instant| Some(Number::Real(intercept + instant * slope)))
            .collect();
        series.values = line;
        made.push(series);
    }
    Ok(made)
}

fn real(integer: i64) -> f64 {
    Number::Exact(i128::from(integer)).real()
}

/// The line of least squares through a series: its slope per second and its value at 1970; `None` for fewer than two values.
fn fit(series: &Series) -> Option<(f64, f64)> {
    let known = series
        .values
        .iter()
        .enumerate()
        .filter_map(|(at, value)| Some((Number::of(at).real(), value.as_ref()?.real())));
    let (mut n, mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (at, value) in known {
        n += 1.0;
        x += at;
        y += value;
        xx += at * at;
        xy += at * value;
    }
    let denominator = n * xx - x * x;
    if denominator == 0.0 {
        return None;
    }
    let slope = (n * xy - x * y) / denominator / real(series.step);
    let intercept = (xx * y - xy * x) / denominator - slope * real(series.start);
    Some((slope, intercept))
}

/// The window that begins earlier by so many seconds.
pub(crate) fn preview(window: Window, seconds: i64) -> Vec<Window> {
    vec![window.begun_at(window.from.saturating_sub(seconds))]
}

/// Seconds before the window that a moving function looks at: an interval, or so many values.
///
/// # Errors
/// `TooLongWindow` for more values than a series may have, `NoInterval`.
pub(crate) fn window_length(args: &Arguments, step: i64, limits: Limits) -> Result<i64, Error> {
    match args.number(1) {
        Some(Number::Exact(count)) if count >= 1 => {
            let values_max = limits.points_per_series_max;
            let longest = i128::try_from(values_max).unwrap_or(i128::MAX);
            let count = Some(count).filter(|count| *count <= longest);
            count
                .and_then(|count| i64::try_from(count).ok()?.checked_mul(step))
                // No longer than an interval may be, so that no sum of instants and lengths overflows.
                .filter(|seconds| *seconds <= time::SECONDS_MAX)
                .ok_or(Error::TooLongWindow(values_max))
        }
        Some(_) => Err(Error::NoInterval(args.text(1))),
        None => args.length(1),
    }
}

pub(crate) fn moving_windows(
    args: &Arguments,
    window: Window,
    context: WindowContext,
) -> Result<Vec<Window>, Error> {
    Ok(preview(
        window,
        window_length(args, context.step, context.context.limits)?,
    ))
}
