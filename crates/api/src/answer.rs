//! A series answer as JSON, CSV or Arrow, written piece by piece while it is sent.

mod arrow;

use std::convert::Infallible;
use std::ops::Range;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use model::{Buckets, EventId, Extent, Timestamp};
use tokio::sync::OwnedSemaphorePermit;

use crate::places::Kind;
use crate::text::{UnixSeconds, UtcSeconds, push_count};

/// Points per piece of text: about 80 kB.
const POINTS_PER_PIECE: usize = 4_000;

/// Bytes of a point's text, with some to spare: `,[1763787600,1234]`, or `,2025-11-22T05:00:00Z,1234` behind a name.
const BYTES_PER_POINT: usize = 30;

/// Bytes of what is said of a series besides its points, with some to spare.
const BYTES_PER_NAME: usize = 200;

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
    /// A stream of Arrow's interprocess communication.
    Arrow,
}

impl Format {
    /// What a read is that becomes such an answer, where it is not short.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Json => Kind::Long,
            Self::Csv | Self::Arrow => Kind::Export,
        }
    }
}

/// The formats that a path answers in: the first is that of whoever asks for none.
pub(crate) type Formats = &'static [Format];

/// Reasons for which an answer is not written in the format that is wanted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("a sum is greater than 64 bits, which Arrow has no number for: ask for json or csv")]
    TooGreat,
    #[error("the answer could not be written")]
    Unwritable(#[from] arrow::Error),
}

