//! A cache of the ids of names that come again and again.

use model::{EventId, EventName};

use crate::NameTable;

/// Most bytes of memory of the names whose ids are remembered: half a million names of thirty characters.
const BYTES_MAX: usize = 64 << 20;

/// Names looked for in vain, once there is no room for more, after which all are forgotten: other names have come into use.
const MISSES_MAX: usize = 2_000_000;

/// A cache of event ids, for whoever decodes many jobs: an MD5 takes some 200 ns, and each job has its names in full.
#[derive(Debug, Default)]
pub struct EventIds {
    names: NameTable,
    /// The ids by the numbers of their names.
    ids: Vec<EventId>,
    misses: usize,
}

impl EventIds {
    /// The id of a name, from the cache where it is there.
    pub(crate) fn of(&mut self, name: &EventName<'_>) -> EventId {
        let hashed = NameTable::hashed(name);
        if let Some(number) = self.names.find(hashed) {
            return self.ids[number as usize];
        }
        let id = name.id();
        if self.names.bytes() < BYTES_MAX {
            self.names.number_of(hashed);
            self.ids.push(id);
        } else {
            self.misses += 1;
            if self.misses >= MISSES_MAX {
                *self = Self::default();
            }
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_names_whether_it_is_remembered_or_not() {
        let mut ids = EventIds::default();
        let name = |number: usize| EventName::new(format!("{number:0>250}")).unwrap();
        let fit = BYTES_MAX / 560 + 1;
        for round in 0..2 {
            for number in 0..fit + 10 {
                let name = name(number);
                if number % 1_000 == 0 || number >= fit {
                    assert_eq!(ids.of(&name), name.id(), "{number}");
                } else {
                    ids.of(&name);
                }
            }
            assert_eq!((ids.ids.len(), ids.misses), (fit, 10 * (round + 1)));
        }
        ids.misses = MISSES_MAX - 1;
        ids.of(&name(fit));
        assert_eq!((ids.ids.len(), ids.misses), (0, 0));
    }
}
