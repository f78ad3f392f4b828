//! The bytes of a file: those that programs see, and those that a power cut leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes that are kept, and forgotten, together.
const PAGE_BYTES: usize = 4096;

/// What a disk writes as a whole even when its power goes.
const SECTOR_BYTES: usize = 512;

type Page = [u8; PAGE_BYTES];

/// Sparse bytes; what was never written reads as zeros. Clones share their pages.
#[derive(Debug, Clone, Default)]
struct Bytes {
    pages: BTreeMap<u64, Arc<Page>>,
    len: u64,
}

/// The pieces of `bytes` at `offset` that lie in one page each: the page's number, where in it, and where in `bytes`.
fn pieces(offset: u64, bytes: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let page_bytes = PAGE_BYTES as u64;
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == bytes {
            return None;
        }
        let at = offset + done as u64;
        let within = usize::try_from(at % page_bytes).expect("a page's length fits");
        let begun = done;
        done += (PAGE_BYTES - within).min(bytes - begun);
        Some((at / page_bytes, within, begun..done))
    })
}

impl Bytes {
    /// At most `max` bytes, fewer at the end.
    fn read(&self, offset: u64, max: usize) -> Vec<u8> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; max.min(left)];
        for (number, within, range) in pieces(offset, bytes.len()) {
            if let Some(page) = self.pages.get(&number) {
                let len = range.len();
                bytes[range].copy_from_slice(&page[within..within + len]);
            }
        }
        bytes
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        for (number, within, range) in pieces(offset, data.len()) {
            let page = self
                .pages
                .entry(number)
                .or_insert_with(|| Arc::new([0; PAGE_BYTES]));
            let len = range.len();
            Arc::make_mut(page)[within..within + len].copy_from_slice(&data[range]);
        }
        self.len = self.len.max(offset + data.len() as u64);
    }

    fn set_len(&mut self, len: u64) {
        if len < self.len {
            drop(self.pages.split_off(&len.div_ceil(PAGE_BYTES as u64)));
            let within = usize::try_from(len % PAGE_BYTES as u64).expect("a page's length fits");
            if within > 0
                && let Some(page) = self.pages.get_mut(&(len / PAGE_BYTES as u64))
            {
                Arc::make_mut(page)[within..].fill(0);
            }
        }
        self.len = len;
    }
}

/// A file's bytes.
#[derive(Debug, Default)]
pub(crate) struct Content {
    now: Bytes,
    durable: Bytes,
    /// The pages that were written since the last sync.
    dirty: BTreeSet<u64>,
    /// The least length since the last sync: what lies behind it was cut off, or written anew.
    least_len: u64,
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        self.now.len
    }

    pub(crate) fn read(&self, offset: u64, max: usize) -> Vec<u8> {
        self.now.read(offset, max)
    }

    /// Writes; what is `synchronous` is durable at once, and nothing else.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8], synchronous: bool) {
        if data.is_empty() {
            return;
        }
        self.now.write(offset, data);
        if synchronous {
            self.durable.write(offset, data);
        }
        // Either way: a sync throws away what lies behind the least length.
        self.dirty
            .extend(pieces(offset, data.len()).map(|(number, ..)| number));
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        self.now.set_len(len);
        self.least_len = self.least_len.min(len);
        // Its end was filled with zeros.
        if !len.is_multiple_of(PAGE_BYTES as u64) {
            self.dirty.insert(len / PAGE_BYTES as u64);
        }
    }

    /// Makes everything durable.
    pub(crate) fn sync(&mut self) {
        if self.least_len < self.durable.len {
            self.durable.set_len(self.least_len);
        }
        for number in std::mem::take(&mut self.dirty) {
            match self.now.pages.get(&number) {
                Some(page) => drop(self.durable.pages.insert(number, page.clone())),
                None => drop(self.durable.pages.remove(&number)),
            }
        }
        self.durable.len = self.now.len;
        self.least_len = self.now.len;
    }

    /// Forgets what is not durable; the bytes in pages that had changed.
    pub(crate) fn forget(&mut self) -> u64 {
        let forgotten = self.dirty.len() * PAGE_BYTES;
        self.dirty.clear();
        self.now = self.durable.clone();
        self.least_len = self.now.len;
        forgotten as u64
    }

    /// Makes durable so many whole sectors of a write that was not synced.
    pub(crate) fn tear(&mut self, offset: u64, data: &[u8], sectors: usize) {
        let kept = data.len().min(sectors * SECTOR_BYTES);
        if kept > 0 {
            self.durable.write(offset, &data[..kept]);
        }
    }
}

/// How many sectors a write has, the last of them cut short.
pub(crate) fn sectors(data: &[u8]) -> usize {
    data.len().div_ceil(SECTOR_BYTES)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a file can be asked for.
    #[derive(Debug, Clone)]
    enum Call {
        Write(u64, Vec<u8>, bool),
        SetLen(u64),
        Sync,
        Forget,
    }

    fn calls() -> impl Strategy<Value = Vec<Call>> {
        let offset = 0..20_000_u64;
        let data = prop::collection::vec(1..=u8::MAX, 0..9_000);
        let call = prop_oneof![
            4 => (offset.clone(), data, prop::bool::weighted(0.2)).prop_map(|(at, data, sync)| Call::Write(at, data, sync)),
            2 => offset.prop_map(Call::SetLen),
            1 => Just(Call::Sync),
            1 => Just(Call::Forget),
        ];
        prop::collection::vec(call, 0..12)
    }

    fn write(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
        let (from, to) = (
            usize::try_from(offset).unwrap(),
            usize::try_from(offset).unwrap() + data.len(),
        );
        bytes.resize(bytes.len().max(to), 0);
        bytes[from..to].copy_from_slice(data);
    }

    proptest! {
        /// Against two plain vectors.
        #[test]
        fn is_what_was_written_and_after_a_cut_what_was_synced(calls in calls()) {
            let (mut content, mut now, mut durable) = (Content::default(), Vec::new(), Vec::new());
            for call in calls {
                match call {
                    Call::Write(at, data, synchronous) => {
                        content.write(at, &data, synchronous);
                        if !data.is_empty() {
                            write(&mut now, at, &data);
                            if synchronous {
                                write(&mut durable, at, &data);
                            }
                        }
                    }
                    Call::SetLen(len) => {
                        content.set_len(len);
                        now.resize(usize::try_from(len).unwrap(), 0);
                    }
                    Call::Sync => {
                        content.sync();
                        durable = now.clone();
                    }
                    Call::Forget => {
                        content.forget();
                        now = durable.clone();
                    }
                }
                prop_assert_eq!(&content.read(0, usize::MAX), &now);
            }
            content.forget();
            prop_assert_eq!(&content.read(0, usize::MAX), &durable);
        }
    }

    #[test]
    fn a_torn_write_leaves_whole_sectors_of_its_beginning() {
        let mut content = Content::default();
        content.write(0, &[1; 2_000], false);
        content.sync();
        let data = [2; 2_000];
        content.write(100, &data, false);
        assert_eq!(sectors(&data), 4);
        content.tear(100, &data, 1);
        content.forget();
        let expected = [&[1; 100][..], &[2; 512], &[1; 1_388]].concat();
        assert_eq!(content.read(0, usize::MAX), expected);
    }
}
