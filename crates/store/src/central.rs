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
mod shares;
mod snapshot;
mod sources;
mod status;

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use model::{Annotation, AnnotationId, Client, EventId, EventName, Glob, Shards, Timestamp};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

pub use self::annotations::AnnotationQuery;
use self::claims::LastClaims;
pub use self::counts::{Counted, Grain, Wanted};
use self::days::Days;
use self::frame::{Asks, Opening};
use self::lease::{Lease, Leases};
pub use self::names::{Matched, NAMES_SCANNED_MAX, Name};
pub use self::position::{Position, Positions, Scope};
pub use self::snapshot::{Snapshot, Whole};
use self::sources::LastSources;
pub use self::status::{ServerState, ShardSize, Status};
use crate::clock::{self, complete_until};
use crate::{Error, Held, Member, Members, Place, held};

/// Longest wait for one call, from sending it to its last row.
const CALL_LIMIT: Duration = Duration::from_secs(20);

/// Seconds after which the server itself ends a statement; before [`CALL_LIMIT`], so that the connection survives.
const STATEMENT_S_MAX: u32 = 15;

/// Longest wait for a call that takes a moment or does not work at all: a ping, the begin and the end of a transaction.
const BRIEF_LIMIT: Duration = Duration::from_secs(3);

/// The central database, read over a few connections to each of its servers, which clones share.
///
/// A connection is used again only after a call that ended well. A call that failed, timed out, or whose future
/// was dropped closes its connection, and its place is free once the server has ended its statement.
#[derive(Clone)]
pub struct Central(Arc<[Arc<Shared>]>);

/// One of the servers: the state that clones share.
struct Shared {
    /// Its name; empty where it is the only one.
    name: String,
    /// The shards that the configuration says it has.
    configured: Shards,
    /// Those that it said that it has when it was last asked.
    held: Mutex<Option<Held>>,
    leases: Arc<Leases>,
    /// Whether it was found away, and has not answered since.
    is_away: AtomicBool,
    /// The regions, as they were last read.
    sources: LastSources,
    /// The claims, as they were last read.
    claims: LastClaims,
    /// Days that were unpacked before.
    days: Days,
}

/// One of the servers, as it was looked at.
#[derive(Debug)]
pub struct Looked {
    /// Its name; empty where it is the only one.
    pub name: String,
    /// The shards that it has.
    pub shards: Shards,
    /// Until when its counts are complete, if that was asked for and is known; the error where it does not answer.
    pub answer: Result<Option<Timestamp>, Error>,
}

impl Central {
    /// The database of these servers. Connections are made when a call needs one.
    ///
    /// # Errors
    /// `PasswordVariable` or `PasswordFile` for a password that cannot be read.
    pub fn new(members: &Members) -> Result<Self, Error> {
        let shared = |member: &Member| {
            Ok(Arc::new(Shared {
                name: member.name().to_owned(),
                configured: member.shards,
                held: Mutex::default(),
                leases: Arc::new(Leases::new(&member.server)?),
                is_away: AtomicBool::new(false),
                sources: LastSources::default(),
                claims: LastClaims::default(),
                days: Days::new(),
            }))
        };
        Ok(Self(members.iter().map(shared).collect::<Result<_, Error>>()?))
    }

    /// Asks each server whether it answers, all at once, and `with_clocks`, until when it is complete.
    pub async fn look(&self, with_clocks: bool) -> Vec<Looked> {
        let look = self.0.iter().map(async |shared| {
            let answer = shared.look(with_clocks).await;
            shared.is_away.store(answer.is_err(), Ordering::Relaxed);
            Looked {
                name: shared.name.clone(),
                shards: shared.held().whole,
                answer,
            }
        });
        join_all(look).await
    }

    /// What the centre has now: the last flush of each region, at each server.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where a database does not answer.
    pub async fn positions(&self) -> Result<Positions, Error> {
        let read = self.0.iter().map(async |shared| {
            let read = async |conn: &mut Conn| position::read(conn).await;
            let position = shared
                .call(None, "read the regions' flushes", BRIEF_LIMIT, read)
                .await?;
            Ok::<_, Error>([
                (Scope::Names, position.clone()),
                (Scope::Shards(shared.held().whole), position),
            ])
        });
        Ok(Positions::of(try_join_all(read).await?.into_iter().flatten()))
    }

    /// Begins a snapshot: the names that any of `patterns` matches, each once, in the order of names, and their counts, all as of this
    /// moment. [`Matched::TooMany`] for more than `limit` names. `place` is given back with the connection.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer, `Busy` where others keep it busy.
    pub async fn snapshot(
        &self,
        patterns: &[Glob],
        limit: usize,
        place: Option<Place>,
    ) -> Result<(Snapshot, Matched), Error> {
        let place = &place;
        self.of_any(|shared| async move {
            let (lease, begun, matched) = shared.begin(patterns, limit, place.clone()).await?;
            let snapshot = Snapshot {
                lease,
                begun,
                shared,
                central: self.clone(),
                place: place.clone(),
                position: None,
            };
            Ok((snapshot, matched))
        })
        .await
    }

