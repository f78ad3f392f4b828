//! Looking for pieces of names in a text of them.

use memchr::memmem;

/// The character between names in a text, which no name has.
pub(crate) const SEPARATOR: char = '\n';

/// A search for the next of several needles. Each is looked for by itself, at several gigabytes a second, since patterns with many
/// alternatives are rare.
pub(crate) struct Needles<'a> {
    text: &'a [u8],
    /// Each needle with the offset at which it was found last; the text's length for nowhere.
    finders: Vec<(memmem::Finder<'static>, usize)>,
}

impl<'a> Needles<'a> {
    pub(crate) fn new(text: &'a [u8], needles: Vec<String>) -> Self {
        let finder = |needle: String| {
            let finder = memmem::Finder::new(&needle).into_owned();
            let first = finder.find(text).unwrap_or(text.len());
            (finder, first)
        };
        Self {
            text,
            finders: needles.into_iter().map(finder).collect(),
        }
    }

    /// The offset of the next needle from `from` on; behind its separator where it begins with one, so that it lies in a name.
    pub(crate) fn next(&mut self, from: usize) -> Option<usize> {
        let mut first = self.text.len();
        for (finder, at) in &mut self.finders {
            if *at < from {
                *at = finder
                    .find(&self.text[from..])
                    .map_or(self.text.len(), |hit| from + hit);
            }
            first = first.min(*at);
        }
        let byte = char::from(*self.text.get(first)?);
        Some(if byte == SEPARATOR { first + 1 } else { first })
    }
}
