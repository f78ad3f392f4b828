//! Reads the body of a job and checks every part of it: anyone in the region can put one.

use model::{
    Batch, BatchId, COUNT_MAX, Client, ContentHash, CountError, EventId, EventName, Minute, MinuteError,
    NameError, Origin, Timestamp,
};

use crate::wire::WireCounts;
use crate::{EventIds, plain};

/// Why a job cannot be counted, and is to be buried.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The body is not JSON, or has another shape than a job's.
    #[error("job is not JSON of the expected shape")]
    Json(#[source] serde_json::Error),
    /// The body has bytes of zero, as in a file that beanstalkd has made and not yet written.
    #[error(
        "job was not written to its end: beanstalkd ended before it had said that the job is stored, unless its disk has lost data"
    )]
    Unfinished,
    /// `accepted`, in unix seconds, lies outside the years that are counted.
    #[error("job's accepted is not a time that can be stored: {unix_s}")]
    Accepted {
        /// The time as given.
        unix_s: f64,
    },
    /// The `id` of a batch, as given.
    #[error("batch id is not a UUID: '{0}'")]
    Id(String),
    /// The `content` of a batch, as given.
    #[error("a batch's content is not a hash of 16 hexadecimal digits: '{0}'")]
    Content(String),
    /// The key of a minute, as given.
    #[error("minute '{0}' is not a number of unix seconds")]
    MinuteText(String),
    /// A minute that no table can hold, or a time at which no minute begins.
    #[error("minute {unix_s} cannot be counted")]
    Minute {
        /// The beginning of the minute, as given.
        unix_s: i64,
        /// Why it cannot be counted.
        #[source]
        source: MinuteError,
    },
    /// A count of a name that the job does not have.
    #[error("index {index} points past the table of {names} names")]
    Index {
        /// The index as given, counted from 0.
        index: u64,
        /// The number of names in the job.
        names: usize,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A count that is 0 or too large.
    #[error(transparent)]
    Count(#[from] CountError),
}

/// The content of a job, every part of which the centre will accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The names that the batches count, with their ids.
    pub names: Vec<(EventId, EventName<'a>)>,
    /// The batches in their order in the body.
    pub batches: Vec<Batch>,
}

/// Reads the body of a job, looking up the ids of its names in `ids`. No clock enters: what a collector has acknowledged is readable
/// for every worker, whichever of their clocks is wrong.
///
/// # Errors
/// The first reason why the job cannot be read, or why the centre could refuse it.
pub fn decode<'a>(body: &'a [u8], ids: &mut EventIds) -> Result<Decoded<'a>, DecodeError> {
    let plain = std::str::from_utf8(body).ok().and_then(plain::job);
    let wire = plain
        .map_or_else(|| serde_json::from_slice(body), Ok)
        .map_err(|error| {
            if body.contains(&0) {
                DecodeError::Unfinished
            } else {
                DecodeError::Json(error)
            }
        })?;
    let accepted = Timestamp::from_unix_s(wire.accepted)
        .ok()
        .filter(|&at| Minute::containing(at).is_ok())
        .ok_or(DecodeError::Accepted {
            unix_s: wire.accepted,
        })?;
    let names = wire
        .names
        .into_iter()
        .map(|name| EventName::new(name).map(|name| (ids.of(&name), name)))
        .collect::<Result<Vec<_>, _>>()?;
    let batches = wire
        .batches
        .into_iter()
        .map(|batch| {
            let id: BatchId = batch
                .id
                .parse()
                .map_err(|_| DecodeError::Id(batch.id.into_owned()))?;
            Ok(Batch {
                id,
                accepted,
                counts: counts(&batch.counts, &names)?,
                origin: origin(batch.client.as_deref(), batch.content.as_deref())?,
            })
        })
        .collect::<Result<Vec<_>, DecodeError>>()?;
    Ok(Decoded { names, batches })
}

/// The origin of a batch; `None` without `content`, and then reuse of its key is not noticed.
fn origin(client: Option<&str>, content: Option<&str>) -> Result<Option<Origin>, DecodeError> {
    let Some(content) = content else { return Ok(None) };
    let is_hash = content.len() == 16 && content.bytes().all(|b| b.is_ascii_hexdigit());
    let hash = u64::from_str_radix(content, 16).ok().filter(|_| is_hash);
    Ok(Some(Origin {
        client: Client::of(client.unwrap_or_default()),
        content: ContentHash(hash.ok_or_else(|| DecodeError::Content(content.to_owned()))?),
    }))
}

