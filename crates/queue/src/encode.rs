//! The JSON body of a job: `{"accepted":s,"names":["a",…],"batches":[{"id":"uuid","counts":{"s":[[index,count],…]}},…]}`. Times are
//! unix seconds, and an index is a name's place in `names`. A keyed batch has `client` and `content`, too.

use std::collections::BTreeMap;
use std::fmt::Write;

use model::{BatchId, Minute, Origin, Timestamp};

use crate::NameTable;

/// A batch's counts by minute: the index of a name in the job's table, and the count.
pub(crate) type ByMinute = BTreeMap<Minute, Vec<(u32, u64)>>;

/// A job that is packed, and lacks only the time of its put.
#[derive(Debug)]
pub struct Job {
    pub(crate) names: NameTable,
    /// The batches as they are written in the body, with a comma behind each.
    pub(crate) batches: String,
    /// The sum of all counts.
    pub(crate) total: u64,
    /// Length of the body, from above.
    pub(crate) bytes_max: usize,
}

impl Job {
    /// The sum of all counts in the job.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The body of the job, to be put as it is. `accepted` is the clock just before the put. A time that `queue::decode` would
    /// refuse is replaced by the nearest one that it takes, so that a collector with a wrong clock loses no counts.
    #[must_use]
    pub fn encode(&self, accepted: Timestamp) -> String {
        let readable = |minute: Minute| Timestamp::from_unix_ms(1000 * minute.unix_s());
        let accepted = accepted.clamp(readable(Minute::FIRST), readable(Minute::LAST));
        let mut body = String::with_capacity(self.bytes_max);
        push(
            &mut body,
            format_args!("{{\"accepted\":{},\"names\":[", accepted.unix_s()),
        );
        for (at, name) in self.names.iter().enumerate() {
            body.push_str(if at > 0 { ",\"" } else { "\"" });
            body.push_str(name.name);
            body.push('"');
        }
        body.push_str("],\"batches\":[");
        body.push_str(self.batches.strip_suffix(',').unwrap_or(&self.batches));
        body.push_str("]}");
        debug_assert!(
            body.len() <= self.bytes_max,
            "{} bytes were foreseen, not {}",
            self.bytes_max,
            body.len()
        );
        body
    }
}

/// Writes a batch and a comma.
pub(crate) fn push_batch(body: &mut String, id: BatchId, origin: Option<&Origin>, counts: &ByMinute) {
    push(body, format_args!("{{\"id\":\"{id}\","));
    if let Some(Origin { client, content }) = origin {
        // No character of a client's name needs escaping.
        push(
            body,
            format_args!("\"client\":\"{client}\",\"content\":\"{:016x}\",", content.0),
        );
    }
    body.push_str("\"counts\":{");
    let mut digits = itoa::Buffer::new();
    for (at, (minute, counts)) in counts.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        push(body, format_args!("{comma}\"{}\":", minute.unix_s()));
        for (at, (index, count)) in counts.iter().enumerate() {
            body.push_str(if at > 0 { ",[" } else { "[[" });
            body.push_str(digits.format(*index));
            body.push(',');
            body.push_str(digits.format(*count));
            body.push(']');
        }
        body.push(']');
    }
    body.push_str("}},");
}

fn push(body: &mut String, text: std::fmt::Arguments<'_>) {
    body.write_fmt(text).expect("writing into a String cannot fail");
}
