//! Gathers the counts of many requests, within bounds, until they are put into the queue.
//!
//! Requests wait for a [`Ticket`], which the putter settles once every job that may hold their counts is on disk, or is not.

#![expect(
    clippy::disallowed_methods,
    reason = "batches without a key get their ids here"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gate::{ClientKey, FairQueue, Held, Number, Pool};
use model::{BatchId, QueueDepth};
use queue::{Counts, Job, JobPacker, Keyed};
use tokio::sync::{Notify, oneshot, watch};
use uuid::Uuid;

use crate::admission::{Admission, Backpressure};
use crate::lanes::{Lane, Lanes};

/// Bytes of memory of sums that surely fill a job: they do not linger.
const JOB_BYTES_FULL: usize = 700_000;

/// Bytes of memory of sums that do not wait for requests being read, so that they stay in the processor's cache.
const GATHERED_BYTES_FULL: usize = 16 << 20;

/// Longest time that counts wait for requests that are being read.
const READING_MAX: Duration = Duration::from_millis(50);

/// Bytes of memory of counts that wait for room among those on their way into the queue; each client has a share of it.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// Longest wait for room. A client that is refused then comes again within seconds.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(2);

/// The outcome of the counts that were gathered together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All of them are in the queue, on disk.
    Stored,
    /// None of them is in the queue.
    NotStored,
    /// Some of them, or none, or all are in the queue.
    Unknown,
}

/// A request's view of the outcome of the counts that were gathered together; `None` until it is known.
pub(crate) type Ticket = watch::Receiver<Option<Outcome>>;

/// The counts of one request.
#[derive(Debug)]
pub(crate) enum Counted {
    /// Counts without a key, for the batch that all requests share.
    Unkeyed(Counts),
    /// Batches of the request's own.
    Keyed(Keyed),
}

/// What became of counts that were added.
#[derive(Debug)]
pub(crate) enum Added {
    /// There was nothing to add.
    Nothing,
    /// They are on their way into the queue.
    OnTheirWay(Ticket),
    /// They wait for room.
    Waiting(Waiting),
}

impl Added {
    /// Waits for room, and then for at most `limit` until it is known what became of the counts; `None` where there were none. Beyond the
    /// limit they are unknown: their jobs may still be put.
    ///
    /// # Errors
    /// No room came free in time; none of the counts was added.
    pub(crate) async fn outcome(self, limit: Duration) -> Result<Option<Outcome>, Backpressure> {
        let mut ticket = match self {
            Self::Nothing => return Ok(None),
            Self::OnTheirWay(ticket) => ticket,
            Self::Waiting(waiting) => waiting.room().await?,
        };
        let told = tokio::time::timeout(limit, ticket.wait_for(Option::is_some)).await;
        let told = told.ok().and_then(|told| told.ok().and_then(|outcome| *outcome));
        Ok(Some(told.unwrap_or(Outcome::Unknown)))
    }
}

impl Counted {
    fn is_empty(&self) -> bool {
        match self {
            Self::Unkeyed(counts) => counts.is_empty(),
            Self::Keyed(keyed) => keyed.is_empty(),
        }
    }

    /// Bytes of memory, from above.
    fn bytes(&self) -> usize {
        match self {
            Self::Unkeyed(counts) => counts.bytes(),
            Self::Keyed(keyed) => keyed.bytes(),
        }
    }
}

/// The counts on their way from requests to the putters. Many requests add, one putter of each lane takes.
#[derive(Debug)]
pub(crate) struct Combiner {
    state: Mutex<State>,
    /// Wakes a lane's putter. It is the only one that waits, and a notification that comes while it does not is kept for it.
    changed: Lanes<Notify>,
    /// The memory of counts that wait for room.
    waiting_memory: Pool,
}

#[derive(Debug)]
struct State {
    /// The counts to which requests add until the lane's putter takes them.
    open: Lanes<Gathered>,
    /// What decides on the open counts and those being put.
    admission: Admission,
    /// The number of requests, of each client, that are being read and will add to the open counts within milliseconds.
    reading: HashMap<ClientKey, usize>,
    /// Counts for which there was no room when they came.
    waiting: FairQueue<Waits>,
}