fn counts(
    wire: &WireCounts<'_>,
    names: &[(EventId, EventName<'_>)],
) -> Result<Vec<(EventId, Minute, u64)>, DecodeError> {
    let mut counts = Vec::with_capacity(wire.0.iter().map(|(_, pairs)| pairs.len()).sum());
    for (text, pairs) in &wire.0 {
        let minute = minute(text)?;
        for &(index, count) in pairs {
            let (id, _) =
                usize::try_from(index)
                    .ok()
                    .and_then(|at| names.get(at))
                    .ok_or(DecodeError::Index {
                        index,
                        names: names.len(),
                    })?;
            if !(1..=COUNT_MAX).contains(&count) {
                return Err(CountError::Sum(count.to_string()).into());
            }
            counts.push((*id, minute, count));
        }
    }
    Ok(counts)
}

fn minute(text: &str) -> Result<Minute, DecodeError> {
    let unix_s: i64 = text
        .parse()
        .map_err(|_| DecodeError::MinuteText(text.to_owned()))?;
    Minute::from_unix_s(unix_s).map_err(|source| DecodeError::Minute { unix_s, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0199aa55-0000-7000-8000-000000000001";

    fn refused(body: &str) -> String {
        decode(body.as_bytes(), &mut EventIds::default())
            .unwrap_err()
            .to_string()
    }

    fn job(counts: &str) -> String {
        format!(r#"{{"accepted":1763787600,"names":["a"],"batches":[{{"id":"{ID}","counts":{counts}}}]}}"#)
    }

    #[test]
    fn equal_minutes_add_up() {
        let body = job(r#"{"1763787600":[[0,1],[0,2]],"1763787600":[[0,4]]}"#);
        let decoded = decode(body.as_bytes(), &mut EventIds::default()).unwrap();
        assert_eq!(decoded.batches[0].counts.iter().map(|c| c.2).sum::<u64>(), 7);
    }

    #[test]
    fn what_the_centre_could_refuse_is_refused() {
        let shape = "job is not JSON of the expected shape";
        assert_eq!(refused("hello"), shape);
        assert_eq!(refused(""), shape);
        for unfinished in ["\0\0\0", "{\"accepted\":17637876\0\0"] {
            assert!(refused(unfinished).contains("not written to its end"));
        }
        assert_eq!(
            refused(r#"{"accepted":1763787600,"names":[],"batches":[{"counts":{}}]}"#),
            shape
        );
        assert_eq!(
            refused(&job(r#"{"1763787600":[[0,18446744073709551616]]}"#)),
            shape
        );
        assert_eq!(refused(&job("{}").replace("1763787600", "176378760:")), shape);
        assert_eq!(refused(&job("{}").replace("1763787600", "1763787600.")), shape);
        let no_object = decode(job("7").as_bytes(), &mut EventIds::default()).unwrap_err();
        let cause = std::error::Error::source(&no_object).unwrap().to_string();
        assert!(cause.contains("expected an object of minutes"), "{cause}");
        assert_eq!(refused(&job(r#"{"1763787600":[[0,-1]]}"#)), shape);
        assert_eq!(refused(&job(r#"{"1763787600":[[0,1.5]]}"#)), shape);
        assert!(refused(&job(r#"{"1763787600":[[1,1]]}"#)).contains("points past the table of 1 names"));
        assert!(refused(&job(r#"{"1763787600":[[0,0]]}"#)).contains("not an integer from 1 to"));
        assert!(refused(&job(r#"{"1763787600":[[0,9223372036854775808]]}"#)).contains("not an integer"));
        assert!(refused(&job(r#"{"2208988800":[[0,1]]}"#)).contains("cannot be counted"));
        assert!(refused(&job(r#"{"1763787601":[[0,1]]}"#)).contains("cannot be counted"));
        assert!(refused(&job(r#"{"noon":[[0,1]]}"#)).contains("not a number of unix seconds"));
        assert!(refused(&job("{}").replace(ID, "1")).contains("not a UUID"));
        let with =
            |content: &str| job("{}").replace("\"counts\"", &format!("\"content\":\"{content}\",\"counts\""));
        assert!(refused(&with("+123456789abcdef")).contains("not a hash of 16"));
        assert!(refused(&with("123")).contains("not a hash of 16"));
        assert!(decode(with("0123456789abcdef").as_bytes(), &mut EventIds::default()).is_ok());
        assert!(refused(&job("{}").replace("\"a\"", "\"a'b\"")).contains("not allowed"));
        let accepted = "accepted is not a time that can be stored";
        assert!(refused(&job("{}").replace("1763787600", "0")).contains(accepted));
        assert!(refused(&job("{}").replace("1763787600", "2208988800")).contains(accepted));
    }

    #[test]
    fn a_job_of_a_collector_whose_clock_is_wrong_is_readable() {
        for accepted in ["946684800", "2145916799.999"] {
            let body = job(r#"{"2145916740":[[0,3]]}"#).replace("1763787600", accepted);
            let decoded = decode(body.as_bytes(), &mut EventIds::default()).unwrap();
            assert_eq!(decoded.batches[0].counts[0].2, 3, "{accepted}");
        }
    }
}
