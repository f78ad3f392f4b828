//! A series answer as JSON, CSV or Arrow, written piece by piece while it is sent.

mod arrow;

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
    /// A stream of Arrow's interprocess communication.
    Arrow,
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
        let is_short = self.series.len() * self.buckets.len() <= POINTS_PER_PIECE;
        let body = match format {
            Format::Json => body(self.texts(Self::json), is_short)?,
            Format::Csv => body(self.texts(Self::csv), is_short)?,
            Format::Arrow => body(arrow::batches(self)?, is_short)?,
        };
        let content_type = match format {
            Format::Csv => "text/csv; charset=utf-8",
            other => other.media_type(),
        };
        Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
    }

    fn texts(self, write: fn(&Self, &Piece) -> String) -> impl Iterator<Item = Result<Vec<u8>, Error>> {
        let pieces = self.pieces().into_iter();
        pieces.map(move |piece| Ok(write(&self, &piece).into_bytes()))
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

/// A short answer as a whole, whose length is known; the sums it is made of are given back.
fn body(
    mut pieces: impl Iterator<Item = Result<Vec<u8>, Error>> + Send + 'static,
    is_short: bool,
) -> Result<Body, Error> {
    if !is_short {
        return Ok(Body::from_stream(futures_util::stream::iter(pieces)));
    }
    let whole = pieces.try_fold(Vec::new(), |mut whole, piece| {
        whole.extend_from_slice(&piece?);
        Ok::<_, Error>(whole)
    });
    Ok(Body::from(whole?))
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
