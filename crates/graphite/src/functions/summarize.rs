//! Functions that aggregate values by interval: downsampling.

use crate::aggregate::Aggregate;
use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Frame, Function, WindowContext, Windows};
use crate::number::{Number, Point};
use crate::parameter::{DefaultValue, Kind, SERIES, optional, required};
use crate::series::{Grid, Series, is_enough};
use crate::time::{Unit, start_of};
use crate::value::Value;
use crate::window::Window;
use crate::zone::Zone;

const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 86_400;

pub(crate) const TABLE: &[Function] = &[
    Function {
        names: &["summarize"],
        group: "Transform",
        description: "Values put together by interval, by default summed; intervals begin at multiples of their length since 1970, or at the range's start. Days are those of the request's tz.",
        parameters: &[
            SERIES,
            required("intervalString", Kind::Interval),
            optional("func", Kind::Aggregate).or(DefaultValue::Text("sum")),
            optional("alignToFrom", Kind::Boolean).or(DefaultValue::Boolean(false)),
        ],
        run: summarize,
        interval_at: Some(1),
        adds_by_s: Some(|args, context| {
            // As the clock of another zone has it, an interval may begin within a bucket of UTC.
            let is_by_utc = context.zone == Zone::UTC && !args.boolean(3);
            let adds = is_by_utc && args.aggregate(2) == Aggregate::Sum;
            adds.then(|| args.length(1).ok()).flatten()
        }),
        ..Function::PLAIN
    },
    Function {
        names: &["smartSummarize"],
        group: "Transform",
        description: "Values put together by interval, by default summed; intervals begin at the range's start, or at that of its year, month, week, day, hour or minute.",
        parameters: &[
            SERIES,
            required("intervalString", Kind::Interval),
            optional("func", Kind::Aggregate).or(DefaultValue::Text("sum")),
            optional("alignTo", Kind::Text)
                .one_of(&["years", "months", "weeks", "days", "hours", "minutes", "seconds"]),
        ],
        run: smart_summarize,
        windows: Some(Windows {
            of: aligned_to_unit,
            and_as_is: false,
        }),
        interval_at: Some(1),
        ..Function::PLAIN
    },
    Function {
        names: &["hitcount"],
        group: "Transform",
        description: "How many there were by interval, if the values are rates per second. Counts are put together by summarize.",
        parameters: &[
            SERIES,
            required("intervalString", Kind::Interval),
            optional("alignToInterval", Kind::Boolean).or(DefaultValue::Boolean(false)),
        ],
        run: hitcount,
        windows: Some(Windows {
            of: aligned_to_interval,
            and_as_is: false,
        }),
        interval_at: Some(1),
        ..Function::PLAIN
    },
];

fn interval(args: &Arguments, series: &Series) -> Result<i64, Error> {
    let seconds = args.length(1)?;
    if seconds < series.step {
        return Err(Error::ShortInterval(args.text(1), series.step));
    }
    Ok(seconds)
}

/// Intervals of equal length, one after the other.
struct Intervals {
    grid: Grid,
    /// The begin of each and the end of the last, by the series' own clock.
    edges: Vec<i64>,
}

impl Intervals {
    /// Intervals from the series' own start; days are those of the zone.
    fn from_start(series: &Series, length: i64, zone: Zone) -> Self {
        let is_of_days = length % DAY_S == 0 && series.zone.is_none();
        if is_of_days && zone.shifts_within((series.start, series.end), length) {
            let (start, end) = (zone.local_s(series.start), zone.local_s(series.end));
            Self::of((start, end, length), Some(zone), series)
        } else {
            Self::of((series.start, series.end, length), series.zone, series)
        }
    }

    /// Intervals that begin at multiples of their length since 1970, by the zone's clock; `None` where a change of the clock is within the
    /// range, and they are no whole days.
    fn by_the_clock(series: &Series, range: (i64, i64), length: i64, zone: Zone) -> Option<Self> {
        let whole = |(start, end): (i64, i64), shown_s: i64| {
            let begun = |at: i64| at - (at + shown_s).rem_euclid(length);
            (begun(start), begun(end) + length, length)
        };
        if series.zone.is_some() {
            Some(Self::of(whole(range, 0), series.zone, series))
        } else if !zone.shifts_within(range, length) {
            Some(Self::of(whole(range, zone.offset_s(series.start)), None, series))
        } else if length % DAY_S == 0 {
            let shown = (zone.local_s(range.0), zone.local_s(range.1));
            Some(Self::of(whole(shown, 0), Some(zone), series))
        } else {
            None
        }
    }

    fn of((start, end, length): (i64, i64, i64), zone: Option<Zone>, series: &Series) -> Self {
        let count = (end - start + length - 1).div_euclid(length).max(0);
        let own = |at: i64| match (zone, series.zone) {
            (Some(zone), None) => zone.unix_s(at),
            _ => at,
        };
        Self {
            grid: Grid {
                start,
                end: start + count * length,
                step: length,
                zone,
            },
            edges: (0..=count).map(|number| own(start + number * length)).collect(),
        }
    }

