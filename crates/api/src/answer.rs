//! A series answer as JSON or CSV, written piece by piece while it is sent.

use std::convert::Infallible;
use std::ops::Range;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use model::{Buckets, EventId, Extent, Timestamp};
use tokio::sync::OwnedSemaphorePermit;

use crate::text::{UnixSeconds, UtcSeconds, push_count};

/// Points per piece of text: about 80 kB.
const POINTS_PER_PIECE: usize = 4_000;

/// Bytes of a point's text, with some to spare: `,[1763787600,1234]`, or `,2025-11-22T05:00:00Z,1234` behind a name.
const BYTES_PER_POINT: usize = 30;

/// The answer to `GET /v1/series`, before it is text.
pub(crate) struct Answer {
    pub(crate) buckets: Buckets,
    /// The time of which the sums are known.
    pub(crate) extent: Extent,
    /// The series, ordered by name.
    pub(crate) series: Vec<Series>,
    /// Room for the points held here, until the last is sent.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// A name and its sums.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) id: EventId,
    /// One sum for each bucket. A sum of 0 means no events: counts begin at 1.
    pub(crate) sums: Vec<u128>,
}

/// The format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
}

impl Format {
    /// The format that `parameter` names, else the first of the two types that the Accept header lists, else JSON.
    /// `None` for a parameter with another word.
    pub(crate) fn wanted(parameter: Option<&str>, accept: Option<&str>) -> Option<Self> {
        match parameter {
            Some("json") => return Some(Self::Json),
            Some("csv") => return Some(Self::Csv),
            Some(_) => return None,
            None => {}
        }
        let types = accept
            .unwrap_or_default()
            .split(',')
            .map(|range| range.split(';').next().unwrap_or(range));
        let listed = types.filter_map(
            |media_type| match media_type.trim().to_ascii_lowercase().as_str() {
                "application/json" => Some(Self::Json),
                "text/csv" => Some(Self::Csv),
                _ => None,
            },
        );
        Some(listed.into_iter().next().unwrap_or(Self::Json))
    }
}

/// A piece of an answer that is sent at once, so that no answer's text is ever held as a whole.
enum Piece {
    Head,
    /// The beginning of the series of this index.
    SeriesHead(usize),
    /// The points of these buckets of the series of this index.
    Points(usize, Range<usize>),
    SeriesTail,
    Tail,
}

impl Answer {
    /// The response, whose text is made while it is sent.
    pub(crate) fn into_response(self, format: Format) -> Response {
        let content_type = match format {
            Format::Json => "application/json",
            Format::Csv => "text/csv; charset=utf-8",
        };
        let is_short = self.series.len() * self.buckets.len() <= POINTS_PER_PIECE;
        let mut texts = self.pieces().into_iter().map(move |piece| match format {
            Format::Json => self.json(&piece),
            Format::Csv => self.csv(&piece),
        });
        // As a whole, whose length is known; the sums it is made of are given back.
        let body = if is_short {
            Body::from(texts.by_ref().collect::<String>())
        } else {
            Body::from_stream(futures_util::stream::iter(texts.map(Ok::<_, Infallible>)))
        };
        ([(header::CONTENT_TYPE, content_type)], body).into_response()
    }

    fn pieces(&self) -> Vec<Piece> {
        let mut pieces = vec![Piece::Head];
        for at in 0..self.series.len() {
            pieces.push(Piece::SeriesHead(at));
            let starts = (0..self.buckets.len()).step_by(POINTS_PER_PIECE);
            let ranges = starts.map(|start| start..(start + POINTS_PER_PIECE).min(self.buckets.len()));
            pieces.extend(ranges.map(|range| Piece::Points(at, range)));
            pieces.push(Piece::SeriesTail);
        }
        pieces.push(Piece::Tail);
        pieces
    }

