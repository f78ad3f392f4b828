//! Requests: the parameters of `/render`, from a query string or a form.

use std::borrow::Cow;

use crate::error::Error;
use crate::limits::{Limits, TARGETS_MAX, VISITS_MAX};
use crate::parse::{EXPRESSION_BYTES, Expression, parse_within};
use crate::time;
use crate::window::{Context, Window};
use crate::zone::Zone;

const DAY_S: i64 = 86_400;

/// The format that series are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
    Raw,
}

/// A request for `/render` that was parsed and is not planned yet.
#[derive(Debug, PartialEq)]
pub struct Request {
    pub(crate) targets: Vec<Expression>,
    pub(crate) options: Options,
}

/// The options of a request: everything besides its targets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    pub(crate) window: Window,
    pub(crate) context: Context,
    /// Most values of a series that the client can show (`maxDataPoints`); only for JSON, as in Graphite.
    pub(crate) values_max: Option<usize>,
    pub(crate) x_files_factor: Option<f64>,
    pub(crate) drops_nulls: bool,
    pub(crate) format: Format,
}

impl Request {
    /// The bytes of a form before which an expression or a parameter may end: their number bounds the number of expressions.
    pub const SYMBOLS: &[u8] = b"(,|&=";

    /// An upper bound of the bytes of memory that [`Request::parse`] needs, beside the text, for a form with so many of
    /// [`Request::SYMBOLS`].
    pub fn bytes_at_most(symbols: usize) -> usize {
        EXPRESSION_BYTES * symbols.min(VISITS_MAX)
    }

    /// Parses a form's keys and values at `now`, in unix seconds. Unknown keys are ignored, as Graphite does. The last value counts of a key
    /// that is given twice, except for `target`.
    ///
    /// # Errors
    /// `Zone`, `Time`, `EmptyRange`, `MaxDataPoints`, `XFilesFactor` or `Format` for a parameter; `Syntax` and others for a target;
    /// `TooManyTargets` and `TooManyVisits` beyond the limits.
    pub fn parse<'a, P>(pairs: P, now: i64, limits: Limits) -> Result<Self, Error>
    where
        P: Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + Clone,
    {
        let mut targets = Vec::new();
        // The zone first: times are by its clock, wherever it stands in the form.
        let zone = pairs.clone().filter(|(key, _)| key == "tz").last();
        let zone = Zone::named(&zone.unwrap_or_default().1).ok_or(Error::Zone)?;
        let (mut from, mut until) = (now - DAY_S, now);
        let (mut values_max, mut x_files_factor, mut drops_nulls, mut format) =
            (None, None, false, Format::Json);
        for (key, value) in pairs {
            match &*key {
                "target" | "target[]" => targets.push(value),
                "from" | "until" if value.is_empty() => {}
                "from" => from = instant("from", &value, now, zone)?,
                "until" => until = instant("until", &value, now, zone)?,
                "maxDataPoints" => values_max = count("maxDataPoints", &value)?,
                "xFilesFactor" => x_files_factor = share(&value)?,
                "noNullPoints" => drops_nulls = true,
                "format" => {
                    format = match &*value {
                        "json" | "" => Format::Json,
                        "csv" => Format::Csv,
                        "raw" => Format::Raw,
                        _ => return Err(Error::Format),
                    }
                }
                "rawData" => format = Format::Raw,
                _ => {}
            }
        }
        if from >= until {
            return Err(Error::EmptyRange);
        }
        Ok(Self {
            targets: parsed(&targets)?,
            options: Options {
                window: Window { from, until },
                context: Context { now, zone, limits },
                values_max: values_max.filter(|_| format == Format::Json),
                x_files_factor,
                drops_nulls,
                format,
            },
        })
    }
}