    /// The aggregate of the values in each interval.
    fn put_together(&self, series: &Series, aggregate: Aggregate) -> Vec<Point> {
        let mut rest = series
            .values
            .iter()
            .zip((0i64..).map(|index| series.start + index * series.step))
            .take_while(|(_, at)| *at < series.end)
            .peekable();
        let made = self.edges.windows(2).map(|edges| {
            let mut values = Vec::new();
            while let Some((value, _)) = rest.next_if(|(_, at)| *at < edges[1]) {
                values.push(*value);
            }
            let known = values.iter().flatten().count();
            let of = usize::try_from((edges[1] - edges[0]) / series.step).unwrap_or(usize::MAX);
            if is_enough(known, of, series.x_files_factor) {
                aggregate.of(&values)
            } else {
                None
            }
        });
        made.collect()
    }
}

fn summarize(frame: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let (text, word, from_start) = (args.text(1), args.text(2), args.boolean(3));
    let (aggregate, zone) = (args.aggregate(2), frame.context.zone);
    let mut list = args.series();
    for series in &mut list {
        let length = interval(&args, series)?;
        let intervals = if from_start {
            Intervals::from_start(series, length, zone)
        } else {
            // Not to where a bucket ends that was read in place of minutes.
            let end = frame.minutes_end.map_or(series.end, |end| end.min(series.end));
            let range = (series.start, end);
            Intervals::by_the_clock(series, range, length, zone)
                .ok_or_else(|| Error::ChangedClock(text.clone()))?
        };
        let values = intervals.put_together(series, aggregate);
        series.tag("summarize", &text);
        series.tag("summarizeFunction", &word);
        let flag = if from_start { ", true" } else { "" };
        series.renamed(format!(
            "summarize({}, \"{text}\", \"{word}\"{flag})",
            series.name
        ));
        series.moved_to(intervals.grid, values);
    }
    Ok(list)
}

fn aligned_to_unit(args: &Arguments, window: Window, context: WindowContext) -> Result<Vec<Window>, Error> {
    let Value::Text(text) = args.value(3) else {
        return Ok(Vec::new());
    };
    let wrong = || Error::InvalidValue {
        kind: "string",
        function: "smartSummarize".to_owned(),
        parameter: "alignTo",
        value: format!("'{text}'"),
    };
    let unit = Unit::of(text).ok_or_else(wrong)?;
    let weekday = text.chars().last().and_then(|c| c.to_digit(10)).unwrap_or(1);
    let start = start_of(unit, weekday, window.from, context.context.zone).ok_or_else(wrong)?;
    Ok(vec![window.begun_at(start)])
}

fn smart_summarize(frame: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let (text, word, aggregate) = (args.text(1), args.text(2), args.aggregate(2));
    let mut list = aligned_or_as_is(frame, &mut args);
    for series in &mut list {
        let length = interval(&args, series)?;
        let intervals = Intervals::from_start(series, length, frame.context.zone);
        let values = intervals.put_together(series, aggregate);
        series.tag("smartSummarize", &text);
        series.tag("smartSummarizeFunction", &word);
        series.renamed(format!("smartSummarize({}, \"{text}\", \"{word}\")", series.name));
        series.moved_to(intervals.grid, values);
    }
    Ok(list)
}

fn aligned_or_as_is(frame: &mut Frame, args: &mut Arguments) -> Vec<Series> {
    match frame.in_own_windows.pop() {
        Some(list) => list,
        None => args.series(),
    }
}

fn aligned_to_interval(
    args: &Arguments,
    window: Window,
    context: WindowContext,
) -> Result<Vec<Window>, Error> {
    if !args.boolean(2) {
        return Ok(Vec::new());
    }
    let unit = match args.length(1)? {
        DAY_S.. => Unit::Day,
        HOUR_S.. => Unit::Hour,
        _ => Unit::Minute,
    };
    let start = start_of(unit, 1, window.from, context.context.zone);
    Ok(vec![window.begun_at(start.unwrap_or(window.from))])
}

fn hitcount(frame: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let (text, is_aligned) = (args.text(1), args.boolean(2));
    let mut list = aligned_or_as_is(frame, &mut args);
    for series in &mut list {
        let interval = interval(&args, series)?;
        series.seconds()?;
        let is_of_clock = is_aligned || interval % DAY_S == 0;
        if is_of_clock
            && frame
                .context
                .zone
                .shifts_within((series.start, series.end), interval)
        {
            return Err(Error::ChangedClock(text));
        }
        if is_aligned {
            series.end = series.start + (series.end - series.start) / interval * interval + interval;
        }
        let count = (series.end - series.start + interval - 1) / interval;
        let start = series.end - count * interval;
        let mut hits: Vec<Point> = vec![None; usize::try_from(count).unwrap_or(0)];
        for (value, index) in series.values.iter().zip(0i64..) {
            let Some(value) = value else { continue };
            let begin = series.start + index * series.step - start;
            // A value's seconds may fall into two intervals. Those beyond the last interval count for it.
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
