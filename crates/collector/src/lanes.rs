//! The two lanes of counts into the queue: what large requests bring takes long to pack, and is put beside what small ones bring, which
//! does not wait for it.

/// Most bytes of memory of a request's sums that take the short lane: it takes microseconds to add them to those of others.
const SHORT_SUMS_BYTES_MAX: usize = 16 << 10;

/// One of the two lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Short,
    Long,
}

impl Lane {
    pub(crate) const ALL: [Self; 2] = [Self::Short, Self::Long];

    /// The lane of a request whose sums take so much memory.
    pub(crate) fn of(bytes: usize) -> Self {
        if bytes <= SHORT_SUMS_BYTES_MAX {
            Self::Short
        } else {
            Self::Long
        }
    }
}

/// Something of each lane.
#[derive(Debug, Default)]
pub(crate) struct Lanes<T> {
    pub(crate) short: T,
    pub(crate) long: T,
}

impl<T> Lanes<T> {
    pub(crate) fn get(&self, lane: Lane) -> &T {
        match lane {
            Lane::Short => &self.short,
            Lane::Long => &self.long,
        }
    }

    pub(crate) fn get_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Short => &mut self.short,
            Lane::Long => &mut self.long,
        }
    }
}
