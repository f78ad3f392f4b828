//! Snapshots: the central database as of one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{EventId, EventName, Extent};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::claims::Read;
use super::counts::{self, Counted, Wanted};
use super::frame::{Ended, Ending, Opened, Opening};
use super::lease::{Connected, Lease};
use super::names::{self, Name};
use super::past::Seen;
use super::position::{self, Position};
use super::{BRIEF_LIMIT, CALL_LIMIT, Shared};
use crate::Error;
use crate::clock::{RegionClock, complete_until};

/// The central database as of one moment. Dropping it unfinished costs its connection.
pub struct Snapshot {
    pub(super) lease: Lease,
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

/// What is asked for when a snapshot begins.
#[derive(Default)]
pub(super) struct Beginning<'a> {
    pub(super) names: &'a [EventName<'a>],
    pub(super) with_position: bool,
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
        let Self { lease, shared } = self;
        Ok(shared.read(lease, None, wanted, each).await?.extent)
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
    /// Reads a snapshot to its end; from its beginning where there is one, else on a connection that is in it. What fits into one script is
    /// one round trip.
    #[expect(clippy::disallowed_methods, reason = "what is kept has an age")]
    pub(super) async fn read(
        &self,
        mut lease: Lease,
        beginning: Option<Beginning<'_>>,
        wanted: &[Wanted<'_>],
        mut each: impl FnMut(usize, EventId, Counted<'_>) + Send,
    ) -> Result<Whole, Error> {
        let connected = lease.connected();
        let mut sources = self.sources.known(&connected);
        let begins = beginning.is_some();
        // A snapshot that has begun lacks what claims from after that promise.
        let known = begins.then(|| self.claims.known(&connected)).flatten();
        let Beginning { names, with_position } = beginning.unwrap_or_default();
        let mut opening = Some(Opening {
            begins,
            names: names::question(names),
            with_position,
            with_sources: sources.is_none(),
        });
        let ending = Ending {
            with_claims: known.is_none(),
            with_past: known.is_none() && begins,
        };
        let mut parts = counts::parts(wanted, &self.days, connected.at).peekable();
        let (mut opened, mut trouble, mut seen) = (Opened::default(), None, Seen::default());
        let (mut ended, mut begun, mut is_over) = (Ended::default(), None, false);
        while !is_over {
            let batch = counts::batch(&mut parts);
            is_over = parts.peek().is_none();
            let opening = opening.take();
            let questions = opening.iter().flat_map(Opening::questions);
            let questions = questions.chain(counts::questions(&batch));
            let questions = questions.chain(is_over.then(|| ending.questions()).into_iter().flatten());
            let script = questions.collect::<Vec<_>>().join("; ");
            let asked = Instant::now();
            begun.get_or_insert(asked);
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
                let days = (&self.days, asked);
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
        let begun = begun.filter(|_| begins);
        self.note_seen(seen, begun, kept_since);
        let begun = begun.map(|begun| (begun, &connected));
        let clocks = self.clocks(ended, known, begun, &sources.unwrap_or_default());
        let extent = Extent {
            complete_until: complete_until(&clocks),
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

    /// The clocks by the claims of a snapshot, or by those that were known when it began. Its own are noted for others, if it is known when
    /// and at which server it has begun.
    fn clocks(
        &self,
        ended: Ended,
        known: Option<Read>,
        begun: Option<(Instant, &Connected)>,
        sources: &BTreeSet<String>,
    ) -> BTreeMap<String, RegionClock> {
        match (known, begun) {
            (Some(known), _) => known.clocks(sources),
            (None, Some((begun, connected))) => {
                let read = Read::new(begun, connected, ended);
                let clocks = read.clocks(sources);
                self.claims.note(read);
                clocks
            }
            (None, None) => ended.claims.unwrap_or_default().clocks(sources, Duration::ZERO),
        }
    }
}