/// Counts that wait for room.
#[derive(Debug)]
struct Waits {
    counted: Counted,
    /// Their part of the memory of all that wait.
    _held: Held,
    client: ClientKey,
    told: oneshot::Sender<Result<Ticket, Backpressure>>,
}

/// Counts that wait for room. They leave when this is dropped: who does not wait any more is not counted.
#[derive(Debug)]
pub(crate) struct Waiting {
    combiner: Arc<Combiner>,
    client: ClientKey,
    number: Number,
    told: oneshot::Receiver<Result<Ticket, Backpressure>>,
}

impl Waiting {
    /// Waits for room, for [`ROOM_WAIT_MAX`] at most.
    ///
    /// # Errors
    /// None of the counts was added.
    pub(crate) async fn room(mut self) -> Result<Ticket, Backpressure> {
        let told = tokio::time::timeout(ROOM_WAIT_MAX, &mut self.told).await;
        if let Ok(Ok(outcome)) = told {
            return outcome;
        }
        // Out of the queue, under its lock: they may have had their turn in this moment, and then they count.
        if self.leave() {
            return Err(Backpressure::Full);
        }
        self.told.try_recv().unwrap_or(Err(Backpressure::Full))
    }

    /// Takes the counts out; false where they do not wait any more.
    fn leave(&self) -> bool {
        let left = self.combiner.lock().waiting.remove(&self.client, self.number);
        left.is_some()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The counts that came in until the queue was free for them: sums over many requests, so that jobs grow with names and not with
/// events.
#[derive(Debug)]
pub(crate) struct Gathered {
    lane: Lane,
    sums: Sums,
    /// Bytes of memory of what is not yet added up.
    apart_bytes: usize,
    /// The clients whose counts these are; of many only some.
    clients: Vec<ClientKey>,
    /// What was admitted of these counts: memory of what came, before it was summed.
    bytes: usize,
    outcome: watch::Sender<Option<Outcome>>,
}

/// Counts of many requests.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    /// Those without a key, added up.
    unkeyed: Counts,
    /// Those without a key that are still to be added.
    large: Vec<Counts>,
    keyed: Vec<Keyed>,
}

/// A request that is being read. As long as it lives, counts may wait for those of that request.
pub(crate) struct ReadingGuard {
    combiner: Arc<Combiner>,
    client: ClientKey,
}

impl Drop for ReadingGuard {
    fn drop(&mut self) {
        let mut state = self.combiner.lock();
        if let Some(of_client) = state.reading.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                state.reading.remove(&self.client);
            }
        }
        drop(state);
        self.combiner.changed.long.notify_one();
    }
}

impl Gathered {
    fn new(lane: Lane) -> Self {
        Self {
            lane,
            sums: Sums::default(),
            apart_bytes: 0,
            clients: Vec::new(),
            bytes: 0,
            outcome: watch::Sender::new(None),
        }
    }

    fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Adds counts that were admitted with so many bytes, and returns the ticket of all that are here.
    fn add(&mut self, client: &ClientKey, counted: Counted, bytes: usize) -> Ticket {
        /// Clients that are looked at; where there are more, nobody waits for one of them.
        const CLIENTS_MAX: usize = 8;
        self.bytes += bytes;
        if self.clients.len() < CLIENTS_MAX && !self.clients.contains(client) {
            self.clients.push(client.clone());
        }
        match counted {
            Counted::Unkeyed(counts) if self.lane == Lane::Short => self.sums.unkeyed.merge(counts),
            // Added when they are packed: whoever holds the lock under which this happens holds up all others.
            Counted::Unkeyed(counts) => {
                self.apart_bytes += bytes;
                self.sums.large.push(counts);
            }
            Counted::Keyed(keyed) => {
                self.apart_bytes += bytes;
                self.sums.keyed.push(keyed);
            }
        }
        self.outcome.subscribe()
    }

    /// Bytes of memory of the sums, from above.
    fn summed_bytes(&self) -> usize {
        self.sums.unkeyed.bytes() + self.apart_bytes
    }

