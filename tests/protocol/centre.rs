//! Centres and their keepers.

use crate::bounds::{BATCHES, Mistake, SERVERS};
use crate::model::{Action, Protocol};
use crate::state::{Centre, State};

impl Protocol {
    /// What centres and keepers may do, and what may happen to them.
    pub(crate) fn centre_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (c, centre) in state.centres.iter().enumerate() {
            let next = state.servers[centre.source]
                .binlog
                .get(centre.applied[centre.source]);
            // The keeper's transaction has the rows that a count would be added to: replication waits for it.
            let is_locked = centre.taken.is_some() && self.mistake != Mistake::PackReadsFirst;
            if next.is_some_and(|flush| !is_locked || !flush.counts.contains(&true)) {
                actions.push(Action::Apply(c));
            }
            if centre.taken.is_some() {
                actions.push(Action::EndPacking(c));
            } else if centre.packs_left > 0 && centre.minutes != [0; BATCHES] {
                actions.push(Action::BeginPacking(c));
            }
            if state.faults_left > 0 && self.bounds.parts_fail {
                let is_torn = self.mistake == Mistake::PositionApart && centre.applied[centre.source] > 0;
                if centre.taken.is_some() || is_torn {
                    actions.push(Action::CrashCentre(c));
                }
            }
        }
        for server in (0..SERVERS).filter(|_| self.bounds.purges) {
            if self.purgeable(state, server) > state.servers[server].purged {
                actions.push(Action::Purge(server));
            }
        }
    }

    /// MariaDB's replication, a transaction at a time: counts, claim and position (`gtid_slave_pos`) are one transaction.
    pub(crate) fn apply(&self, state: &mut State, c: usize) {
        let centre = &mut state.centres[c];
        let position = centre.applied[centre.source];
        let flush = state.servers[centre.source].binlog[position];
        for (count, is_counted) in centre.minutes.iter_mut().zip(flush.counts) {
            *count += u8::from(is_counted);
        }
        if let Some((worker, until)) = flush.claim {
            // `report::write`: what was claimed stays true.
            let before = centre.claims[worker].filter(|_| self.mistake != Mistake::ClaimFallsBack);
            centre.claims[worker] = before.max(Some(until));
        }
        centre.told = centre.told.max(centre.complete_until());
        centre.applied[centre.source] += 1;
    }

    /// `Packer::pack` (crates/store/src/upkeep/packing.rs), the first half: `DELETE … RETURNING`.
    pub(crate) fn begin_packing(&self, centre: &mut Centre) {
        centre.packs_left -= 1;
        centre.taken = Some(centre.minutes);
        centre.minutes = [0; BATCHES];
    }

    /// The second half: the packed day is read, merged, written, and all of it committed.
    pub(crate) fn end_packing(&self, centre: &mut Centre) {
        let Some(taken) = centre.taken.take() else { return };
        centre.has_merged |= centre.days != [0; BATCHES];
        for (day, minutes) in centre.days.iter_mut().zip(taken) {
            *day += minutes;
        }
        if self.mistake == Mistake::PackReadsFirst {
            centre.minutes = [0; BATCHES];
        }
    }

    /// A crash of the centre or its keeper: what was not committed is rolled back.
    pub(crate) fn crash_centre(&self, centre: &mut Centre) {
        if self.mistake == Mistake::PositionApart {
            centre.applied[centre.source] -= 1;
        }
        let Some(taken) = centre.taken.take() else { return };
        if self.mistake != Mistake::PackWithoutTransaction {
            for (minutes, taken) in centre.minutes.iter_mut().zip(taken) {
                *minutes += taken;
            }
        }
    }

    /// `binlogs::reached_by_all` (crates/keeper/src/binlogs.rs): the transactions of a server that every configured centre has applied.
    /// A centre that does not read it yet has applied none.
    pub(crate) fn purgeable(&self, state: &State, server: usize) -> usize {
        let asked = match self.mistake {
            Mistake::PurgeWithoutSecondCentre => 1,
            _ => state.centres.len(),
        };
        let positions = state.centres[..asked].iter().map(|centre| centre.applied[server]);
        positions.min().unwrap_or(0)
    }
}