    fn json(&self, piece: &Piece) -> String {
        match piece {
            Piece::Head => format!(
                r#"{{"from":{},"until":{},"step":{},"complete_until":{},"series":["#,
                self.buckets.first_unix_s(),
                self.buckets.end_unix_s(),
                self.buckets.step().seconds(),
                serde_json::json!(self.extent.complete_until.map(Timestamp::unix_s)),
            ),
            Piece::SeriesHead(at) => {
                let Series { name, id, sums } = &self.series[*at];
                let comma = if *at > 0 { "," } else { "" };
                let quoted = serde_json::json!(name);
                let total: u128 = (0..sums.len()).filter_map(|index| self.shown(*at, index)).sum();
                format!(r#"{comma}{{"name":{quoted},"event_id":"{id}","total":{total},"points":["#)
            }
            Piece::Points(at, range) => {
                let mut text = String::with_capacity(BYTES_PER_POINT * range.len());
                let mut times = UnixSeconds::default();
                for (index, start, count) in self.points(*at, range) {
                    text.push_str(if index > 0 { ",[" } else { "[" });
                    times.push(&mut text, start);
                    text.push(',');
                    match count {
                        Some(count) => push_count(&mut text, count),
                        None => text.push_str("null"),
                    }
                    text.push(']');
                }
                text
            }
            Piece::SeriesTail => "]}".to_owned(),
            Piece::Tail => "]}\n".to_owned(),
        }
    }

    fn csv(&self, piece: &Piece) -> String {
        match piece {
            Piece::Head => "name,time,count\n".to_owned(),
            Piece::Points(at, range) => {
                let name = model::csv::text_cell(&self.series[*at].name);
                let mut text = String::with_capacity((BYTES_PER_POINT + name.len()) * range.len());
                let mut times = UtcSeconds::default();
                for (_, start, count) in self.points(*at, range) {
                    text.push_str(&name);
                    text.push(',');
                    times.push(&mut text, start);
                    text.push(',');
                    if let Some(count) = count {
                        push_count(&mut text, count);
                    }
                    text.push('\n');
                }
                text
            }
            Piece::SeriesHead(_) | Piece::SeriesTail | Piece::Tail => String::new(),
        }
    }

    /// The sum of a series' bucket, where that is known.
    fn shown(&self, at: usize, index: usize) -> Option<u128> {
        let edges = self.buckets.edges(index);
        self.extent.shown(self.series[at].sums[index], edges)
    }

    /// Index, first unix second and sum of each bucket of a range.
    fn points(
        &self,
        at: usize,
        range: &Range<usize>,
    ) -> impl Iterator<Item = (usize, i64, Option<u128>)> + use<'_> {
        range
            .clone()
            .map(move |index| (index, self.buckets.edges(index).0, self.shown(at, index)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::Step;
    use tokio::sync::Semaphore;

    use super::*;

    fn answer(names: &[&str], sums: &[u128]) -> Answer {
        let from = Timestamp::from_unix_ms(1_763_787_600_000);
        let length_ms = i64::try_from(sums.len()).unwrap() * 60_000;
        let series = |name: &&str| Series {
            name: (*name).to_owned(),
            id: EventId::of(name),
            sums: sums.to_vec(),
        };
        Answer {
            buckets: Buckets::covering(from, from.plus_ms(length_ms), Step::Minute, 10_000).unwrap(),
            extent: Extent::default(),
            series: names.iter().map(series).collect(),
            _room: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap(),
        }
    }

    fn json(answer: &Answer) -> String {
        answer.pieces().iter().map(|piece| answer.json(piece)).collect()
    }

    #[test]
    fn json_has_the_contracts_shape() {
        let expected = concat!(
            r#"{"from":1763787600,"until":1763787720,"step":60,"complete_until":null,"series":["#,
            r#"{"name":"a","event_id":"919145239626757800","total":36893488147419103230,"#,
            r#""points":[[1763787600,36893488147419103230],[1763787660,null]]}]}"#,
            "\n"
        );
        assert_eq!(json(&answer(&["a"], &[2 * u128::from(u64::MAX), 0])), expected);
        assert!(json(&answer(&[], &[3])).ends_with("\"series\":[]}\n"));
    }

    #[test]
    fn pieces_make_one_document() {
        let sums: Vec<u128> = (0..9_001).collect();
        let answer = answer(&["a", "b"], &sums);
        let document: serde_json::Value = serde_json::from_str(&json(&answer)).unwrap();
        for series in document["series"].as_array().unwrap() {
            assert_eq!(series["points"].as_array().unwrap().len(), 9_001);
            assert_eq!(series["points"][9_000][1], 9_000);
            assert_eq!(series["total"], 9_000 * 9_001 / 2);
        }
    }

    #[test]
    fn csv_has_a_line_per_bucket() {
        let answer = answer(&["a"], &[3, 0]);
        let csv: String = answer.pieces().iter().map(|piece| answer.csv(piece)).collect();
        assert_eq!(
            csv,
            "name,time,count\na,2025-11-22T05:00:00Z,3\na,2025-11-22T05:01:00Z,\n"
        );
    }

    #[test]
    fn a_name_in_csv_is_no_formula() {
        let answer = answer(&["-a", "=a", "@a", "+a", "a=-"], &[3]);
        let csv: String = answer.pieces().iter().map(|piece| answer.csv(piece)).collect();
        let names: Vec<_> = csv
            .lines()
            .skip(1)
            .filter_map(|line| line.split(',').next())
            .collect();
        assert_eq!(names, ["'-a", "'=a", "'@a", "'+a", "a=-"]);
    }

    #[test]
    fn the_parameter_goes_before_the_header() {
        let wanted = Format::wanted;
        assert_eq!(wanted(None, None), Some(Format::Json));
        assert_eq!(
            wanted(None, Some("text/html, Text/CSV;q=0.9, */*")),
            Some(Format::Csv)
        );
        assert_eq!(
            wanted(None, Some("application/json, text/csv")),
            Some(Format::Json)
        );
        assert_eq!(wanted(Some("json"), Some("text/csv")), Some(Format::Json));
        assert_eq!(wanted(Some("xml"), None), None);
    }
}
