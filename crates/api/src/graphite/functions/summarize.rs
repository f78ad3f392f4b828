//! Values are put together by interval.

use crate::graphite::Fault;
use crate::graphite::aggregate::Aggregate;
use crate::graphite::function::{
    Arguments, Clock, Commutes, Default, Frame, Function, Kind, SERIES, Value, Window, Windows, optional,
    required,
};
use crate::graphite::number::{Number, Point};
use crate::graphite::series::{Series, is_enough};
use crate::graphite::time::{Unit, start_of};

const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 86_400;

pub(super) const TABLE: &[Function] = &[
    Function {
        names: &["summarize"],
        group: "Transform",
        description: "Values put together by interval, by default summed; intervals begin at multiples of their length since 1970, or at the range's start.",
        parameters: &[
            SERIES,
            required("intervalString", Kind::Interval),
            optional("func", Kind::Aggregate).or(Default::Text("sum")),
            optional("alignToFrom", Kind::Boolean).or(Default::Boolean(false)),
        ],
        run: summarize,
        windows: None,
        commutes: Commutes::Never,
    },
    Function {
        names: &["smartSummarize"],
        group: "Transform",
        description: "Values put together by interval, by default summed; intervals begin at the range's start, or at that of its year, month, week, day, hour or minute.",
        parameters: &[
            SERIES,
            required("intervalString", Kind::Interval),
            optional("func", Kind::Aggregate).or(Default::Text("sum")),
            optional("alignTo", Kind::Text)
                .one_of(&["years", "months", "weeks", "days", "hours", "minutes", "seconds"]),
        ],
        run: smart_summarize,
        windows: Some(Windows {
            of: aligned_to_unit,
            and_as_is: false,
        }),
        commutes: Commutes::Never,
    },
    Function {
        names: &["hitcount"],
        group: "Transform",
        description: "How many there were by interval, if the values are rates per second. Counts are put together by summarize.",
        parameters: &[
            SERIES,
            required("intervalString", Kind::Interval),
            optional("alignToInterval", Kind::Boolean).or(Default::Boolean(false)),
        ],
        run: hitcount,
        windows: Some(Windows {
            of: aligned_to_interval,
            and_as_is: false,
        }),
        commutes: Commutes::Never,
    },
];

fn interval(args: &Arguments, series: &Series) -> Result<i64, Fault> {
    let seconds = args.length(1)?;
    if seconds < series.step {
        return Err(Fault::ShortInterval(args.text(1), series.step));
    }
    Ok(seconds)
}

/// What `aggregate` makes of the values of each interval from `start`, and where the last interval ends.
fn put_together(
    series: &Series,
    aggregate: Aggregate,
    interval: i64,
    (start, end): (i64, i64),
) -> (Vec<Point>, i64) {
    let of = usize::try_from(interval / series.step).unwrap_or(usize::MAX);
    let mut rest = series
        .values
        .iter()
        .zip(0i64..)
        .take_while(|(_, index)| series.start + index * series.step < series.end)
        .peekable();
    let (mut made, mut at) = (Vec::new(), start);
    while at < end {
        let mut values = Vec::new();
        while let Some((value, _)) =
            rest.next_if(|(_, index)| series.start + index * series.step < at + interval)
        {
            values.push(*value);
        }
        let known = values.iter().flatten().count();
        made.push(if is_enough(known, of, series.x_files_factor) {
            aggregate.of(&values)
        } else {
            None
        });
        at += interval;
    }
    (made, at)
}

