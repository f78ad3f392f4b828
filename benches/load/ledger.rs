//! What was acknowledged, per name and minute, and how it differs from what is stored.

use std::collections::BTreeMap;
use std::fmt;

use model::{EventId, Minute, MinuteCounts};

use crate::events::Row;

/// Differences that a report shows one by one.
const SHOWN_MAX: usize = 10;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    acknowledged: MinuteCounts,
    /// Events of requests without a clear answer: they may be stored or not.
    in_doubt: MinuteCounts,
}

impl Ledger {
    pub(crate) fn acknowledge(&mut self, rows: &[Row]) {
        add(&mut self.acknowledged, rows);
    }

    pub(crate) fn doubt(&mut self, rows: &[Row]) {
        add(&mut self.in_doubt, rows);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.acknowledged.merge(&other.acknowledged);
        self.in_doubt.merge(&other.in_doubt);
    }

    /// How many names and minutes were acknowledged.
    pub(crate) fn rows(&self) -> usize {
        self.acknowledged.len()
    }

    /// Where the stored rows are fewer or more than what was sent; rows that nobody sent are more, too.
    pub(crate) fn compare(&self, stored: &[Row]) -> Differences {
        let mut cells: BTreeMap<(EventId, Minute), Cell> = BTreeMap::new();
        for (id, minute, count) in self.acknowledged.sorted() {
            cells.entry((id, minute)).or_default().acknowledged += count;
        }
        for (id, minute, count) in self.in_doubt.sorted() {
            cells.entry((id, minute)).or_default().in_doubt += count;
        }
        for &(id, minute, count) in stored {
            cells.entry((id, minute)).or_default().stored += count;
        }
        cells.retain(|_, cell| cell.missing() > 0 || cell.surplus() > 0);
        Differences(cells)
    }
}

fn add(counts: &mut MinuteCounts, rows: &[Row]) {
    for &(id, minute, count) in rows {
        counts.add(id, minute, count);
    }
}

#[derive(Debug, Default)]
struct Cell {
    acknowledged: u64,
    in_doubt: u64,
    stored: u64,
}

impl Cell {
    fn missing(&self) -> u64 {
        self.acknowledged.saturating_sub(self.stored)
    }

    fn surplus(&self) -> u64 {
        self.stored.saturating_sub(self.acknowledged + self.in_doubt)
    }
}

#[derive(Debug)]
pub(crate) struct Differences(BTreeMap<(EventId, Minute), Cell>);

impl Differences {
    pub(crate) fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// More than was sent: no waiting heals it.
    pub(crate) fn surplus(&self) -> u64 {
        self.0.values().map(Cell::surplus).sum()
    }

    fn missing(&self) -> u64 {
        self.0.values().map(Cell::missing).sum()
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rows differ, by {} counts too few (lost, or on their way) and {} too many",
            self.0.len(),
            self.missing(),
            self.surplus()
        )?;
        for ((id, minute), cell) in self.0.iter().take(SHOWN_MAX) {
            let Cell {
                acknowledged,
                in_doubt,
                stored,
            } = cell;
            write!(
                f,
                "\n  {id} {minute}: acknowledged {acknowledged}, in doubt {in_doubt}, stored {stored}"
            )?;
        }
        Ok(())
    }
}
