//! A table of names: each once, under a number.

use std::hash::BuildHasher;
use std::sync::LazyLock;

use hashbrown::{DefaultHashBuilder, HashTable};
use model::EventName;

/// The hasher of all tables: a name is hashed once, however many tables it goes through.
static HASHER: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);

/// Bytes of memory that a name takes beside its text: its entry, its number and the room that both leave free.
const OVERHEAD_BYTES: usize = 60;

/// Names, numbered from 0 in the order in which they came first. Their text is copied once, and moves with the table.
#[derive(Debug, Default)]
pub struct NameTable {
    /// All names, one behind the other.
    text: String,
    names: Vec<Entry>,
    numbers: HashTable<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    start: u32,
    length: u32,
}

/// A name and its hash by [`HASHER`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashed<'a> {
    hash: u64,
    pub(crate) name: &'a str,
}

impl NameTable {
    /// The number of a name; a name without one gets the next.
    ///
    /// # Panics
    /// Where the table would have 4 GiB of names.
    pub fn number(&mut self, name: &EventName<'_>) -> u32 {
        self.number_of(Self::hashed(name))
    }

    /// The number of a name, as [`NameTable::number`], if it has one or `admits` says of its hash that it may have one. The hash is
    /// the same for the same name as long as the process lives, and no sender can choose it.
    ///
    /// # Panics
    /// Where the table would have 4 GiB of names.
    pub fn number_if(&mut self, name: &EventName<'_>, admits: impl FnOnce(u64) -> bool) -> Option<u32> {
        let name = Self::hashed(name);
        match self.find(name) {
            None if !admits(name.hash) => None,
            None => Some(self.push(name)),
            found => found,
        }
    }

    pub(crate) fn hashed<'a>(name: &'a EventName<'_>) -> Hashed<'a> {
        let name = name.as_str();
        Hashed {
            hash: HASHER.hash_one(name),
            name,
        }
    }

    pub(crate) fn number_of(&mut self, name: Hashed<'_>) -> u32 {
        self.find(name).unwrap_or_else(|| self.push(name))
    }

    /// Gives the next number to a name that has none.
    fn push(&mut self, name: Hashed<'_>) -> u32 {
        let fits = "a table has less than 4 GiB of names";
        let number = u32::try_from(self.names.len()).expect(fits);
        let names = &mut self.names;
        names.push(Entry {
            hash: name.hash,
            start: u32::try_from(self.text.len()).expect(fits),
            length: u32::try_from(name.name.len()).expect(fits),
        });
        self.text.push_str(name.name);
        self.numbers
            .insert_unique(name.hash, number, |&number| names[number as usize].hash);
        number
    }

    pub(crate) fn find(&self, name: Hashed<'_>) -> Option<u32> {
        let is_it = |&number: &u32| self.text_of(self.names[number as usize]) == name.name;
        self.numbers.find(name.hash, is_it).copied()
    }

    /// The name of a number that this table gave.
    pub(crate) fn get(&self, number: u32) -> Hashed<'_> {
        let entry = self.names[number as usize];
        Hashed {
            hash: entry.hash,
            name: self.text_of(entry),
        }
    }

    /// All names in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Hashed<'_>> {
        self.names.iter().map(|&entry| Hashed {
            hash: entry.hash,
            name: self.text_of(entry),
        })
    }

    /// The number of names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether the table has no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Bytes of memory that the table takes, from above.
    #[must_use]
    pub fn bytes(&self) -> usize {
        2 * self.text.len() + OVERHEAD_BYTES * self.names.len()
    }

    fn text_of(&self, entry: Entry) -> &str {
        &self.text[entry.start as usize..][..entry.length as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_first_time_and_stay() {
        let mut table = NameTable::default();
        assert!(table.is_empty());
        let name = |n: u32| EventName::new(format!("n{n}")).unwrap();
        for _ in 0..2 {
            for n in 0..5_000 {
                assert_eq!(table.number(&name(n)), n);
            }
        }
        assert!(!table.is_empty());
        assert_eq!((table.len(), table.get(4_321).name), (5_000, "n4321"));
        let mut other = NameTable::default();
        for name in table.iter().skip(4_000) {
            other.number_of(name);
        }
        assert_eq!(other.find(table.get(4_001)), Some(1));
        assert_eq!(other.find(table.get(1)), None);
        assert!(table.bytes() > table.text.capacity() + 24 * table.len());
        assert_eq!(table.number_if(&name(7), |_| false), Some(7));
        assert_eq!(table.number_if(&name(5_000), |_| false), None);
        let hash = table.get(4_321).hash;
        assert_eq!(other.number_if(&name(4_321), |given| given != hash), Some(321));
        assert_eq!(
            other.number_if(&name(1), |given| given != table.get(1).hash),
            None
        );
        assert_eq!(table.number_if(&name(5_000), |_| true), Some(5_000));
    }
}
