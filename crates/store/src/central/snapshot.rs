//! Snapshots: the central database as of one moment.

use std::sync::Arc;
use std::time::Instant;

use model::{EventId, EventName, Extent, Shards};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::claims::Read;
use super::counts::{self, Counted, Wanted};
use super::frame::{Asks, Ended, Ending, Opened, Opening};
use super::lease::{Connected, Lease};
use super::names::Name;
use super::past::Seen;
use super::position::{self, Position, Positions, Scope};
use super::shares::shards_of;
use super::{BRIEF_LIMIT, CALL_LIMIT, Central, Shared};
use crate::clock::complete_until;
use crate::{Error, Held, Place};

/// The central database as of one moment; of several servers, each as of one from this moment on. Dropping it unfinished costs its
/// connection.
pub struct Snapshot {
    pub(super) lease: Lease,
    /// The instant before it began.
    pub(super) begun: Instant,
    /// The server on which it was begun.
    pub(super) shared: Arc<Shared>,
    pub(super) central: Central,
    /// The places that reading at other servers takes, too.
    pub(super) place: Option<Place>,
    /// Its position, if it was asked for.
    pub(super) position: Option<Position>,
}

/// What was read of a snapshot besides counts.
#[derive(Debug)]
pub struct Whole {
    /// Those of the names that were counted at least once, in no order.
    pub names: Vec<Name>,
    /// The last flush of each region that its counts have, for each server that was read; none if they were not asked for.
    pub positions: Positions,
    /// From when to when its counts are known.
    pub extent: Extent,
}

/// Where the reading of a snapshot starts.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    /// With its beginning, and the names and the position that are asked for.
    Begin {
        names: &'a [EventName<'a>],
        with_position: bool,
    },
    /// The connection is in one that began at an instant or after it.
    Begun(Instant),
}

impl Start<'_> {
    /// The shards of its names, and of what is wanted.
    fn shards_with(self, wanted: &[Wanted<'_>]) -> Shards {
        match self {
            Self::Begin { names, .. } => shards_of(names, wanted),
            Self::Begun(_) => shards_of(&[], wanted),
        }
    }
}

impl Whole {
    /// No names, no position.
    pub(super) fn of(extent: Extent) -> Self {
        Self {
            names: Vec::new(),
            positions: Positions::default(),
            extent,
        }
    }

    /// What was read at several servers, of which there is at least one: known for as long as each of them knows its own.
    pub(super) fn joined(parts: Vec<Self>) -> Self {
        let mut parts = parts.into_iter();
        let mut whole = parts.next().unwrap_or_else(|| Self::of(Extent::default()));
        for part in parts {
            whole.names.extend(part.names);
            whole.positions.join(&part.positions);
            whole.extent = Extent {
                complete_until: whole
                    .extent
                    .complete_until
                    .zip(part.extent.complete_until)
                    .map(|(one, other)| one.min(other)),
                kept_since: whole.extent.kept_since.max(part.extent.kept_since),
            };
        }
        whole
    }
}