fn summarize(_: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Fault> {
    let (text, word, from_start) = (args.text(1), args.text(2), args.boolean(3));
    let aggregate = args.aggregate(2);
    let mut list = args.series();
    for series in &mut list {
        let interval = interval(&args, series)?;
        let (start, end) = match from_start {
            true => (series.start, series.end),
            false => (
                series.start - series.start.rem_euclid(interval),
                series.end - series.end.rem_euclid(interval) + interval,
            ),
        };
        let (values, aligned_end) = put_together(series, aggregate, interval, (start, end));
        series.tag("summarize", &text);
        series.tag("summarizeFunction", &word);
        let flag = if from_start { ", true" } else { "" };
        series.renamed(format!(
            "summarize({}, \"{text}\", \"{word}\"{flag})",
            series.name
        ));
        (series.start, series.end, series.step) =
            (start, if from_start { aligned_end } else { end }, interval);
        series.values = values;
    }
    Ok(list)
}

fn aligned_to_unit(args: &Arguments, window: Window, _: Clock) -> Result<Vec<Window>, Fault> {
    let Value::Text(text) = args.value(3) else {
        return Ok(Vec::new());
    };
    let wrong = || Fault::InvalidValue {
        kind: "string",
        function: "smartSummarize".to_owned(),
        parameter: "alignTo",
        value: format!("'{text}'"),
    };
    let unit = Unit::of(text).ok_or_else(wrong)?;
    let weekday = text.chars().last().and_then(|c| c.to_digit(10)).unwrap_or(1);
    let start = start_of(unit, weekday, window.from).ok_or_else(wrong)?;
    Ok(vec![window.begun_at(start)])
}

fn smart_summarize(frame: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Fault> {
    let (text, word, aggregate) = (args.text(1), args.text(2), args.aggregate(2));
    let mut list = aligned_or_as_is(frame, &mut args);
    for series in &mut list {
        let interval = interval(&args, series)?;
        let (values, end) = put_together(series, aggregate, interval, (series.start, series.end));
        series.tag("smartSummarize", &text);
        series.tag("smartSummarizeFunction", &word);
        series.renamed(format!("smartSummarize({}, \"{text}\", \"{word}\")", series.name));
        (series.end, series.step, series.values) = (end, interval, values);
    }
    Ok(list)
}

fn aligned_or_as_is(frame: &mut Frame, args: &mut Arguments) -> Vec<Series> {
    match frame.elsewhere.pop() {
        Some(list) => list,
        None => args.series(),
    }
}

fn aligned_to_interval(args: &Arguments, window: Window, _: Clock) -> Result<Vec<Window>, Fault> {
    if !args.boolean(2) {
        return Ok(Vec::new());
    }
    let unit = match args.length(1)? {
        DAY_S.. => Unit::Day,
        HOUR_S.. => Unit::Hour,
        60.. => Unit::Minute,
        _ => Unit::Second,
    };
    Ok(vec![
        window.begun_at(start_of(unit, 1, window.from).unwrap_or(window.from)),
    ])
}

fn hitcount(frame: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Fault> {
    let (text, is_aligned) = (args.text(1), args.boolean(2));
    let mut list = aligned_or_as_is(frame, &mut args);
    for series in &mut list {
        let interval = interval(&args, series)?;
        if is_aligned {
            series.end = series.start + (series.end - series.start) / interval * interval + interval;
        }
        let count = (series.end - series.start + interval - 1) / interval;
        let start = series.end - count * interval;
        let mut hits: Vec<Point> = vec![None; usize::try_from(count).unwrap_or(0)];
        for (value, index) in series.values.iter().zip(0i64..) {
            let Some(value) = value else { continue };
            let begin = series.start + index * series.step - start;
            // A value's seconds may fall into two intervals; those after the last are its own.
            let end = begin + series.step;
            let cut = ((begin / interval + 1) * interval).min(end);
            for (from, until) in [(begin, cut), (cut, end)] {
                let place = usize::try_from(from / interval)
                    .unwrap_or(0)
                    .min(hits.len().saturating_sub(1));
                if until > from
                    && let Some(hit) = hits.get_mut(place)
                {
                    let more = value.times(Number::Exact(i128::from(until - from)));
                    *hit = Some(hit.map_or(more, |hit| hit.plus(more)));
                }
            }
        }
        series.tag("hitcount", &text);
        let flag = if is_aligned { ", true" } else { "" };
        series.renamed(format!("hitcount({}, \"{text}\"{flag})", series.name));
        (series.start, series.step, series.values) = (start, interval, hits);
    }
    Ok(list)
}
