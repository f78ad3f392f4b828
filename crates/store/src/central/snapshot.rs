//! Snapshots: the central database as of one moment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{EventId, EventName, Extent};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, QueryResult, Row, TextProtocol};

use super::counts::{self, Counted, Wanted};
use super::endings::Read;
use super::lease::Lease;
use super::names::{self, Name};
use super::position::{self, Position};
use super::{BRIEF_LIMIT, CALL_LIMIT, Shared};
use crate::Error;
use crate::clock::{self, Ending};

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

/// The questions before those for counts.
#[derive(Default)]
pub(super) struct Opening {
    pub(super) begins: bool,
    pub(super) names: Option<String>,
    pub(super) with_position: bool,
    pub(super) with_sources: bool,
}

/// The answers to an [`Opening`].
#[derive(Default)]
pub(super) struct Opened {
    pub(super) names: Vec<Name>,
    position: Option<Position>,
    sources: Option<BTreeSet<String>>,
}

impl Opening {
    pub(super) fn questions(&self) -> impl Iterator<Item = String> {
        let begin = self.begins.then(|| names::BEGIN.to_owned());
        let position = self.with_position.then(|| position::SQL.to_owned());
        let sources = self.with_sources.then(|| clock::SHOW_SOURCES.to_owned());
        [begin, self.names.clone(), position, sources]
            .into_iter()
            .flatten()
    }

    /// Reads the answers, in the order of the questions.
    pub(super) async fn collect(
        &self,
        answers: &mut QueryResult<'_, '_, TextProtocol>,
    ) -> Result<Opened, mysql_async::Error> {
        let mut opened = Opened::default();
        if self.begins {
            answers.collect::<Row>().await?;
        }
        if self.names.is_some() {
            opened.names = names::collect(answers).await?;
        }
        if self.with_position {
            opened.position = Some(position::collect(answers).await?);
        }
        if self.with_sources {
            opened.sources = Some(clock::sources(answers).await?);
        }
        Ok(opened)
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
        let mut sources = self.sources.known(connected);
        let begins = beginning.is_some();
        // A snapshot that has begun lacks what claims from after that promise.
        let known = begins.then(|| self.ending.known(connected)).flatten();
        let Beginning { names, with_position } = beginning.unwrap_or_default();
        let mut opening = Some(Opening {
            begins,
            names: names::question(names),
            with_position,
            with_sources: sources.is_none(),
        });
        let mut parts = counts::parts(wanted, &self.days, connected).peekable();
        let (mut opened, mut trouble) = (Opened::default(), None);
        let (mut last, mut is_over) = (None, false);
        while !is_over {
            let batch = counts::batch(&mut parts);
            is_over = parts.peek().is_none();
            let opening = opening.take();
            let questions = opening.iter().flat_map(Opening::questions);
            let questions = questions.chain(counts::questions(&batch));
            let end = || {
                known
                    .as_ref()
                    .map_or_else(clock::ending, |_| clock::END.to_owned())
            };
            let questions = questions.chain(is_over.then(end));
            let script = questions.collect::<Vec<_>>().join("; ");
            let asked = Instant::now();
            let read = async |conn: &mut Conn| {
                let mut answers = conn.query_iter(script).await?;
                if let Some(opening) = &opening {
                    opened = opening.collect(&mut answers).await?;
                    if let Some(read) = opened.sources.take() {
                        let read = Arc::new(read);
                        self.sources.note(asked, Arc::clone(&read));
                        sources = Some(read);
                    }
                }
                let of_batch = counts::collect(&mut answers, &batch, (&self.days, asked), &mut each).await?;
                trouble = trouble.take().or(of_batch);
                if is_over && known.is_some() {
                    answers.collect::<Row>().await?;
                } else if is_over {
                    last = Some(Read::new(asked, Ending::collect(&mut answers).await?));
                }
                answers.drop_result().await
            };
            lease.call("read counts", CALL_LIMIT, read).await?;
        }
        let sources = sources.unwrap_or_default();
        let extent = match (last, known) {
            (Some(read), _) => {
                self.ending.note(read.clone());
                read.ending.extent(&sources, Duration::ZERO)
            }
            (None, Some(known)) => extent_of_known(&mut lease, &known, &sources).await?,
            (None, None) => Extent::default(),
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
}

/// The time of which counts are known that were read after `known` was.
async fn extent_of_known(
    lease: &mut Lease,
    known: &Read,
    sources: &BTreeSet<String>,
) -> Result<Extent, Error> {
    let mut extent = known.ending.extent(sources, known.age());
    if !known.knows_kept() {
        let read = async |conn: &mut Conn| clock::kept_since(conn).await;
        extent.kept_since = lease.call("read which days are kept", BRIEF_LIMIT, read).await?;
    }
    Ok(extent)
}
