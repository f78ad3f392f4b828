//! Packs counts into the JSON body of a job, without ever exceeding beanstalkd's limit.

use std::fmt::Write;

use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};
use model::{BatchId, COUNT_MAX, EventName, Instant, Minute, Origin};

/// Largest body: beanstalkd's default limit is 65,535 bytes, and a job stays under it.
const JOB_BYTES_MAX: usize = 65_534;

/// `{"accepted":1763787600.125,"names":[],"batches":[]}`, with room for any instant.
const ENVELOPE_BYTES: usize = 64;
/// `{"id":"0199aa55-0000-7000-8000-000000000000","counts":{}},`
const BATCH_BYTES: usize = 60;
/// `"client":"","content":"0123456789abcdef",`
const ORIGIN_BYTES: usize = 42;
/// `"1763787600":[],`
const MINUTE_BYTES: usize = 16;

/// A batch's counts, each with its minute and the index of its name.
type Counts = Vec<(Minute, u32, u64)>;

/// A job under construction: one table of names, shared by the unkeyed batch and any number of keyed ones.
#[derive(Debug)]
pub struct JobBuilder {
    names: HashMap<String, u32>,
    unkeyed_id: BatchId,
    unkeyed: HashMap<(Minute, u32), u64>,
    unkeyed_minutes: HashSet<Minute>,
    keyed: Vec<(BatchId, Origin, Counts)>,
    bytes: usize,
}

