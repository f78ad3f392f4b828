//! The form of `/render`.

use std::borrow::Cow;

use super::Fault;
use super::function::{Moment, Window};
use super::parse::{EXPRESSION_BYTES, Expression, parse_within};
use super::plan::VISITS_MAX;
use super::time;
use super::zone::Zone;
use crate::form::Form;

/// Targets of one request; a panel of Grafana has up to 26 and a few that they refer to.
pub(crate) const TARGETS_MAX: usize = 100;

const DAY_S: i64 = 86_400;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
    Raw,
}

#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub(super) targets: Vec<Expression>,
    pub(super) window: Window,
    pub(super) now: i64,
    pub(super) zone: Zone,
    /// Values of a series that the asker can show; only JSON heeds it, as in Graphite.
    pub(super) values_max: Option<usize>,
    pub(super) x_files_factor: Option<f64>,
    pub(super) drops_nulls: bool,
    pub(super) format: Format,
}

impl Request {
    pub(super) fn moment(&self) -> Moment {
        Moment {
            now: self.now,
            zone: self.zone,
        }
    }

    /// Memory that [`Request::parse`] needs for a form beside its text, from above.
    pub(super) fn bytes_at_most(form: &Form) -> usize {
        EXPRESSION_BYTES * form.count_at_most(b"(,|&=").min(VISITS_MAX)
    }

    /// What it does not know is ignored, as Graphite does. Of a key that is given twice, save `target`, the last counts.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(form: &Form, now: i64) -> Result<Self, Fault> {
        let mut targets = Vec::new();
        // Times are by its clock wherever it stands.
        let zone = Zone::named(&form.one("tz").unwrap_or_default()).ok_or(Fault::Zone)?;
        let (mut from, mut until) = (now - DAY_S, now);
        let (mut values_max, mut x_files_factor, mut drops_nulls, mut format) =
            (None, None, false, Format::Json);
        for (key, value) in form.pairs() {
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
                        _ => return Err(Fault::Format),
                    }
                }
                "rawData" => format = Format::Raw,
                _ => {}
            }
        }
        if from >= until {
            return Err(Fault::EmptyRange);
        }
        Ok(Self {
            targets: parsed(&targets)?,
            window: Window { from, until },
            now,
            zone,
            values_max: values_max.filter(|_| format == Format::Json),
            x_files_factor,
            drops_nulls,
            format,
        })
    }
}

fn parsed(targets: &[Cow<'_, str>]) -> Result<Vec<Expression>, Fault> {
    let targets = targets.iter().filter(|target| !target.trim().is_empty());
    let mut left = VISITS_MAX;
    let parsed: Vec<_> = targets
        .take(TARGETS_MAX + 1)
        .map(|target| parse_within(target, &mut left))
        .collect::<Result<_, _>>()?;
    if parsed.len() > TARGETS_MAX {
        return Err(Fault::TooManyTargets);
    }
    Ok(parsed)
}

/// A time; with a fraction of a second, which is dropped, as Grafana writes some.
fn instant(key: &'static str, text: &str, now: i64, zone: Zone) -> Result<i64, Fault> {
    let whole = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b.is_ascii_digit()) => whole,
        _ => text,
    };
    time::parse(whole, now, zone).ok_or(Fault::Time(key))
}

fn count(key: &'static str, text: &str) -> Result<Option<usize>, Fault> {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    match whole.parse() {
        Ok(0) | Err(_) => Err(Fault::MaxDataPoints(key)),
        Ok(count) => Ok(Some(count)),
    }
}

fn share(text: &str) -> Result<Option<f64>, Fault> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.map(Some).ok_or(Fault::XFilesFactor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_763_787_630;

    #[test]
    fn grafanas_form_is_read() {
        let form = "target=aliasSub(shop.item.sold%2C%20%22(%5E.*%24)%22%2C%20%22%5C1%20A%22)&target=b&from=1763780000&until=1763787600\
                    &format=json&maxDataPoints=1904&cacheTimeout=60&local=1&tz=UTC";
        let request = Request::parse(&Form::of(form), NOW).unwrap();
        assert_eq!(request.targets.len(), 2);
        let window = Window {
            from: 1_763_780_000,
            until: 1_763_787_600,
        };
        assert_eq!((request.window, request.values_max), (window, Some(1904)));
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
            let request = Request::parse(&Form::of(form), NOW).unwrap();
            let window = Window {
                from: 1_795_842_000,
                until: 1_795_849_200,
            };
            assert_eq!(request.window, window, "{form}");
        }
    }

    #[test]
    fn without_times_the_last_day() {
        let request = Request::parse(&Form::of("target=constantLine(100)&from=&until="), NOW).unwrap();
        assert_eq!(request.window.until - request.window.from, DAY_S);
        assert_eq!((request.format, request.values_max), (Format::Json, None));
        assert!(Request::parse(&Form::of(""), NOW).unwrap().targets.is_empty());
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (form, fault) in [
            ("target=a&from=soon", Fault::Time("from")),
            ("target=a&until=-1m", Fault::Time("until")),
            ("target=a&from=now&until=-1h", Fault::EmptyRange),
            ("target=a&maxDataPoints=0", Fault::MaxDataPoints("maxDataPoints")),
            ("target=a&xFilesFactor=2", Fault::XFilesFactor),
            ("target=a&format=png", Fault::Format),
            ("target=a&tz=Europe/Atlantis", Fault::Zone),
        ] {
            assert_eq!(Request::parse(&Form::of(form), NOW), Err(fault), "{form}");
        }
        let many = "target=a&".repeat(TARGETS_MAX + 1);
        assert_eq!(Request::parse(&Form::of(&many), NOW), Err(Fault::TooManyTargets));
    }
}