fn parsed(targets: &[Cow<'_, str>]) -> Result<Vec<Expression>, Error> {
    let targets = targets.iter().filter(|target| !target.trim().is_empty());
    let mut left = VISITS_MAX;
    let parsed: Vec<_> = targets
        .take(TARGETS_MAX + 1)
        .map(|target| parse_within(target, &mut left))
        .collect::<Result<_, _>>()?;
    if parsed.len() > TARGETS_MAX {
        return Err(Error::TooManyTargets);
    }
    Ok(parsed)
}

/// A time in unix seconds. A fraction of a second, as Grafana writes some, is dropped.
fn instant(key: &'static str, text: &str, now: i64, zone: Zone) -> Result<i64, Error> {
    let whole = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b.is_ascii_digit()) => whole,
        _ => text,
    };
    time::parse(whole, now, zone).ok_or(Error::Time(key))
}

fn count(key: &'static str, text: &str) -> Result<Option<usize>, Error> {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    match whole.parse() {
        Ok(0) | Err(_) => Err(Error::MaxDataPoints(key)),
        Ok(count) => Ok(Some(count)),
    }
}

fn share(text: &str) -> Result<Option<f64>, Error> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.map(Some).ok_or(Error::XFilesFactor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_763_787_630;

    const LIMITS: Limits = Limits {
        patterns_max: 200,
        names_read_max: 1_000_000,
        points_per_series_max: 600_000,
    };

    fn parse(form: &str) -> Result<Request, Error> {
        Request::parse(form_urlencoded::parse(form.as_bytes()), NOW, LIMITS)
    }

    #[test]
    fn grafanas_form_is_read() {
        let form = "target=aliasSub(shop.item.sold%2C%20%22(%5E.*%24)%22%2C%20%22%5C1%20A%22)&target=b&from=1763780000&until=1763787600\
                    &format=json&maxDataPoints=1904&cacheTimeout=60&local=1&tz=UTC";
        let request = parse(form).unwrap();
        assert_eq!(request.targets.len(), 2);
        let window = Window {
            from: 1_763_780_000,
            until: 1_763_787_600,
        };
        assert_eq!(
            (request.options.window, request.options.values_max),
            (window, Some(1904))
        );
        let Expression::Call(call) = &request.targets[0] else {
            panic!("{:?}", request.targets[0])
        };
        assert_eq!(call.arguments[1], Expression::Text("(^.*$)".to_owned()));
        assert_eq!(call.arguments[2], Expression::Text("\\1 A".to_owned()));
    }

    #[test]
    fn times_are_by_the_zones_clock_wherever_it_stands() {
        for form in [
            "target=a&from=00:00_20261128&until=02:00_20261128&tz=America/New_York",
            "tz=america%2Fnew_york&target=a&from=00:00_20261128&until=02:00_20261128",
        ] {
            let request = parse(form).unwrap();
            let window = Window {
                from: 1_795_842_000,
                until: 1_795_849_200,
            };
            assert_eq!(request.options.window, window, "{form}");
        }
    }

    #[test]
    fn without_times_the_last_day() {
        let request = parse("target=constantLine(100)&from=&until=").unwrap();
        assert_eq!(request.options.window.until - request.options.window.from, DAY_S);
        assert_eq!(
            (request.options.format, request.options.values_max),
            (Format::Json, None)
        );
        assert!(parse("").unwrap().targets.is_empty());
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (form, fault) in [
            ("target=a&from=soon", Error::Time("from")),
            ("target=a&until=-1m", Error::Time("until")),
            ("target=a&from=now&until=-1h", Error::EmptyRange),
            ("target=a&maxDataPoints=0", Error::MaxDataPoints("maxDataPoints")),
            ("target=a&xFilesFactor=2", Error::XFilesFactor),
            ("target=a&format=png", Error::Format),
            ("target=a&tz=Europe/Atlantis", Error::Zone),
        ] {
            assert_eq!(parse(form), Err(fault), "{form}");
        }
        let many = "target=a&".repeat(TARGETS_MAX + 1);
        assert_eq!(parse(&many), Err(Error::TooManyTargets));
    }
}
