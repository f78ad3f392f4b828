use super::*;
use crate::{EventIds, decode};
use model::{
    CLIENT_BYTES_MAX, Client, ContentHash, EventName, Minute, MinuteCounts, Origin, PIECE_BYTES_MAX, Piece,
    Timestamp,
};
use proptest::prelude::*;

const NOW: i64 = 1_763_787_600;

fn now() -> Timestamp {
    Timestamp::from_unix_ms(NOW * 1000 + 125)
}

fn origin(client: &str) -> Origin {
    Origin {
        client: Client::of(client),
        content: ContentHash(0xabc),
    }
}

fn name(text: impl Into<String>) -> EventName<'static> {
    EventName::new(text.into()).unwrap()
}

fn minute(ago: i64) -> Minute {
    Minute::from_unix_s(NOW - ago * 60).unwrap()
}

fn unkeyed_id() -> BatchId {
    "0199aa55-0000-7000-8000-000000000001".parse().unwrap()
}

fn keyed_id(number: u8) -> BatchId {
    BatchId::from_bytes([number; 16])
}

/// Batches of a request, one for each list of events.
fn keyed(client: &str, batches: &[Vec<(EventName<'static>, Minute, u64)>]) -> Keyed {
    let mut keyed = Keyed::default();
    for (number, events) in (1..).zip(batches) {
        let counts = events
            .iter()
            .map(|(name, minute, count)| (keyed.names.number(name), *minute, *count))
            .collect();
        keyed.batches.push(KeyedBatch {
            id: keyed_id(number),
            origin: origin(client),
            counts,
        });
    }
    keyed
}

fn bodies(packer: JobPacker) -> Vec<String> {
    let jobs = packer.finish();
    let bodies: Vec<String> = jobs.iter().map(|job| job.encode(now())).collect();
    assert!(bodies.iter().all(|body| body.len() <= JOB_BYTES_MAX));
    bodies
}

/// What a worker would count of the batches under `id`; their number, and all the names in the jobs.
fn read(bodies: &[String], id: BatchId) -> (MinuteCounts, usize, usize) {
    let (mut sums, mut batches, mut names) = (MinuteCounts::default(), 0, 0);
    for body in bodies {
        let mut ids = EventIds::default();
        let decoded = decode(body.as_bytes(), &mut ids).unwrap();
        names += decoded.names.len();
        for batch in decoded.batches.iter().filter(|batch| batch.id == id) {
            assert_eq!(batch.origin.is_some(), id != unkeyed_id());
            batches += 1;
            batch
                .counts
                .iter()
                .for_each(|&(id, minute, count)| sums.add(id, minute, count));
        }
    }
    (sums, batches, names)
}

#[test]
fn the_wire_format_is_the_designs() {
    let mut packer = JobPacker::new(unkeyed_id);
    let mut keyed = keyed(
        "shop",
        &[vec![(name("c"), minute(1), 9), (name("a.b"), minute(0), 1)]],
    );
    keyed.batches[0].id = "0199aa55-0000-7000-8000-000000000002".parse().unwrap();
    packer.add_keyed(&keyed);
    let mut counts = Counts::default();
    counts.add(&name("a.b"), minute(0), 3);
    counts.add(&name("a.b"), minute(0), 4);
    packer.add(counts);
    assert_eq!(
        bodies(packer),
        [
            r#"{"accepted":1763787600.125,"names":["c","a.b"],"batches":[{"id":"0199aa55-0000-7000-8000-000000000002","client":"shop","content":"0000000000000abc","counts":{"1763787540":[[0,9]],"1763787600":[[1,1]]}},{"id":"0199aa55-0000-7000-8000-000000000001","counts":{"1763787600":[[1,7]]}}]}"#
        ]
    );
}

#[test]
fn nothing_makes_no_job() {
    assert!(JobPacker::new(unkeyed_id).finish().is_empty());
}

/// So many names of 255 bytes, and one of `last`.
fn nearly_full(long: usize, last: usize) -> Vec<(EventName<'static>, Minute, u64)> {
    let names = (0..long).map(|number| format!("{number:0>255}"));
    let names = names.chain([format!("{:x>last$}", "x")]);
    names.map(|text| (name(text), minute(0), 7)).collect()
}

#[test]
fn a_job_may_be_as_long_as_the_limit_and_is_not_far_from_its_estimate() {
    let unkeyed = |last| {
        let (mut packer, mut counts) = (JobPacker::new(unkeyed_id), Counts::default());
        for (name, minute, count) in nearly_full(246, last) {
            counts.add(&name, minute, count);
        }
        packer.add(counts);
        packer.finish()
    };
    let with_key = |last| {
        let mut packer = JobPacker::new(unkeyed_id);
        let (most, last) = nearly_full(245, last)
            .into_iter()
            .partition(|(name, ..)| name.as_str().starts_with("000"));
        packer.add_keyed(&keyed("shop", &[most, last]));
        packer.finish()
    };
    for packed in [&unkeyed as &dyn Fn(usize) -> Vec<Job>, &with_key] {
        let is_full = |jobs: &[Job]| jobs.len() == 1 && jobs[0].bytes_max == JOB_BYTES_MAX;
        let full = (1..=255).map(packed).find(|jobs| is_full(jobs));
        let job = &full.expect("one of these lengths fills the job")[0];
        assert!(job.encode(now()).len() + 2 * BATCH_BYTES > JOB_BYTES_MAX);
    }
}

proptest! {
    #[test]
    fn what_goes_in_comes_out_and_fits(
        events in prop::collection::vec(("[a-z.]{1,255}", 0i64..2000, 1u64..=1_000_000_000), 0..800),
        batches_text in prop::collection::vec(
            prop::collection::vec(("[a-z]{1,3}", 0i64..3, 1u64..=1_000_000_000), 1..400), 0..12,
        ),
    ) {
        let event = |(n, m, c): &(String, i64, u64)| (name(n.as_str()), minute(*m), *c);
        let batches: Vec<Vec<_>> = batches_text.iter().map(|batch| batch.iter().map(event).collect()).collect();
        let (mut counts, mut expected) = (Counts::default(), MinuteCounts::default());
        for (name, minute, count) in events.iter().map(event) {
            counts.add(&name, minute, count);
            expected.add(name.id(), minute, count);
        }
        let total = events.iter().chain(batches_text.iter().flatten()).map(|event| event.2).sum::<u64>();
        let mut packer = JobPacker::new(unkeyed_id);
        packer.add(counts);
        packer.add_keyed(&keyed("10.1.2.3", &batches));
        prop_assert_eq!(packer.full.iter().map(Job::total).sum::<u64>() + packer.open.total, total);
        let bodies = bodies(packer);
        prop_assert_eq!(&read(&bodies, unkeyed_id()).0, &expected);
        for (number, batch) in (1..).zip(&batches) {
            let (sums, times, _) = read(&bodies, keyed_id(number));
            let mut expected = MinuteCounts::default();
            batch.iter().for_each(|(name, minute, count)| expected.add(name.id(), *minute, *count));
            prop_assert_eq!((&sums, times), (&expected, 1));
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
            let text: String = format!("{:0>length$}", at % names).chars().rev().take(length).collect();
            piece.push((name(text), minute(i64::try_from(at).unwrap() % minutes), count));
        }
        prop_assert!(piece.len() * (length + 40) <= PIECE_BYTES_MAX);
        let mut packer = JobPacker::new(unkeyed_id);
        packer.add_keyed(&keyed(&"x".repeat(CLIENT_BYTES_MAX), &[piece]));
        prop_assert_eq!(bodies(packer).len(), 1);
    }
}

#[test]
fn what_was_accepted_at_no_time_is_readable() {
    for unix_s in [0, i64::from(u32::MAX)] {
        let mut counts = Counts::default();
        counts.add(&name("a"), minute(0), 1);
        let mut packer = JobPacker::new(unkeyed_id);
        packer.add(counts);
        let body = packer.finish()[0].encode(Timestamp::from_unix_ms(1000 * unix_s));
        assert!(
            decode(body.as_bytes(), &mut EventIds::default()).is_ok(),
            "{body}"
        );
    }
}

#[test]
fn jobs_are_full_and_have_a_name_once() {
    let mut counts = Counts::default();
    for n in 0..5_000 {
        for ago in [0, 3, 1, 2] {
            counts.add(&name(format!("shop.item.{n:05}")), minute(ago), 1);
        }
    }
    let mut packer = JobPacker::new(unkeyed_id);
    packer.add(counts);
    let bodies = bodies(packer);
    let (last, others) = bodies.split_last().unwrap();
    assert!(
        others.iter().all(|body| body.len() > JOB_BYTES_MAX * 9 / 10),
        "{}",
        last.len()
    );
    let (sums, _, names) = read(&bodies, unkeyed_id());
    assert_eq!(sums.len(), 20_000);
    // One that begins in one job may end in the next.
    assert!((5_000..5_000 + bodies.len()).contains(&names), "{names}");
}

#[test]
fn a_sum_that_no_count_may_be_is_several() {
    let mut counts = Counts::default();
    counts.add(&name("a"), minute(0), COUNT_MAX);
    counts.add(&name("a"), minute(0), 5);
    let mut packer = JobPacker::new(unkeyed_id);
    packer.add(counts);
    let body = bodies(packer).remove(0);
    assert!(body.contains(&format!("[[0,{COUNT_MAX}],[0,5]]")), "{body}");
}
