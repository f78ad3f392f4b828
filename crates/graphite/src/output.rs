//! Output: series as JSON, CSV or Graphite's raw text, written piece by piece while they are sent.

use chrono::DateTime;

use crate::number::Point;
use crate::reading::VALUES_PER_SERIES;
use crate::request::{Format, Options};
use crate::series::Series;
use crate::zone::Zone;

/// Most values of a piece of text, which is about 80 kB then.
const VALUES_PER_PIECE: usize = 4_000;

/// Bytes of a value such as `[1234,1763787600],`, and some room.
const BYTES_PER_VALUE: usize = 20;

/// The answer to a request.
#[derive(Debug)]
pub struct Output {
    pub(crate) series: Vec<Series>,
    format: Format,
    /// Whether values that are not known are left out, and series without any other.
    drops_nulls: bool,
    /// The zone by whose clock CSV writes times.
    zone: Zone,
}

/// A part of a series: where its values begin, and whether they are its last.
struct Piece {
    series: usize,
    from: usize,
    is_last: bool,
}

impl Output {
    pub(crate) fn of(mut series: Vec<Series>, options: &Options) -> Self {
        if options.drops_nulls {
            series.retain(|series| series.values.iter().any(Option::is_some));
        }
        Self {
            series,
            format: options.format,
            drops_nulls: options.drops_nulls,
            zone: options.context.zone,
        }
    }

    /// The number of values that it has, of which names take some: the measure of its memory.
    pub fn values(&self) -> usize {
        let values = self
            .series
            .iter()
            .map(|series| series.values.len() + VALUES_PER_SERIES);
        values.sum()
    }

    /// The media type of its text, for the header `Content-Type`.
    pub fn content_type(&self) -> &'static str {
        match self.format {
            Format::Json => "application/json",
            Format::Csv => "text/csv; charset=utf-8",
            Format::Raw => "text/plain; charset=utf-8",
        }
    }

    /// Its text, in pieces of some 80 kB.
    pub fn into_texts(self) -> impl Iterator<Item = String> {
        let (head, tail) = match self.format {
            Format::Json => ("[", "]"),
            Format::Csv | Format::Raw => ("", ""),
        };
        let pieces = self.pieces().into_iter().map(move |piece| self.text(&piece));
        std::iter::once(head.to_owned())
            .chain(pieces)
            .chain([tail.to_owned()])
    }

    fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (at, series) in self.series.iter().enumerate() {
            let count = series.values.len();
            pieces.extend((0..count.max(1)).step_by(VALUES_PER_PIECE).map(|from| Piece {
                series: at,
                from,
                is_last: from + VALUES_PER_PIECE >= count,
            }));
        }
        pieces
    }

    fn text(&self, piece: &Piece) -> String {
        let series = &self.series[piece.series];
        let mut text = String::with_capacity(BYTES_PER_VALUE * series.values.len().min(VALUES_PER_PIECE));
        match self.format {
            Format::Json => self.json(&mut text, piece, series),
            Format::Csv => csv(&mut text, piece, series, self.zone),
            Format::Raw => raw(&mut text, piece, series),
        }
        text
    }

    fn json(&self, text: &mut String, piece: &Piece, series: &Series) {
        if piece.from == 0 {
            let comma = if piece.series > 0 { "," } else { "" };
            let (name, tags) = (serde_json::json!(series.name), serde_json::json!(series.tags));
            text.push_str(&format!(
                r#"{comma}{{"target":{name},"tags":{tags},"datapoints":["#
            ));
        }
        let mut digits = itoa::Buffer::new();
        // A comma stands before each value but the series' first, which may have been written with an earlier piece.
        let mut is_first = piece.from == 0 || self.has_none_before(piece, series);
        for (instant, value) in values(piece, series) {
            if self.drops_nulls && value.is_none() {
                continue;
            }
            text.push_str(if is_first { "[" } else { ",[" });
            is_first = false;
            match value {
                Some(value) => value.write_json(text),
                None => text.push_str("null"),
            }
            text.push(',');
            text.push_str(digits.format(instant));
            text.push(']');
        }
        if piece.is_last {
            text.push_str("]}");
        }
    }

    fn has_none_before(&self, piece: &Piece, series: &Series) -> bool {
        self.drops_nulls && series.values.iter().take(piece.from).all(Option::is_none)
    }
}

