//! A series answer in Arrow's interprocess format: the columns of CSV, typed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray, TimestampSecondArray, UInt64Array,
};
use arrow_ipc::writer::StreamWriter;
pub(crate) use arrow_schema::ArrowError as Error;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use axum::body::Body;
use model::Timestamp;

use super::{Answer, POINTS_PER_PIECE};

/// Times are in UTC.
const ZONE: &str = "UTC";

/// The answer as the messages of a stream: the schema, batches of points in the order of CSV, the end.
///
/// # Errors
/// `TooGreat` for a sum of more than 64 bits, `Unwritable` for a short answer that cannot be written.
pub(super) fn body(answer: Answer, points: usize) -> Result<Body, super::Error> {
    let sums = answer.series.iter().flat_map(|series| &series.sums);
    if sums.into_iter().any(|&sum| u64::try_from(sum).is_err()) {
        return Err(super::Error::TooGreat);
    }
    let mut messages = messages(answer, points)?;
    if points > POINTS_PER_PIECE {
        return Ok(Body::from_stream(futures_util::stream::iter(messages)));
    }
    let whole = messages.try_fold(Vec::new(), |mut whole, message| {
        whole.extend_from_slice(&message?);
        Ok::<_, Error>(whole)
    });
    Ok(Body::from(whole?))
}

fn messages(
    answer: Answer,
    points: usize,
) -> Result<impl Iterator<Item = Result<Vec<u8>, Error>> + Send + 'static, Error> {
    let names = Arc::new(StringArray::from_iter_values(
        answer.series.iter().map(|series| &series.name),
    ));
    let schema = Arc::new(schema(&answer));
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    let starts = (0..points).step_by(POINTS_PER_PIECE);
    let ranges = starts.map(move |start| Some(start..(start + POINTS_PER_PIECE).min(points)));
    Ok(ranges.chain([None]).map(move |range| {
        match range {
            Some(range) => {
                let columns = columns(&answer, &names, range)?;
                writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
            }
            None => writer.finish()?,
        }
        Ok(std::mem::take(writer.get_mut()))
    }))
}

fn schema(answer: &Answer) -> Schema {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields = vec![
        Field::new("name", dictionary, false),
        Field::new(
            "time",
            DataType::Timestamp(TimeUnit::Second, Some(ZONE.into())),
            false,
        ),
        Field::new("count", DataType::UInt64, true),
    ];
    let complete_until = answer.extent.complete_until.map(Timestamp::unix_s);
    let about = [
        ("from", Some(answer.buckets.first_unix_s().to_string())),
        ("until", Some(answer.buckets.end_unix_s().to_string())),
        ("step", Some(answer.buckets.step().seconds().to_string())),
        ("complete_until", complete_until.map(|until| until.to_string())),
    ];
    let about = about
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Schema::new_with_metadata(fields, about.collect::<HashMap<_, _>>())
}

/// The points of this range, of those of all series one after the other. Each column is as long as the range.
fn columns(answer: &Answer, names: &Arc<StringArray>, range: Range<usize>) -> Result<Vec<ArrayRef>, Error> {
    let length = answer.buckets.len();
    let places = || range.clone().map(|point| (point / length, point % length));
    let keys = places().map(|(at, _)| i32::try_from(at).unwrap_or(i32::MAX));
    let keys = Int32Array::from_iter_values(keys);
    let times = places().map(|(_, index)| answer.buckets.edges(index).0);
    let shown = |(at, index): (usize, usize)| {
        let sum = answer.series[at].sums[index];
        answer.extent.shown(sum, answer.buckets.edges(index))
    };
    let counts = places().map(|place| shown(place).and_then(|sum| u64::try_from(sum).ok()));
    Ok(vec![
        Arc::new(DictionaryArray::<Int32Type>::try_new(
            keys,
            Arc::clone(names) as ArrayRef,
        )?),
        Arc::new(TimestampSecondArray::from_iter_values(times).with_timezone(ZONE)),
        Arc::new(counts.collect::<UInt64Array>()),
    ])
}
