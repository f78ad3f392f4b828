//! Shares: what each server of a centre has of one answer. All are asked at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::future::{join_all, try_join_all};
use model::{EventId, EventName, Shard, Shards};
use mysql_async::Conn;

use super::counts::{Counted, Wanted};
use super::lease::Lease;
use super::position::{Position, Positions, Scope};
use super::snapshot::{Start, Whole};
use super::{BRIEF_LIMIT, Central, Shared};
use crate::{Error, Place, held};

/// A snapshot that was begun at one of the servers, with its position if that is known.
pub(super) type Begun = (Arc<Shared>, Lease, Instant, Option<Position>);

/// Names to look up, whether the position is asked for, and the place to read in.
pub(super) type Asked<'a> = (&'a [EventName<'a>], bool, Option<Place>);

/// What one server is asked for.
struct Share<'a> {
    shared: Arc<Shared>,
    /// The names whose counts it has.
    names: Vec<EventName<'a>>,
    /// The ids that it has of what is wanted, with the index of that.
    ids: Vec<(usize, Vec<EventId>)>,
}

impl Central {
    /// Reads names and counts at the servers that have them; that of a snapshot which was `begun` goes on in it, and ends it.
    pub(super) async fn read_shares(
        &self,
        begun: Option<Begun>,
        asked: Asked<'_>,
        wanted: &[Wanted<'_>],
        each: impl FnMut(usize, EventId, Counted<'_>) + Send,
    ) -> Result<Whole, Error> {
        if let [only] = &*self.0 {
            return only.read_share(begun, asked, wanted, each).await;
        }
        let (names, with_position, place) = asked;
        let begun = Mutex::new(begun);
        // Locked for each part of the counts: all are read by one task, so that nobody waits.
        let each = Mutex::new(each);
        let mut shares = match self.shares(names, wanted) {
            // One of them may have got it since it was last asked.
            Err(Error::NotWhole { .. }) => {
                self.ask_for_shards().await;
                self.shares(names, wanted)?
            }
            shares => shares?,
        };
        if shares.is_empty() {
            // From when to when nothing is known, any server can say.
            shares.extend(
                self.0
                    .iter()
                    .take(1)
                    .map(|shared| Share::new(shared, Shards::NONE, &[], &[])),
            );
        }
        let read = shares.iter().map(async |share| {
            let begun = take_if(&begun, &share.shared);
            let asked = (&share.names[..], with_position, place.clone());
            let wanted: Vec<_> = share
                .ids
                .iter()
                .map(|(at, ids)| Wanted {
                    ids,
                    ..wanted[*at].clone()
                })
                .collect();
            let add = |part: usize, id, counted: Counted<'_>| {
                let mut each = each.lock().unwrap_or_else(PoisonError::into_inner);
                each(share.ids[part].0, id, counted);
            };
            share.shared.read_share(begun, asked, &wanted, add).await
        });
        let parts = try_join_all(read).await?;
        let unread = begun.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, mut lease, ..)) = unread {
            lease.end_transaction().await?;
            lease.give_back();
        }
        Ok(Whole::joined(parts))
    }

    /// Asks each server that answers which shards it has.
    async fn ask_for_shards(&self) {
        let ask = self.0.iter().map(async |shared| {
            let read = async |conn: &mut Conn| held::read(conn).await;
            let held = shared
                .call(None, "read which shards it has", BRIEF_LIMIT, read)
                .await;
            // Of one that does not answer, what it said last has to do.
            if let Ok(held) = held {
                shared.note_held(held);
            }
        });
        join_all(ask).await;
    }

    /// The share of each server that has any.
    ///
    /// # Errors
    /// `NotWhole` for a shard that no server has.
    fn shares<'a>(&self, names: &[EventName<'a>], wanted: &[Wanted<'_>]) -> Result<Vec<Share<'a>>, Error> {
        let servers = self
            .0
            .iter()
            .map(|shared| (shared.configured, shared.held().whole));
        let assigned = held::assign(shards_of(names, wanted), servers)?;
        let of = |(shared, own): (&Arc<Shared>, Shards)| {
            (!own.is_empty()).then(|| Share::new(shared, own, names, wanted))
        };
        Ok(self.0.iter().zip(assigned).filter_map(of).collect())
    }
}

/// The shards that names and counts are in.
pub(super) fn shards_of(names: &[EventName<'_>], wanted: &[Wanted<'_>]) -> Shards {
    let ids = wanted.iter().flat_map(|wanted| wanted.ids.iter().copied());
    ids.chain(names.iter().map(EventName::id))
        .map(Shard::of)
        .collect()
}

/// The snapshot, if it was begun at this server.
fn take_if(begun: &Mutex<Option<Begun>>, shared: &Arc<Shared>) -> Option<Begun> {
    let mut begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
    begun.take_if(|(at, ..)| Arc::ptr_eq(at, shared))
}

impl<'a> Share<'a> {
    /// What of all that is asked for is in these shards.
    fn new(shared: &Arc<Shared>, shards: Shards, names: &[EventName<'a>], wanted: &[Wanted<'_>]) -> Self {
        let has = |id: EventId| shards.contains(Shard::of(id));
        let ids_of = |wanted: &Wanted<'_>| -> Vec<EventId> {
            wanted.ids.iter().copied().filter(|&id| has(id)).collect()
        };
        let ids = wanted.iter().enumerate().map(|(at, wanted)| (at, ids_of(wanted)));
        Self {
            shared: Arc::clone(shared),
            names: names.iter().filter(|name| has(name.id())).cloned().collect(),
            ids: ids.filter(|(_, ids)| !ids.is_empty()).collect(),
        }
    }
}

impl Shared {
    /// Reads at this server. Without names and position, it may be answered out of memory.
    async fn read_share(
        &self,
        begun: Option<Begun>,
        (names, with_position, place): Asked<'_>,
        wanted: &[Wanted<'_>],
        mut each: impl FnMut(usize, EventId, Counted<'_>) + Send,
    ) -> Result<Whole, Error> {
        if let Some((_, lease, begun, position)) = begun {
            let mut whole = self.read(lease, Start::Begun(begun), wanted, each).await?;
            let position = position.map(|position| (Scope::Shards(shards_of(names, wanted)), position));
            whole.positions = Positions::of(position);
            return Ok(whole);
        }
        if names.is_empty()
            && !with_position
            && let Some(extent) = self.remembered(wanted, &mut each).await
        {
            return Ok(Whole::of(extent));
        }
        let lease = self.lease(place.into_iter().collect()).await?;
        let start = Start::Begin { names, with_position };
        self.read(lease, start, wanted, each).await
    }
}
