//! The centre, as the api reads it: series, names, annotations, and the state of regions and shards.

mod annotations;
mod claims;
mod counts;
mod days;
mod frame;
mod kept_day;
mod lease;
mod names;
mod past;
mod position;
mod snapshot;
mod sources;
mod status;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Annotation, AnnotationId, Client, EventId, EventName, Glob, Timestamp};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

pub use self::annotations::AnnotationQuery;
use self::claims::LastClaims;
pub use self::counts::{Counted, Grain, Wanted};
use self::days::Days;
use self::frame::Opening;
use self::lease::Leases;
pub use self::names::{Matched, NAMES_SCANNED_MAX, Name};
pub use self::position::Position;
use self::snapshot::Start;
pub use self::snapshot::{Snapshot, Whole};
use self::sources::LastSources;
pub use self::status::{ShardSize, Status};
use crate::clock::{self, complete_until};
use crate::{Error, Place, Server};

/// Longest wait for one call, from sending it to its last row.
const CALL_LIMIT: Duration = Duration::from_secs(20);

/// Seconds after which the server itself ends a statement; before [`CALL_LIMIT`], so that the connection survives.
const STATEMENT_S_MAX: u32 = 15;

/// Longest wait for a call that takes a moment or does not work at all: a ping, the begin and the end of a transaction.
const BRIEF_LIMIT: Duration = Duration::from_secs(3);

/// The central database, read over a few connections, which clones share.
///
/// A connection is used again only after a call that ended well. A call that failed, timed out, or whose future
/// was dropped closes its connection, and its place is free once the server has ended its statement.
#[derive(Clone)]
pub struct Central(Arc<Shared>);

/// The state that clones share.
struct Shared {
    leases: Arc<Leases>,
    /// The regions, as they were last read.
    sources: LastSources,
    /// The claims, as they were last read.
    claims: LastClaims,
    /// Days that were unpacked before.
    days: Days,
}

impl Central {
    /// The database of `server`. Connections are made when a call needs one.
    ///
    /// # Errors
    /// `PasswordVariable` or `PasswordFile` for a password that cannot be read.
    pub fn new(server: &Server) -> Result<Self, Error> {
        Ok(Self(Arc::new(Shared {
            leases: Arc::new(Leases::new(server)?),
            sources: LastSources::default(),
            claims: LastClaims::default(),
            days: Days::new(),
        })))
    }

    /// Asks whether the database answers.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer.
    pub async fn ping(&self) -> Result<(), Error> {
        self.call(None, "ping", BRIEF_LIMIT, async |conn| conn.ping().await)
            .await
    }

    /// The centre's watermark as of now: until when its counts are complete. `None` where that is not known.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer, or does not show its replication to this account.
    pub async fn complete_until(&self) -> Result<Option<Timestamp>, Error> {
        let read = async |conn: &mut Conn| clock::read(conn).await;
        let clocks = self.call(None, "read the clocks", BRIEF_LIMIT, read).await?;
        Ok(complete_until(&clocks))
    }

    /// What the centre has now: the last flush of each region.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer.
    pub async fn position(&self) -> Result<Position, Error> {
        let read = async |conn: &mut Conn| position::read(conn).await;
        self.call(None, "read the regions' flushes", BRIEF_LIMIT, read)
            .await
    }

    /// Begins a snapshot: the names that any of `patterns` matches, each once, in the order of names, and their counts, all as of this
    /// moment. [`Matched::TooMany`] for more than `limit` names. `place` is given back with the connection.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer, `Busy` where others keep it busy.
    #[expect(clippy::disallowed_methods, reason = "what is read of a snapshot has an age")]
    pub async fn snapshot(
        &self,
        patterns: &[Glob],
        limit: usize,
        place: Option<Place>,
    ) -> Result<(Snapshot, Matched), Error> {
        // The turn before the connection: who waits for a turn must not keep a connection from others.
        let turn = self.turn(patterns.iter().any(names::is_broad)).await?;
        let mut lease = self
            .0
            .leases
            .lease(turn.into_iter().chain(place).collect())
            .await?;
        // A text that cannot be a name was never counted.
        let literals = patterns.iter().filter_map(Glob::literal);
        let literals: Vec<_> = literals.filter_map(|text| EventName::new(text).ok()).collect();
        let opening = Opening::begin(&literals, false, false);
        let begun = Instant::now();
        let script = opening.questions().collect::<Vec<_>>().join("; ");
        let known = lease
            .call("begin a snapshot", BRIEF_LIMIT, async |conn| {
                let mut answers = conn.query_iter(script).await?;
                let opened = opening.collect(&mut answers).await?;
                answers.drop_result().await?;
                Ok(opened.names)
            })
            .await?;
        let matched = lease
            .call("find names", CALL_LIMIT, async |conn| {
                names::matching(conn, patterns, known, limit).await
            })
            .await?;
        let shared = Arc::clone(&self.0);
        Ok((Snapshot { lease, begun, shared }, matched))
    }