impl JobBuilder {
    /// An empty job whose events without a key will be counted under `unkeyed_id`.
    #[must_use]
    pub fn new(unkeyed_id: BatchId) -> Self {
        Self {
            names: HashMap::new(),
            unkeyed_id,
            unkeyed: HashMap::new(),
            unkeyed_minutes: HashSet::new(),
            keyed: Vec::new(),
            bytes: ENVELOPE_BYTES + BATCH_BYTES,
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unkeyed.is_empty() && self.keyed.is_empty()
    }

    /// Adds to the unkeyed batch; `false` and no change where the job has no room for it.
    #[must_use]
    pub fn add_event(&mut self, name: &EventName<'_>, minute: Minute, count: u64) -> bool {
        let room = JOB_BYTES_MAX - self.bytes;
        let known = self.names.get(name.as_str()).copied();
        let Some(index) = known.or_else(|| u32::try_from(self.names.len()).ok()) else {
            return false;
        };
        let mut growth = if known.is_some() { 0 } else { name_bytes(name) };
        match self.unkeyed.entry((minute, index)) {
            Entry::Occupied(mut sum) => {
                let after = *sum.get() + count;
                growth += pair_bytes(index, after) - pair_bytes(index, *sum.get());
                if after > COUNT_MAX || growth > room {
                    return false;
                }
                sum.insert(after);
            }
            Entry::Vacant(sum) => {
                let is_new_minute = !self.unkeyed_minutes.contains(&minute);
                growth += pair_bytes(index, count) + if is_new_minute { MINUTE_BYTES } else { 0 };
                if count > COUNT_MAX || growth > room {
                    return false;
                }
                sum.insert(count);
                if is_new_minute {
                    self.unkeyed_minutes.insert(minute);
                }
            }
        }
        if known.is_none() {
            self.names.insert(name.as_str().to_owned(), index);
        }
        self.bytes += growth;
        true
    }

    /// Adds a batch of its own; `false` and no change where the job has no room for it. A name and minute that comes more than once
    /// takes room more than once.
    #[must_use]
    pub fn add_batch(
        &mut self,
        id: BatchId,
        origin: &Origin,
        counts: &[(EventName<'_>, Minute, u64)],
    ) -> bool {
        let room = JOB_BYTES_MAX - self.bytes;
        let mut batch = Counts::with_capacity(counts.len());
        let mut new_names: HashMap<&str, u32> = HashMap::new();
        let mut growth = BATCH_BYTES + ORIGIN_BYTES + origin.client.as_str().len();
        for (name, minute, count) in counts {
            let Ok(next) = u32::try_from(self.names.len() + new_names.len()) else {
                return false;
            };
            let index = match self.names.get(name.as_str()) {
                Some(&index) => index,
                None => *new_names.entry(name.as_str()).or_insert_with(|| {
                    growth += name_bytes(name);
                    next
                }),
            };
            growth += pair_bytes(index, *count);
            batch.push((*minute, index, *count));
        }
        batch.sort_unstable();
        growth += MINUTE_BYTES * batch.chunk_by(|a, b| a.0 == b.0).count();
        if growth > room {
            return false;
        }
        self.names.extend(
            new_names
                .into_iter()
                .map(|(name, index)| (name.to_owned(), index)),
        );
        self.keyed.push((id, origin.clone(), batch));
        self.bytes += growth;
        true
    }

    /// The job's body. `accepted` is the clock just before the put; one that nobody could read in the job is the next that can be.
    #[must_use]
    pub fn encode(&self, accepted: Instant) -> String {
        let readable = |minute: Minute| Instant::from_unix_ms(1000 * minute.unix_s());
        let accepted = accepted.clamp(readable(Minute::FIRST), readable(Minute::LAST));
        let mut names: Vec<(u32, &str)> = self
            .names
            .iter()
            .map(|(name, &index)| (index, name.as_str()))
            .collect();
        names.sort_unstable();
        let mut unkeyed: Counts = self
            .unkeyed
            .iter()
            .map(|(&(minute, index), &count)| (minute, index, count))
            .collect();
        unkeyed.sort_unstable();
        let mut body = String::with_capacity(self.bytes);
        push(
            &mut body,
            format_args!("{{\"accepted\":{},\"names\":[", accepted.unix_s()),
        );
        push_list(&mut body, names, |body, (_, name)| {
            body.extend(["\"", name, "\""]);
        });
        body.push_str("],\"batches\":[");
        let unkeyed = (!unkeyed.is_empty()).then_some((self.unkeyed_id, None, &unkeyed));
        let keyed = self
            .keyed
            .iter()
            .map(|(id, origin, counts)| (*id, Some(origin), counts));
        push_list(
            &mut body,
            unkeyed.into_iter().chain(keyed),
            |body, (id, origin, counts)| {
                push_batch(body, id, origin, counts);
            },
        );
        body.push_str("]}");
        debug_assert!(
            body.len() <= self.bytes,
            "{} bytes were foreseen, not {}",
            self.bytes,
            body.len()
        );
        body
    }
}

/// `counts` in their order.
fn push_batch(body: &mut String, id: BatchId, origin: Option<&Origin>, counts: &Counts) {
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
    push_list(body, counts.chunk_by(|a, b| a.0 == b.0), |body, minute| {
        push(body, format_args!("\"{}\":[", minute[0].0.unix_s()));
        push_list(body, minute, |body, (_, index, count)| {
            body.extend(["[", digits.format(*index)]);
            body.extend([",", digits.format(*count), "]"]);
        });
        body.push(']');
    });
    body.push_str("}}");
}

fn push_list<T>(body: &mut String, items: impl IntoIterator<Item = T>, mut one: impl FnMut(&mut String, T)) {
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        one(body, item);
    }
}

fn push(body: &mut String, text: std::fmt::Arguments<'_>) {
    body.write_fmt(text).expect("writing into a String cannot fail");
}

/// `"name",`: no character of a name needs escaping.
fn name_bytes(name: &EventName<'_>) -> usize {
    name.as_str().len() + 3
}

/// `[index,count],`
fn pair_bytes(index: u32, count: u64) -> usize {
    4 + digits(u64::from(index)) + digits(count)
}

fn digits(n: u64) -> usize {
    n.checked_ilog10()
        .map_or(1, |log| usize::try_from(log).unwrap_or(usize::MAX) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventIds, decode};
    use model::{CLIENT_BYTES_MAX, Client, ContentHash, MinuteCounts, PIECE_BYTES_MAX, Piece};
    use proptest::prelude::*;

    const NOW: i64 = 1_763_787_600;

    fn now() -> Instant {
        Instant::from_unix_ms(NOW * 1000 + 125)
    }

    fn origin(client: &str) -> Origin {
        Origin {
            client: Client::of(client),
            content: ContentHash(0xabc),
        }
    }

    fn event(name: &str, minute: i64, count: u64) -> (EventName<'static>, Minute, u64) {
        (
            EventName::new(name.to_owned()).unwrap(),
            Minute::from_unix_s(NOW - minute * 60).unwrap(),
            count,
        )
    }

    #[test]
    fn the_wire_format_is_the_designs() {
        let unkeyed = "0199aa55-0000-7000-8000-000000000001".parse().unwrap();
        let keyed = "0199aa55-0000-7000-8000-000000000002".parse().unwrap();
        let mut job = JobBuilder::new(unkeyed);
        let (name, minute, _) = event("a.b", 0, 1);
        assert!(job.add_event(&name, minute, 3));
        assert!(job.add_event(&name, minute, 4));
        let origin = origin("shop");
        assert!(job.add_batch(keyed, &origin, &[event("c", 1, 9)]));
        assert_eq!(
            job.encode(now()),
            r#"{"accepted":1763787600.125,"names":["a.b","c"],"batches":[{"id":"0199aa55-0000-7000-8000-000000000001","counts":{"1763787600":[[0,7]]}},{"id":"0199aa55-0000-7000-8000-000000000002","client":"shop","content":"0000000000000abc","counts":{"1763787540":[[1,9]]}}]}"#
        );
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_and_fits(
            events in prop::collection::vec(("[a-z.]{1,255}", 0i64..2000, 1u64..=1_000_000_000), 1..400),
            keyed in prop::collection::vec(("[a-z]{1,3}", 0i64..3, 1u64..=1_000_000_000), 1..400),
        ) {
            let unkeyed_id = BatchId::from_bytes([1; 16]);
            let keyed_id = BatchId::from_bytes([2; 16]);
            let mut job = JobBuilder::new(unkeyed_id);
            let keyed: Vec<_> = keyed.iter().map(|(n, m, c)| event(n, *m, *c)).collect();
            let origin = origin("10.1.2.3");
            prop_assert!(job.add_batch(keyed_id, &origin, &keyed));
            let mut expected = MinuteCounts::default();
            for (name, minute, count) in &events {
                let (name, minute, count) = event(name, *minute, *count);
                if job.add_event(&name, minute, count) {
                    expected.add(name.id(), minute, count);
                }
            }
            let body = job.encode(now());
            prop_assert!(body.len() <= JOB_BYTES_MAX);
            let decoded = decode(body.as_bytes(), &mut EventIds::default()).unwrap();
            prop_assert_eq!(decoded.batches.len(), if expected.is_empty() { 1 } else { 2 });
            for batch in &decoded.batches {
                let mut sums = MinuteCounts::default();
                for &(id, minute, count) in &batch.counts {
                    sums.add(id, minute, count);
                }
                let mut keyed_sums = MinuteCounts::default();
                for (name, minute, count) in &keyed {
                    keyed_sums.add(name.id(), *minute, *count);
                }
                prop_assert_eq!(&sums, if batch.id == keyed_id { &keyed_sums } else { &expected });
                prop_assert_eq!(&batch.origin, &(batch.id == keyed_id).then(|| origin.clone()));
            }
        }

        #[test]
        fn every_piece_fits_into_an_empty_job(
            length in 1usize..=255, names in 1usize..2000, minutes in 1i64..2000, count in 1u64..=1_000_000_000,
        ) {
            let mut cut = Piece::default();
            let mut piece = Vec::new();
            for at in 0.. {
                if cut.of_next(length) > 0 {
                    break;
                }
                let name: String = format!("{:0>length$}", at % names).chars().rev().take(length).collect();
                piece.push(event(&name, i64::try_from(at).unwrap() % minutes, count));
            }
            prop_assert!(piece.len() * (length + 40) <= PIECE_BYTES_MAX);
            let mut job = JobBuilder::new(BatchId::from_bytes([0; 16]));
            let origin = origin(&"x".repeat(CLIENT_BYTES_MAX));
            prop_assert!(job.add_batch(BatchId::from_bytes([1; 16]), &origin, &piece));
            prop_assert!(job.encode(now()).len() <= JOB_BYTES_MAX);
        }
    }

    #[test]
    fn what_was_accepted_at_no_time_is_readable() {
        let mut job = JobBuilder::new(BatchId::from_bytes([1; 16]));
        let (name, minute, _) = event("a", 0, 1);
        assert!(job.add_event(&name, minute, 1));
        for unix_s in [0, i64::from(u32::MAX)] {
            let body = job.encode(Instant::from_unix_ms(1000 * unix_s));
            assert!(
                decode(body.as_bytes(), &mut EventIds::default()).is_ok(),
                "{body}"
            );
        }
    }

    #[test]
    fn a_full_job_says_so_and_stays_as_it_is() {
        let mut job = JobBuilder::new(BatchId::from_bytes([0; 16]));
        let mut taken = 0;
        while job.add_event(
            &event(&format!("{taken:0>255}"), 0, 1).0,
            Minute::from_unix_s(NOW).unwrap(),
            1,
        ) {
            taken += 1;
        }
        let body = job.encode(now());
        let decoded = decode(body.as_bytes(), &mut EventIds::default()).unwrap();
        assert_eq!(decoded.batches[0].counts.len(), taken);
        assert_eq!(decoded.names.len(), taken);
    }
}
