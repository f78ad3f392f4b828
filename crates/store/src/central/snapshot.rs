//! Snapshots: the central database as of one moment.

use std::sync::Arc;
use std::time::Instant;

use model::{EventId, EventName, Extent};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::claims::Read;
use super::counts::{self, Counted, Wanted};
use super::frame::{Ended, Ending, Opened, Opening};
use super::lease::{Connected, Lease};
use super::names::Name;
use super::past::Seen;
use super::position::{self, Position};
use super::{BRIEF_LIMIT, CALL_LIMIT, Shared};
use crate::Error;
use crate::clock::complete_until;

/// The central database as of one moment. Dropping it unfinished costs its connection.
pub struct Snapshot {
    pub(super) lease: Lease,
    /// The instant before it began.
    pub(super) begun: Instant,
    pub(super) shared: Arc<Shared>,
}

/// What was read of a snapshot besides counts.
#[derive(Debug)]
pub struct Whole {
    /// Those of the names that were counted at least once, in no order.
    pub names: Vec<Name>,
    /// The last flush of each region that its counts have, if that was asked for.
    pub position: Option<Position>,
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

impl Whole {
    /// No names, no position.
    pub(super) fn of(extent: Extent) -> Self {
        Self {
            names: Vec::new(),
            position: None,
            extent,
        }
    }
}

impl Snapshot {
    /// Hands all counts that are `wanted` to `each`, with the index of what they are wanted for and the name's id. A minute may come in several
    /// parts, which add up. Then ends the snapshot, and returns from when to when its counts are known: from what
    /// retention has kept to the watermark.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer, or does not show its replication to this account, `PackedDay` for what
    /// cannot be read, `Merged` where the next snapshot will do; `each` may have been given some of the counts.
    pub async fn read(
        self,
        wanted: &[Wanted<'_>],
        each: impl FnMut(usize, EventId, Counted<'_>) + Send,
    ) -> Result<Extent, Error> {
        let Self { lease, begun, shared } = self;
        Ok(shared
            .read(lease, Start::Begun(begun), wanted, each)
            .await?
            .extent)
    }

    /// The position of this snapshot: the last flush of each region that its counts have.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer.
    pub async fn position(&mut self) -> Result<Position, Error> {
        let read = async |conn: &mut Conn| position::read(conn).await;
        self.lease
            .call("read the regions' flushes", BRIEF_LIMIT, read)
            .await
    }

    /// Ends the snapshot unread.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer.
    pub async fn end(mut self) -> Result<(), Error> {
        let end = async |conn: &mut Conn| conn.query_drop("COMMIT").await;
        self.lease.call("end a snapshot", BRIEF_LIMIT, end).await?;
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
        let with_sources = sources.is_none();
        let (mut opening, begun, known) = match start {
            Start::Begin { names, with_position } => {
                let opening = Opening::begin(names, with_position, with_sources);
                (Some(opening), Instant::now(), self.claims.known(&connected))
            }
            // A snapshot that has begun lacks what claims from after that promise.
            Start::Begun(begun) => (with_sources.then(Opening::sources), begun, None),
        };
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
                    opened = opening.collect(&mut answers).await?;
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
                position: opened.position,
                extent,
            }),
            Some(trouble) => Err(trouble.at(server)),
        }
    }

    /// Notes the claims of a snapshot for others, before they are shown.
    fn note_claims(&self, begun: Instant, connected: &Connected, ended: Ended) -> Read {
        let claims = ended.claims.unwrap_or_default();
        let read = Read::new(begun, connected, claims, ended.kept_since);
        self.claims.note(read.clone(), ended.past);
        read
    }
}