    /// Reads `names` and the counts that are `wanted`, as [`Snapshot::read`] does, out of one snapshot and in one round trip. Ids of names
    /// that were never counted have no counts. The place, if there is one, is given back with the connection. Without `names` and position, it may be answered out of memory, with the claims of a
    /// snapshot of a moment ago, and at least its counts.
    ///
    /// # Errors
    /// As of [`Snapshot::read`].
    pub async fn read(
        &self,
        (names, with_position, place): (&[EventName<'_>], bool, Option<Place>),
        wanted: &[Wanted<'_>],
        mut each: impl FnMut(usize, EventId, Counted<'_>) + Send,
    ) -> Result<Whole, Error> {
        if names.is_empty()
            && !with_position
            && let Some(extent) = self.0.remembered(wanted, &mut each).await
        {
            return Ok(Whole::of(extent));
        }
        let lease = self.0.leases.lease(place.into_iter().collect()).await?;
        let start = Start::Begin { names, with_position };
        self.0.read(lease, start, wanted, each).await
    }

    /// The `limit` most popular names that `query` matches: all names without one, names that contain it
    /// where it has no wildcard, else whole names.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer, `Busy` where others keep it busy.
    pub async fn names(&self, query: Option<&Glob>, limit: usize) -> Result<Matched, Error> {
        let turn = self.turn(names::is_broad_search(query)).await?;
        let search = async |conn: &mut Conn| names::search(conn, query, limit).await;
        self.call(turn, "search names", CALL_LIMIT, search).await
    }

    /// At most `limit` of the names that begin with `prefix`, in no order.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer, `Busy` where others keep it busy.
    pub async fn names_beginning(&self, prefix: &str, limit: usize) -> Result<Vec<Name>, Error> {
        let turn = self.turn(prefix.len() < names::NARROW_PREFIX_BYTES_MIN).await?;
        let read = async |conn: &mut Conn| names::beginning(conn, prefix, limit).await;
        self.call(turn, "find names", CALL_LIMIT, read).await
    }

    /// Hands over each name whose id is one of `ids`, with its popularity, in no order.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer, `Busy` where others keep it busy.
    pub async fn names_with_ids(
        &self,
        ids: &RangeInclusive<EventId>,
        each: impl FnMut(&str, u64) + Send,
    ) -> Result<(), Error> {
        let read = async |conn: &mut Conn| names::with_ids(conn, ids, each).await;
        self.call(None, "read all names", CALL_LIMIT, read).await
    }

    /// The state of the regions and of the centre itself.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer, or does not show its replication to this account.
    pub async fn status(&self) -> Result<Status, Error> {
        let read = async |conn: &mut Conn| status::read(conn).await;
        let status = self.call(None, "read the status", CALL_LIMIT, read).await?;
        // Who has seen this status must not be given claims from before it.
        self.0.claims.forget();
        Ok(status)
    }

    /// Writes an annotation of a client, if it has a name, unless there is one with its id. Returns the annotation that is there now with the
    /// client that wrote it, and whether it is new.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer.
    pub async fn annotate(
        &self,
        annotation: &Annotation,
        client: Option<&Client>,
    ) -> Result<((Annotation, Option<Client>), bool), Error> {
        let write = async |conn: &mut Conn| annotations::write(conn, annotation, client).await;
        let (written, is_new) = self.call(None, "write an annotation", BRIEF_LIMIT, write).await?;
        // Gone again in this moment: what was written, then.
        let written = written.unwrap_or_else(|| (annotation.clone(), client.map(Client::to_string)));
        let (annotation, client) = written;
        Ok(((annotation, client.as_deref().map(Client::of)), is_new))
    }

    /// The name of the client that wrote an annotation, if it is known; `None` where there is no such annotation.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer.
    pub async fn writer_of_annotation(&self, id: AnnotationId) -> Result<Option<Option<String>>, Error> {
        let read = async |conn: &mut Conn| annotations::writer(conn, id).await;
        self.call(None, "look who wrote an annotation", BRIEF_LIMIT, read)
            .await
    }

    /// Removes an annotation. Returns whether there was one.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer.
    pub async fn remove_annotation(&self, id: AnnotationId) -> Result<bool, Error> {
        let delete = async |conn: &mut Conn| annotations::delete(conn, id).await;
        self.call(None, "remove an annotation", BRIEF_LIMIT, delete).await
    }

    /// The annotations that `query` asks for, in the order of time: the last ones, where there are more than its limit.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer.
    pub async fn annotations(&self, query: &AnnotationQuery) -> Result<Vec<Annotation>, Error> {
        let read = async |conn: &mut Conn| annotations::read(conn, query).await;
        self.call(None, "read annotations", CALL_LIMIT, read).await
    }

    /// Makes one call on a connection that is lent for it, with the turn to scan that it needs, if any.
    async fn call<T>(
        &self,
        turn: Option<Place>,
        action: &'static str,
        limit: Duration,
        ask: impl AsyncFnOnce(&mut Conn) -> Result<T, mysql_async::Error>,
    ) -> Result<T, Error> {
        let mut lease = self.0.leases.lease(turn.into_iter().collect()).await?;
        let answer = lease.call(action, limit, ask).await?;
        lease.give_back();
        Ok(answer)
    }

    /// The turn to scan that a broad search needs; it waits here, without a connection, while others scan.
    async fn turn(&self, broad: bool) -> Result<Option<Place>, Error> {
        Ok(if broad {
            Some(self.0.leases.turn_to_scan().await?)
        } else {
            None
        })
    }
}