impl Format {
    /// The word for it in a query.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
        }
    }

    /// Its type for HTTP.
    fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// The one of `formats` that `parameter` names, else the first that the Accept header lists, else the first of them. `None` for a
    /// parameter with another word.
    pub(crate) fn wanted(formats: Formats, parameter: Option<&str>, accept: Option<&str>) -> Option<Self> {
        let find = |is_it: &dyn Fn(Self) -> bool| formats.iter().copied().find(|format| is_it(*format));
        if let Some(word) = parameter {
            return find(&|format| format.word() == word);
        }
        let types = accept
            .unwrap_or_default()
            .split(',')
            .map(|range| range.split(';').next().unwrap_or(range).trim());
        let mut listed =
            types.filter_map(|listed| find(&|format| format.media_type().eq_ignore_ascii_case(listed)));
        listed.next().or(formats.first().copied())
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
    /// The response, which is written while it is sent.
    ///
    /// # Errors
    /// `TooGreat` for a sum that the format has no number for.
    pub(crate) fn into_response(self, format: Format) -> Result<Response, Error> {
        let points = self.series.len() * self.buckets.len();
        let body = match format {
            Format::Json => self.text(Self::json, points),
            Format::Csv => self.text(Self::csv, points),
            Format::Arrow => arrow::body(self, points)?,
        };
        let content_type = match format {
            Format::Csv => "text/csv; charset=utf-8",
            other => other.media_type(),
        };
        Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
    }

    /// The text that `write` makes of each piece; a short one as a whole, whose length is known, and the sums it is made of are given back.
    fn text(self, write: fn(&Self, &mut String, &Piece), points: usize) -> Body {
        let pieces = self.pieces().into_iter();
        if points <= POINTS_PER_PIECE {
            let mut text =
                String::with_capacity(BYTES_PER_POINT * points + BYTES_PER_NAME * self.series.len());
            pieces.for_each(|piece| write(&self, &mut text, &piece));
            return Body::from(text);
        }
        let texts = pieces.map(move |piece| {
            let mut text = String::new();
            write(&self, &mut text, &piece);
            Ok::<_, Infallible>(text)
        });
        Body::from_stream(futures_util::stream::iter(texts))
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

    fn json(&self, text: &mut String, piece: &Piece) {
        match piece {
            Piece::Head => text.push_str(&format!(
                r#"{{"from":{},"until":{},"step":{},"complete_until":{},"series":["#,
                self.buckets.first_unix_s(),
                self.buckets.end_unix_s(),
                self.buckets.step().seconds(),
                serde_json::json!(self.extent.complete_until.map(Timestamp::unix_s)),
            )),
            Piece::SeriesHead(at) => {
                let Series { name, id, .. } = &self.series[*at];
                let comma = if *at > 0 { "," } else { "" };
                let (quoted, total) = (serde_json::json!(name), self.total(*at));
                text.push_str(&format!(
                    r#"{comma}{{"name":{quoted},"event_id":"{id}","total":{total},"points":["#
                ));
            }
            Piece::Points(at, range) => {
                text.reserve(BYTES_PER_POINT * range.len());
                let mut times = UnixSeconds::default();
                for (index, start, count) in self.points(*at, range) {
                    text.push_str(if index > 0 { ",[" } else { "[" });
                    times.push(text, start);
                    text.push(',');
                    match count {
                        Some(count) => push_count(text, count),
                        None => text.push_str("null"),
                    }
                    text.push(']');
                }
            }
            Piece::SeriesTail => text.push_str("]}"),
            Piece::Tail => text.push_str("]}\n"),
        }
    }

    fn csv(&self, text: &mut String, piece: &Piece) {
        match piece {
            Piece::Head => text.push_str("name,time,count\n"),
            Piece::Points(at, range) => {
                let name = model::csv::text_cell(&self.series[*at].name);
                text.reserve((BYTES_PER_POINT + name.len()) * range.len());
                let mut times = UtcSeconds::default();
                for (_, start, count) in self.points(*at, range) {
                    text.push_str(&name);
                    text.push(',');
                    times.push(text, start);
                    text.push(',');
                    if let Some(count) = count {
                        push_count(text, count);
                    }
                    text.push('\n');
                }
            }
            Piece::SeriesHead(_) | Piece::SeriesTail | Piece::Tail => {}
        }
    }

    /// The sum of all that is shown of a series. What is not complete adds nothing to it, or is shown.
    fn total(&self, at: usize) -> u128 {
        let sums = &self.series[at].sums;
        let is_kept = |&index: &usize| self.extent.is_kept(self.buckets.edges(index).0);
        let first = (0..sums.len()).find(is_kept).unwrap_or(sums.len());
        sums[first..].iter().sum()
    }

    /// Index, first unix second and sum, where that is known, of each bucket of a range.
    fn points(
        &self,
        at: usize,
        range: &Range<usize>,
    ) -> impl Iterator<Item = (usize, i64, Option<u128>)> + use<'_> {
        let sums = &self.series[at].sums;
        range.clone().map(move |index| {
            let edges = self.buckets.edges(index);
            (index, edges.0, self.extent.shown(sums[index], edges))
        })
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

    fn text(answer: &Answer, write: fn(&Answer, &mut String, &Piece)) -> String {
        let mut text = String::new();
        answer
            .pieces()
            .iter()
            .for_each(|piece| write(answer, &mut text, piece));
        text
    }

    fn json(answer: &Answer) -> String {
        text(answer, Answer::json)
    }

    #[test]
    fn the_total_is_of_what_is_shown() {
        let two_days = Answer {
            extent: Extent {
                complete_until: None,
                kept_since: Some(model::Day::containing(1_763_856_000)),
            },
            ..answer(&["a"], &[1; 1_440])
        };
        // From five in the morning, and retention has kept what is from midnight on.
        let document: serde_json::Value = serde_json::from_str(&json(&two_days)).unwrap();
        let series = &document["series"][0];
        assert_eq!(series["total"], 5 * 60);
        let shown = series["points"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|point| !point[1].is_null());
        assert_eq!(shown.count(), 5 * 60);
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
        let csv = text(&answer, Answer::csv);
        assert_eq!(
            csv,
            "name,time,count\na,2025-11-22T05:00:00Z,3\na,2025-11-22T05:01:00Z,\n"
        );
    }

    #[test]
    fn a_name_in_csv_is_no_formula() {
        let answer = answer(&["-a", "=a", "@a", "+a", "a=-"], &[3]);
        let csv = text(&answer, Answer::csv);
        let names: Vec<_> = csv
            .lines()
            .skip(1)
            .filter_map(|line| line.split(',').next())
            .collect();
        assert_eq!(names, ["'-a", "'=a", "'@a", "'+a", "a=-"]);
    }

    #[tokio::test]
    async fn arrow_is_one_stream_whatever_its_length() {
        let read = async |answer: Answer| {
            let response = answer.into_response(Format::Arrow).unwrap();
            let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
                .await
                .unwrap();
            let reader = arrow_ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
            reader.map(|batch| batch.unwrap().num_rows()).collect::<Vec<_>>()
        };
        assert_eq!(read(answer(&[], &[3])).await, [0; 0]);
        assert_eq!(read(answer(&["a", "b"], &[3; 5])).await, [10]);
        assert_eq!(
            read(answer(&["a", "b"], &[3; 3_000])).await,
            [POINTS_PER_PIECE, 2_000]
        );
        let greatest = u128::from(u64::MAX);
        assert_eq!(read(answer(&["a"], &[greatest])).await, [1]);
        let too_great = answer(&["a"], &[0, greatest + 1]).into_response(Format::Arrow);
        assert!(matches!(too_great, Err(Error::TooGreat)));
    }

    #[test]
    fn the_parameter_goes_before_the_header() {
        const ALL: Formats = &[Format::Json, Format::Csv, Format::Arrow];
        let wanted = |parameter, accept| Format::wanted(ALL, parameter, accept);
        assert_eq!(wanted(None, None), Some(Format::Json));
        assert_eq!(
            wanted(None, Some("text/html, Text/CSV;q=0.9, */*")),
            Some(Format::Csv)
        );
        assert_eq!(
            wanted(None, Some("application/json, text/csv")),
            Some(Format::Json)
        );
        assert_eq!(
            wanted(None, Some("application/vnd.apache.arrow.stream")),
            Some(Format::Arrow)
        );
        assert_eq!(wanted(Some("json"), Some("text/csv")), Some(Format::Json));
        assert_eq!(wanted(Some("arrow"), None), Some(Format::Arrow));
        assert_eq!(wanted(Some("xml"), None), None);
        assert_eq!(Format::wanted(&ALL[..2], Some("arrow"), None), None);
    }
}