impl Snapshot {
    /// Hands all counts that are `wanted` to `each`, with the index of what they are wanted for and the name's id. A minute may come in several
    /// parts, which add up. Then ends the snapshot, and returns from when to when its counts are known: from what
    /// retention has kept to the watermark; and the positions, if that of the snapshot was asked for.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where a database does not answer, or does not show its replication to this account, `PackedDay` for what
    /// cannot be read, `Merged` where the next snapshot will do; `each` may have been given some of the counts.
    pub async fn read(
        self,
        wanted: &[Wanted<'_>],
        each: impl FnMut(usize, EventId, Counted<'_>) + Send,
    ) -> Result<Whole, Error> {
        let Self {
            lease,
            begun,
            shared,
            central,
            place,
            position,
        } = self;
        let asked = (&[][..], position.is_some(), place);
        central
            .read_shares(Some((shared, lease, begun, position)), asked, wanted, each)
            .await
    }

    /// The position of this snapshot: the last flush of each region whose names it has, and counts of the server on which it was begun.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer.
    pub async fn position(&mut self) -> Result<Positions, Error> {
        let read = async |conn: &mut Conn| position::read(conn).await;
        let position = self
            .lease
            .call("read the regions' flushes", BRIEF_LIMIT, read)
            .await?;
        self.position = Some(position.clone());
        Ok(Positions::of([(Scope::Names, position)]))
    }

    /// Ends the snapshot unread.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer.
    pub async fn end(mut self) -> Result<(), Error> {
        self.lease.end_transaction().await?;
        self.lease.give_back();
        Ok(())
    }
}

impl Shared {
    /// Reads a snapshot to its end, from its `start` on. What fits into one script is one round trip.
    #[expect(clippy::disallowed_methods, reason = "what is kept has an age")]
    pub(super) async fn read(
        &self,
        mut lease: Lease,
        start: Start<'_>,
        wanted: &[Wanted<'_>],
        mut each: impl FnMut(usize, EventId, Counted<'_>) + Send,
    ) -> Result<Whole, Error> {
        let connected = lease.connected();
        let mut sources = self.sources.known(&connected);
        let (opening, begun, known) = self.open(start, &connected, sources.is_none());
        let mut opening = Some(opening);
        let ending = Ending {
            with_claims: known.is_none(),
        };
        let mut parts = counts::parts(wanted, &self.days, connected.at).peekable();
        let (mut opened, mut trouble, mut seen) = (Opened::default(), None, Seen::default());
        let (mut ended, mut is_over) = (Ended::default(), false);
        while !is_over {
            let batch = counts::batch(&mut parts);
            is_over = parts.peek().is_none();
            let opening = opening.take();
            let questions = opening.iter().flat_map(Opening::questions);
            let questions = questions.chain(counts::questions(&batch));
            let questions = questions.chain(is_over.then(|| ending.questions()).into_iter().flatten());
            let script = questions.collect::<Vec<_>>().join("; ");
            let asked = Instant::now();
            let read = async |conn: &mut Conn| {
                let mut answers = conn.query_iter(script).await?;
                if let Some(opening) = &opening {
                    opened = opening.collect(&mut answers, self.held().applied).await?;
                    if let Some(read) = opened.sources.take() {
                        let read = Arc::new(read);
                        self.sources.note(asked, &connected, Arc::clone(&read));
                        sources = Some(read);
                    }
                }
                let days = (&self.days, begun);
                let of_batch = counts::collect(&mut answers, &batch, days, &mut seen, &mut each).await?;
                trouble = trouble.take().or(of_batch);
                if is_over {
                    ended = ending.collect(&mut answers).await?;
                }
                answers.drop_result().await
            };
            lease.call("read counts", CALL_LIMIT, read).await?;
        }
        let kept_since = ended.kept_since;
        let asked = start.shards_with(wanted);
        if !self.has(asked, opened.held) {
            let server = lease.server().to_string();
            lease.give_back();
            return Err(Error::ShardMoved { server });
        }
        self.note_seen(seen, begun, &connected, kept_since);
        let read = known.unwrap_or_else(|| self.note_claims(begun, &connected, ended));
        let extent = Extent {
            complete_until: complete_until(&read.clocks(&sources.unwrap_or_default())),
            kept_since,
        };
        let server = lease.server().to_string();
        lease.give_back();
        match trouble {
            None => Ok(Whole {
                names: opened.names,
                positions: Positions::of(opened.position.map(|position| (Scope::Shards(asked), position))),
                extent,
            }),
            Some(trouble) => Err(trouble.at(server)),
        }
    }

    /// The questions that reading begins with, an instant before the snapshot, or when it was begun, and the claims for it if they are known.
    #[expect(clippy::disallowed_methods, reason = "what is kept has an age")]
    fn open(
        &self,
        start: Start<'_>,
        connected: &Connected,
        with_sources: bool,
    ) -> (Opening, Instant, Option<Read>) {
        let asks = Asks {
            position: false,
            held: self.is_one_of_several(),
            sources: with_sources,
        };
        match start {
            Start::Begin { names, with_position } => {
                let position = with_position;
                let opening = Opening::begin(names, Asks { position, ..asks });
                (opening, Instant::now(), self.claims.known(connected))
            }
            // A snapshot that has begun lacks what claims from after that promise.
            Start::Begun(begun) => (Opening::within(asks), begun, None),
        }
    }

    /// Whether the server had these shards in a snapshot, in which it said what it had. Notes that.
    fn has(&self, asked: Shards, held: Option<Held>) -> bool {
        self.note_held(held);
        !self.is_one_of_several() || asked.without(self.held().whole).is_empty()
    }

    /// Notes the claims of a snapshot for others, before they are shown.
    fn note_claims(&self, begun: Instant, connected: &Connected, ended: Ended) -> Read {
        let claims = ended.claims.unwrap_or_default();
        let read = Read::new(begun, connected, claims, ended.kept_since);
        self.claims.note(read.clone(), ended.past);
        read
    }
}