    /// Whether no more is to be waited for: one of the clients whose counts these are has nothing more that is being read. Nobody waits for
    /// another client's requests alone.
    fn is_complete(&self, reading: &HashMap<ClientKey, usize>) -> bool {
        reading.is_empty() || self.clients.iter().any(|client| !reading.contains_key(client))
    }

    /// Whether the counts surely fill a job, so that packing them takes longer than handing them to another thread.
    pub(crate) fn fills_a_job(&self) -> bool {
        self.summed_bytes() >= JOB_BYTES_FULL
    }

    /// Takes the counts out, and leaves what [`Combiner::finish`] needs.
    pub(crate) fn take_sums(&mut self) -> Sums {
        std::mem::take(&mut self.sums)
    }
}

/// Packs counts into jobs. Every batch without a key gets a new id, which all repetitions of a put then share.
pub(crate) fn pack(sums: Sums) -> Vec<Job> {
    let Sums {
        mut unkeyed,
        large,
        keyed,
    } = sums;
    large.into_iter().for_each(|counts| unkeyed.merge(counts));
    let mut packer = JobPacker::new(|| BatchId::from(Uuid::now_v7()));
    packer.add(unkeyed);
    keyed.iter().for_each(|keyed| packer.add_keyed(keyed));
    packer.finish()
}

impl Combiner {
    pub(crate) fn new(jobs_max: u64, is_fair: bool) -> Self {
        let state = State {
            open: Lanes {
                short: Gathered::new(Lane::Short),
                long: Gathered::new(Lane::Long),
            },
            admission: Admission::new(jobs_max),
            reading: HashMap::new(),
            waiting: FairQueue::new(is_fair),
        };
        Self {
            state: Mutex::new(state),
            changed: Lanes::default(),
            waiting_memory: Pool::new(WAITING_BYTES_MAX, is_fair),
        }
    }

    /// Announces a request of a client that will be added; the guard is to be held until it was.
    pub(crate) fn reading(self: &Arc<Self>, client: &ClientKey) -> ReadingGuard {
        *self.lock().reading.entry(client.clone()).or_insert(0) += 1;
        ReadingGuard {
            combiner: self.clone(),
            client: client.clone(),
        }
    }