    /// Reads `names` and the counts that are `wanted`, as [`Snapshot::read`] does, out of one snapshot and in one round trip. Ids of names
    /// that were never counted have no counts. The place, if there is one, is given back with the connection. Without `names` and position, it may be answered out of memory, with the claims of a
    /// snapshot of a moment ago, and at least its counts.
    ///
    /// # Errors
    /// As of [`Snapshot::read`].
    pub async fn read(
        &self,
        asked: (&[EventName<'_>], bool, Option<Place>),
        wanted: &[Wanted<'_>],
        each: impl FnMut(usize, EventId, Counted<'_>) + Send,
    ) -> Result<Whole, Error> {
        self.read_shares(None, asked, wanted, each).await
    }

    /// The `limit` most popular names that `query` matches: all names without one, names that contain it
    /// where it has no wildcard, else whole names.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer, `Busy` where others keep it busy.
    pub async fn names(&self, query: Option<&Glob>, limit: usize) -> Result<Matched, Error> {
        self.of_any(|shared| async move {
            let turn = shared.turn(names::is_broad_search(query)).await?;
            let search = async |conn: &mut Conn| names::search(conn, query, limit).await;
            shared.call(turn, "search names", CALL_LIMIT, search).await
        })
        .await
    }

    /// At most `limit` of the names that begin with `prefix`, in no order.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer, `Busy` where others keep it busy.
    pub async fn names_beginning(&self, prefix: &str, limit: usize) -> Result<Vec<Name>, Error> {
        self.of_any(|shared| async move {
            let turn = shared.turn(prefix.len() < names::NARROW_PREFIX_BYTES_MIN).await?;
            let read = async |conn: &mut Conn| names::beginning(conn, prefix, limit).await;
            shared.call(turn, "find names", CALL_LIMIT, read).await
        })
        .await
    }

    /// Hands over each name whose id is one of `ids`, with its popularity, in no order, to what begins empty; and returns that.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer.
    pub async fn names_with_ids<T: Default + Send>(
        &self,
        ids: &RangeInclusive<EventId>,
        each: impl Fn(&mut T, &str, u64) + Send + Sync,
    ) -> Result<T, Error> {
        let each = &each;
        self.of_any(|shared| async move {
            // Made here: a part that a server gave before it failed is not kept.
            let mut all = T::default();
            let read = async |conn: &mut Conn| {
                names::with_ids(conn, ids, |name, popularity| each(&mut all, name, popularity)).await
            };
            shared.call(None, "read all names", CALL_LIMIT, read).await?;
            Ok(all)
        })
        .await
    }

    /// The state of the regions and of the centre itself, as its servers that answer have it.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where no server answers, or one does not show its replication to this account.
    pub async fn status(&self) -> Result<Status, Error> {
        let read = self.0.iter().map(async |shared| {
            let read = async |conn: &mut Conn| status::read(conn).await;
            let status = shared.call(None, "read the status", CALL_LIMIT, read).await;
            if let Ok(status) = &status {
                shared.note_held(status.held);
            }
            // Who has seen this status must not be given claims from before it.
            shared.claims.forget();
            (shared.name.as_str(), shared.held().whole, status)
        });
        status::joined(join_all(read).await)
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
        let (written, is_new) = self
            .first()
            .call(None, "write an annotation", BRIEF_LIMIT, write)
            .await?;
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
        self.first()
            .call(None, "look who wrote an annotation", BRIEF_LIMIT, read)
            .await
    }

    /// Removes an annotation. Returns whether there was one.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer.
    pub async fn remove_annotation(&self, id: AnnotationId) -> Result<bool, Error> {
        let delete = async |conn: &mut Conn| annotations::delete(conn, id).await;
        self.first()
            .call(None, "remove an annotation", BRIEF_LIMIT, delete)
            .await
    }

    /// The annotations that `query` asks for, in the order of time: the last ones, where there are more than its limit.
    ///
    /// # Errors
    /// `Query` or `TimedOut` where the database does not answer.
    pub async fn annotations(&self, query: &AnnotationQuery) -> Result<Vec<Annotation>, Error> {
        let read = async |conn: &mut Conn| annotations::read(conn, query).await;
        self.first()
            .call(None, "read annotations", CALL_LIMIT, read)
            .await
    }

    /// The server that has what only one has, which is not counts: annotations.
    fn first(&self) -> &Shared {
        &self.0[0]
    }

    /// Does `work` at a server that answers, where any can do it. One that was found away comes last.
    async fn of_any<T, W>(&self, work: impl Fn(Arc<Shared>) -> W) -> Result<T, Error>
    where
        W: Future<Output = Result<T, Error>>,
    {
        let mut servers: Vec<&Arc<Shared>> = self.0.iter().collect();
        servers.sort_by_key(|shared| shared.is_away.load(Ordering::Relaxed));
        let (last, others) = servers.split_last().ok_or(Error::Shape {
            what: "a centre without servers",
        })?;
        for shared in others {
            match work(Arc::clone(shared)).await {
                Err(error) if error.is_unreachable() => {
                    shared.is_away.store(true, Ordering::Relaxed);
                    let (server, error): (_, &dyn std::error::Error) = (&shared.name, &error);
                    tracing::warn!(server, error, "names are asked for at the next server");
                }
                outcome => return outcome,
            }
        }
        work(Arc::clone(last)).await
    }
}

impl Shared {
    /// Whether its centre has other servers, to which its shards may move.
    fn is_one_of_several(&self) -> bool {
        !self.name.is_empty()
    }

    /// What it has as far as it is known.
    fn held(&self) -> Held {
        let held = *self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.unwrap_or(Held {
            applied: self.configured,
            whole: self.configured,
        })
    }

    fn note_held(&self, held: Option<Held>) {
        if self.is_one_of_several() {
            // One that has not said what it has, has nothing that could be read: it may have been set up anew.
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held.unwrap_or_default());
        }
    }

    /// Until when its counts are complete, if that is asked for and known.
    async fn look(&self, with_clocks: bool) -> Result<Option<Timestamp>, Error> {
        let mut lease = self.leases.lease(Vec::new()).await?;
        if self.is_one_of_several() {
            let read = async |conn: &mut Conn| held::read(conn).await;
            self.note_held(lease.call("read which shards it has", BRIEF_LIMIT, read).await?);
        }
        let until = if with_clocks {
            let applied = self.held().applied;
            let read = async |conn: &mut Conn| clock::read(conn, applied).await;
            complete_until(&lease.call("read the clocks", BRIEF_LIMIT, read).await?)
        } else {
            lease
                .call("ping", BRIEF_LIMIT, async |conn| conn.ping().await)
                .await?;
            None
        };
        lease.give_back();
        Ok(until)
    }

    /// Begins a snapshot, and finds names in it.
    #[expect(clippy::disallowed_methods, reason = "what is read of a snapshot has an age")]
    async fn begin(
        &self,
        patterns: &[Glob],
        limit: usize,
        place: Option<Place>,
    ) -> Result<(Lease, Instant, Matched), Error> {
        // The turn before the connection: who waits for a turn must not keep a connection from others.
        let turn = self.turn(patterns.iter().any(names::is_broad)).await?;
        let mut lease = self.lease(turn.into_iter().chain(place).collect()).await?;
        // A text that cannot be a name was never counted.
        let literals = patterns.iter().filter_map(Glob::literal);
        let literals: Vec<_> = literals.filter_map(|text| EventName::new(text).ok()).collect();
        let opening = Opening::begin(&literals, Asks::default());
        let begun = Instant::now();
        let script = opening.questions().collect::<Vec<_>>().join("; ");
        let known = lease
            .call("begin a snapshot", BRIEF_LIMIT, async |conn| {
                let mut answers = conn.query_iter(script).await?;
                let opened = opening.collect(&mut answers, self.held().applied).await?;
                answers.drop_result().await?;
                Ok(opened.names)
            })
            .await?;
        let matched = lease
            .call("find names", CALL_LIMIT, async |conn| {
                names::matching(conn, patterns, known, limit).await
            })
            .await?;
        Ok((lease, begun, matched))
    }

    /// A connection, which keeps the places that the work has taken. Of several servers, one that was found away is not waited for: whatever
    /// else is asked for would have to wait with it.
    async fn lease(&self, places: Vec<Place>) -> Result<Lease, Error> {
        if self.is_one_of_several() && self.is_away.load(Ordering::Relaxed) {
            return Err(self.leases.away());
        }
        self.leases.lease(places).await
    }

    /// Makes one call on a connection that is lent for it, with the turn to scan that it needs, if any.
    async fn call<T>(
        &self,
        turn: Option<Place>,
        action: &'static str,
        limit: Duration,
        ask: impl AsyncFnOnce(&mut Conn) -> Result<T, mysql_async::Error>,
    ) -> Result<T, Error> {
        let mut lease = self.lease(turn.into_iter().collect()).await?;
        let answer = lease.call(action, limit, ask).await?;
        lease.give_back();
        Ok(answer)
    }

    /// The turn to scan that a broad search needs; it waits here, without a connection, while others scan.
    async fn turn(&self, broad: bool) -> Result<Option<Place>, Error> {
        Ok(if broad {
            Some(self.leases.turn_to_scan().await?)
        } else {
            None
        })
    }
}