fn values<'a>(piece: &Piece, series: &'a Series) -> impl Iterator<Item = (i64, Point)> + use<'a> {
    let from = piece.from;
    let values = series.values.iter().skip(from).take(VALUES_PER_PIECE).zip(from..);
    values.map(|(value, index)| (series.instant(index), *value))
}

fn csv(text: &mut String, piece: &Piece, series: &Series, zone: Zone) {
    let name = model::csv::text_cell(&series.name);
    for (instant, value) in values(piece, series) {
        let time = DateTime::from_timestamp(zone.local_s(instant), 0).unwrap_or_default();
        let value = value.map(|value| value.to_string()).unwrap_or_default();
        text.push_str(&format!(
            "{name},{},{value}\r\n",
            time.format("%Y-%m-%d %H:%M:%S")
        ));
    }
}

fn raw(text: &mut String, piece: &Piece, series: &Series) {
    if piece.from == 0 {
        text.push_str(&format!(
            "{},{},{},{}|",
            series.name, series.start, series.end, series.step
        ));
    }
    let values =
        values(piece, series).map(|(_, value)| value.map_or("None".to_owned(), |value| value.to_string()));
    text.push_str(&values.collect::<Vec<_>>().join(","));
    text.push_str(if piece.is_last { "\n" } else { "," });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number;

    fn answer(format: Format, drops_nulls: bool, values: Vec<Point>) -> Output {
        let end = 60 * i64::try_from(values.len()).unwrap();
        Output {
            series: vec![Series::new("a\"b".to_owned(), (0, end, 60), values)],
            format,
            drops_nulls,
            zone: Zone::UTC,
        }
    }

    fn text(answer: &Output) -> String {
        answer.pieces().iter().map(|piece| answer.text(piece)).collect()
    }

    #[test]
    fn json_has_graphites_shape() {
        let values = vec![Some(Number::Exact((1 << 53) + 1)), None, Some(Number::Real(0.5))];
        let expected = r#"{"target":"a\"b","tags":{"name":"a\"b"},"datapoints":[[9007199254740993,0],[null,60],[0.5,120]]}"#;
        assert_eq!(text(&answer(Format::Json, false, values.clone())), expected);
        let known = text(&answer(Format::Json, true, values.clone()));
        assert!(known.ends_with("[[9007199254740993,0],[0.5,120]]}"), "{known}");
        assert_eq!(
            text(&answer(Format::Raw, false, values.clone())),
            "a\"b,0,180,60|9007199254740993,None,0.5\n"
        );
        let csv = text(&answer(Format::Csv, false, values));
        assert_eq!(csv.lines().nth(1), Some("\"a\"\"b\",1970-01-01 00:01:00,"));
    }

    /// A link may carry an alias that a spreadsheet would run.
    #[test]
    fn a_name_in_csv_is_no_formula() {
        let mut answer = answer(Format::Csv, false, vec![Some(Number::Real(-0.5))]);
        for (name, cell) in [
            ("=1+1", "'=1+1"),
            ("-a", "'-a"),
            ("=a(\"b\",c)", "\"'=a(\"\"b\"\",c)\""),
        ] {
            answer.series[0].name = name.to_owned();
            assert_eq!(text(&answer), format!("{cell},1970-01-01 00:00:00,-0.5\r\n"));
        }
    }

    #[test]
    fn pieces_make_one_document() {
        let mut values = vec![None; 5_000];
        values.extend((0..4_000).map(|value| Some(Number::Exact(value))));
        for (drops_nulls, count) in [(false, 9_000), (true, 4_000)] {
            let answer = answer(Format::Json, drops_nulls, values.clone());
            let document: serde_json::Value = serde_json::from_str(&text(&answer)).unwrap();
            assert_eq!(document["datapoints"].as_array().unwrap().len(), count);
        }
    }
}