    /// Adds the counts of a request of a client of so much weight, all or nothing: there is room for every job that they may need. Where
    /// there is none, or others wait for some, they wait for their turn.
    ///
    /// # Errors
    /// Nothing was added, and the client is to try again later.
    pub(crate) fn add(
        self: &Arc<Self>,
        (client, weight): (&ClientKey, u32),
        counted: Counted,
    ) -> Result<Added, Backpressure> {
        if counted.is_empty() {
            return Ok(Added::Nothing);
        }
        let bytes = counted.bytes();
        let lane = Lane::of(bytes);
        let mut state = self.lock();
        if state.waiting.is_empty() {
            match state.admission.admit(bytes) {
                Ok(()) => {
                    state.waiting.note(client, weight, bytes);
                    // Under the same lock as the counts: a moment later, the putter may have taken them, and a new ticket would be one
                    // for others.
                    let ticket = state.open.get_mut(lane).add(client, counted, bytes);
                    drop(state);
                    self.changed.get(lane).notify_one();
                    return Ok(Added::OnTheirWay(ticket));
                }
                Err(Backpressure::Full) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        // Who waits for what can never be there would only hold up the others.
        if !state.admission.could_admit(bytes) {
            return Err(Backpressure::Full);
        }
        let held = self
            .waiting_memory
            .take(client, weight, bytes)
            .map_err(|_| Backpressure::Full)?;
        let (told, tells) = oneshot::channel();
        let waits = Waits {
            counted,
            _held: held,
            client: client.clone(),
            told,
        };
        let number = state.waiting.push(client, weight, bytes, waits);
        drop(state);
        // The putters ask more often how full the queue is, as long as somebody waits.
        self.wake_putters();
        Ok(Added::Waiting(Waiting {
            combiner: self.clone(),
            client: client.clone(),
            number,
            told: tells,
        }))
    }

    /// Whether counts wait for room.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Waits until the open counts of a lane need not wait for others any more, and takes them; `None` where there are none. `linger` is how
    /// long they wait in any case.
    pub(crate) async fn next(&self, lane: Lane, linger: Duration) -> Option<Gathered> {
        if self.lock().open.get(lane).is_empty() {
            return None;
        }
        // Requests that have come already are read first, which costs no waiting.
        tokio::task::yield_now().await;
        let pause = self.lock().admission.linger(linger);
        if !pause.is_zero() {
            // A timeout is the common end: no job became full meanwhile.
            let fills_a_job = |state: &State| state.open.get(lane).fills_a_job();
            tokio::time::timeout(pause, self.until(lane, fills_a_job))
                .await
                .ok();
        }
        if lane == Lane::Long {
            let all_are_in = |state: &State| {
                let open = &state.open.long;
                open.is_complete(&state.reading) || open.summed_bytes() >= GATHERED_BYTES_FULL
            };
            tokio::time::timeout(READING_MAX, self.until(lane, all_are_in))
                .await
                .ok();
        }
        // Taken only now, so that all that came while this waited shares the jobs.
        self.take(lane)
    }

    /// Takes the open counts of a lane without waiting; `None` where there are none. What is added from now on belongs to others.
    pub(crate) fn take(&self, lane: Lane) -> Option<Gathered> {
        let mut state = self.lock();
        let open = state.open.get_mut(lane);
        (!open.is_empty()).then(|| std::mem::replace(open, Gathered::new(lane)))
    }

    /// Settles the tickets of all requests whose counts were gathered, and frees the memory. To be called once for all that was taken,
    /// whatever became of it: else that memory stays taken.
    pub(crate) fn finish(&self, gathered: &Gathered, outcome: Outcome) {
        let mut state = self.lock();
        state.admission.release(gathered.lane, gathered.bytes);
        self.let_in(state);
        gathered.outcome.send_replace(Some(outcome));
    }

    /// Returns when counts may have been added to a lane since the last call.
    pub(crate) async fn changed(&self, lane: Lane) {
        self.changed.get(lane).notified().await;
    }

    /// Returns when `is_reached` holds. No change between the check and the wait is missed: a notification is kept.
    async fn until(&self, lane: Lane, is_reached: impl Fn(&State) -> bool) {
        while !is_reached(&self.lock()) {
            self.changed(lane).await;
        }
    }

    fn wake_putters(&self) {
        self.changed.short.notify_one();
        self.changed.long.notify_one();
    }

    /// As [`Admission::queue_answered`].
    pub(crate) fn queue_answered(&self, depth: &QueueDepth, stored_before: u64) {
        let mut state = self.lock();
        state.admission.queue_answered(depth, stored_before);
        self.let_in(state);
    }

    /// As [`Admission::queue_failed`].
    pub(crate) fn queue_failed(&self) {
        let mut state = self.lock();
        state.admission.queue_failed();
        self.let_in(state);
    }

    /// As [`Admission::job_stored`].
    pub(crate) fn job_stored(&self) {
        self.lock().admission.job_stored();
    }

    /// As [`Admission::stored`].
    pub(crate) fn jobs_stored(&self) -> u64 {
        self.lock().admission.stored()
    }

    /// Lets in who waits, as far as there is room.
    fn let_in(&self, mut state: MutexGuard<'_, State>) {
        if state.waiting.is_empty() {
            return;
        }
        state.let_in();
        drop(state);
        self.wake_putters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets those in that wait, one after the other, as far as there is room; all are refused where the queue is away.
    fn let_in(&mut self) {
        while let Some((_, bytes)) = self.waiting.first() {
            match self.admission.admit(bytes) {
                Ok(()) => {
                    let Some(waits) = self.waiting.pop() else { return };
                    let open = self.open.get_mut(Lane::of(bytes));
                    let ticket = open.add(&waits.client, waits.counted, bytes);
                    // Whoever gives up in this moment finds the ticket all the same.
                    waits.told.send(Ok(ticket)).ok();
                }
                Err(Backpressure::Full) => return,
                Err(Backpressure::QueueAway) => {
                    for waits in self.waiting.take_all() {
                        waits.told.send(Err(Backpressure::QueueAway)).ok();
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{EventName, Minute};
    use proptest::prelude::*;

    use super::*;

    fn combiner() -> Arc<Combiner> {
        let combiner = Combiner::new(1_000, true);
        combiner.queue_answered(&QueueDepth::default(), combiner.jobs_stored());
        Arc::new(combiner)
    }

    /// Counts of one name in one minute.
    fn counts(name: &str, count: u64) -> Counted {
        let mut counts = Counts::default();
        let minute = Minute::from_unix_s(1_763_787_600).unwrap();
        counts.add(&EventName::new(name).unwrap(), minute, count);
        Counted::Unkeyed(counts)
    }

    /// The number of names in [`many_counts`]: enough for the long lane.
    const MANY: u64 = 1_000;

    /// So many of each of many names.
    fn many_counts(count: u64) -> Counted {
        let mut counts = Counts::default();
        let minute = Minute::from_unix_s(1_763_787_600).unwrap();
        for n in 0..MANY {
            counts.add(&EventName::new(format!("n{n}")).unwrap(), minute, count);
        }
        Counted::Unkeyed(counts)
    }

    fn client(host: u8) -> ClientKey {
        ClientKey::of_address([192, 0, 2, host].into())
    }

    /// Adds counts of one client, and returns their ticket.
    fn add(combiner: &Arc<Combiner>, counted: Counted) -> Ticket {
        match combiner.add((&client(1), 1), counted).unwrap() {
            Added::OnTheirWay(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn total(mut gathered: Gathered) -> u64 {
        let jobs = pack(gathered.take_sums());
        jobs.iter().map(Job::total).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_settled_with_the_counts_that_it_is_of() {
        let combiner = combiner();
        let mut first = add(&combiner, counts("a", 1));
        let gathered = combiner.next(Lane::Short, Duration::ZERO).await.unwrap();
        let mut second = add(&combiner, counts("a", 2));
        combiner.finish(&gathered, Outcome::Unknown);
        assert_eq!(*first.borrow_and_update(), Some(Outcome::Unknown));
        assert_eq!(
            *second.borrow_and_update(),
            None,
            "it was added after those were taken"
        );
        assert_eq!(total(gathered), 1);
        let gathered = combiner.take(Lane::Short).unwrap();
        combiner.finish(&gathered, Outcome::Stored);
        assert_eq!(*second.borrow_and_update(), Some(Outcome::Stored));
        assert!(combiner.take(Lane::Short).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn counts_of_long_bodies_wait_for_others_that_are_being_read_and_not_for_ever() {
        let combiner = combiner();
        add(&combiner, many_counts(1));
        let reading = combiner.reading(&client(1));
        let begun = tokio::time::Instant::now();
        let both = async {
            tokio::time::sleep(READING_MAX / 2).await;
            add(&combiner, many_counts(2));
            // What is short goes its own way.
            add(&combiner, counts("a", 5));
            let short = combiner.next(Lane::Short, Duration::ZERO).await;
            assert_eq!(total(short.unwrap()), 5);
            drop(reading);
        };
        let (gathered, ()) = tokio::join!(combiner.next(Lane::Long, Duration::ZERO), both);
        assert_eq!(total(gathered.unwrap()), 3 * MANY);
        add(&combiner, many_counts(1));
        let _never_added = combiner.reading(&client(1));
        assert!(combiner.next(Lane::Long, Duration::ZERO).await.is_some());
        assert_eq!(begun.elapsed(), READING_MAX / 2 + READING_MAX);
    }

    #[test]
    fn no_counts_are_no_ticket() {
        let combiner = combiner();
        let none = combiner.add((&client(1), 1), Counted::Unkeyed(Counts::default()));
        assert!(matches!(none, Ok(Added::Nothing)));
        combiner.queue_failed();
        let refused = combiner.add((&client(1), 1), counts("a", 1)).unwrap_err();
        assert_eq!(refused, Backpressure::QueueAway);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_the_requests_of_another_client() {
        let combiner = combiner();
        let _flood = combiner.reading(&client(2));
        add(&combiner, many_counts(1));
        let begun = tokio::time::Instant::now();
        assert!(combiner.next(Lane::Long, Duration::ZERO).await.is_some());
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    /// A combiner whose queue has room for one more job and then is full.
    fn nearly_full() -> (Arc<Combiner>, Gathered) {
        let combiner = Arc::new(Combiner::new(1, true));
        combiner.queue_answered(&QueueDepth::default(), combiner.jobs_stored());
        add(&combiner, counts("first", 1));
        let first = combiner.take(Lane::Short).unwrap();
        combiner.job_stored();
        (combiner, first)
    }

    fn waiting(combiner: &Arc<Combiner>, of: (&ClientKey, u32), counted: Counted) -> Waiting {
        match combiner.add(of, counted).unwrap() {
            Added::Waiting(waiting) => waiting,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_waits_for_it_and_not_for_ever() {
        let (combiner, first) = nearly_full();
        let begun = tokio::time::Instant::now();
        let refused = waiting(&combiner, (&client(1), 1), counts("late", 1))
            .room()
            .await;
        assert_eq!(
            (refused.unwrap_err(), begun.elapsed()),
            (Backpressure::Full, ROOM_WAIT_MAX)
        );
        assert!(!combiner.is_waited_for(), "who was refused is not counted");
        drop(waiting(&combiner, (&client(1), 1), counts("gone", 1)));
        assert!(!combiner.is_waited_for());

        let waits = waiting(&combiner, (&client(1), 1), counts("waits", 7));
        combiner.finish(&first, Outcome::Stored);
        assert!(combiner.take(Lane::Short).is_none(), "its job is in the queue");
        combiner.queue_answered(&QueueDepth::default(), combiner.jobs_stored());
        let mut ticket = waits.room().await.unwrap();
        let gathered = combiner.take(Lane::Short).unwrap();
        combiner.finish(&gathered, Outcome::Stored);
        assert_eq!(
            (*ticket.borrow_and_update(), total(gathered)),
            (Some(Outcome::Stored), 7)
        );

        combiner.job_stored();
        let waits = waiting(&combiner, (&client(1), 1), counts("away", 1));
        combiner.queue_failed();
        assert_eq!(waits.room().await.unwrap_err(), Backpressure::QueueAway);
    }

    #[tokio::test(start_paused = true)]
    async fn room_goes_by_weight() {
        let (combiner, first) = nearly_full();
        // Together more than there is room for in a job.
        let counts = |count| {
            let mut counts = Counts::default();
            let minute = Minute::from_unix_s(1_763_787_600).unwrap();
            for n in 0..150 {
                counts.add(&EventName::new(format!("n{n}")).unwrap(), minute, count);
            }
            Counted::Unkeyed(counts)
        };
        let (one, three) = (client(1), client(3));
        let _waits: Vec<Waiting> = (0..80)
            .flat_map(|_| [(&one, 1, 1), (&three, 3, 1_000)])
            .map(|(client, weight, count)| waiting(&combiner, (client, weight), counts(count)))
            .collect();
        combiner.finish(&first, Outcome::Stored);
        let mut sum = 0;
        for _ in 0..40 {
            combiner.queue_answered(&QueueDepth::default(), combiner.jobs_stored());
            let gathered = combiner.take(Lane::Long).unwrap();
            combiner.finish(&gathered, Outcome::Stored);
            combiner.job_stored();
            sum += total(gathered) / 150;
        }
        assert_eq!((sum % 1_000, sum / 1_000), (10, 30));
    }

    proptest! {
        #[test]
        fn what_is_added_is_taken_once(added in prop::collection::vec((0u8..5, 1u64..1_000, any::<bool>()), 0..60)) {
            let combiner = combiner();
            let (mut expected, mut taken) = (0, 0);
            for (name, count, takes) in added {
                add(&combiner, counts(&format!("n{name}"), count));
                expected += count;
                if takes && let Some(gathered) = combiner.take(Lane::Short) {
                    combiner.finish(&gathered, Outcome::Stored);
                    taken += total(gathered);
                }
            }
            taken += combiner.take(Lane::Short).map_or(0, total);
            prop_assert_eq!(taken, expected);
        }
    }
}
