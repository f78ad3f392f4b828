//! A fast reader for jobs in the plain form in which collectors write them, in one walk over the text.
//!
//! Whatever is written otherwise is `None` here and left to serde_json. Whatever is read here, serde_json reads in the same way; a test
//! holds the two equal.

use std::borrow::Cow;

use crate::wire::{IndexedCounts, Wire, WireBatch, WireCounts};

/// The job in `text`; `None` where it is not in the plain form.
pub(crate) fn job(text: &str) -> Option<Wire<'_>> {
    let mut cursor = Cursor { text, at: 0 };
    cursor.expect("{\"accepted\":")?;
    let accepted = cursor.decimal()?;
    cursor.expect(",\"names\":[")?;
    let names = cursor.list("]", |cursor| cursor.string().map(Cow::Borrowed))?;
    cursor.expect(",\"batches\":[")?;
    let batches = cursor.list("]", Cursor::batch)?;
    cursor.expect("}")?;
    (cursor.at == text.len()).then_some(Wire {
        accepted,
        names,
        batches,
    })
}

/// A place in the text. Each method reads one thing from there and moves on; after `None` the place means nothing.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn take(&mut self, what: &str) -> bool {
        let is_there = self.rest().starts_with(what.as_bytes());
        self.at += if is_there { what.len() } else { 0 };
        is_there
    }

    fn expect(&mut self, what: &str) -> Option<()> {
        self.take(what).then_some(())
    }

    /// The elements between commas up to `end`.
    fn list<T>(&mut self, end: &str, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut list = Vec::new();
        if self.take(end) {
            return Some(list);
        }
        loop {
            list.push(one(self)?);
            if self.take(end) {
                return Some(list);
            }
            self.expect(",")?;
        }
    }

    fn batch(&mut self) -> Option<WireBatch<'a>> {
        self.expect("{\"id\":")?;
        let id = Cow::Borrowed(self.string()?);
        let mut origin = |key| match self.take(key) {
            true => self.string().map(|text| Some(Cow::Borrowed(text))),
            false => Some(None),
        };
        let client = origin(",\"client\":")?;
        let content = origin(",\"content\":")?;
        self.expect(",\"counts\":{")?;
        let counts = self.list("}", Self::minute)?;
        self.expect("}")?;
        Some(WireBatch {
            id,
            client,
            content,
            counts: WireCounts(counts),
        })
    }

    fn minute(&mut self) -> Option<(Cow<'a, str>, IndexedCounts)> {
        let minute = self.string()?;
        self.expect(":[")?;
        let counts = self.list("]", |cursor| {
            cursor.expect("[")?;
            let index = cursor.number()?;
            cursor.expect(",")?;
            let count = cursor.number()?;
            cursor.expect("]")?;
            Some((index, count))
        })?;
        Some((Cow::Borrowed(minute), counts))
    }

    /// A string of printable ASCII without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.expect("\"")?;
        let is_plain = |byte: &&u8| matches!(byte, b' '..=b'~') && !b"\"\\".contains(byte);
        let length = self.rest().iter().take_while(is_plain).count();
        let text = &self.text[self.at..self.at + length];
        self.at += length;
        self.expect("\"")?;
        Some(text)
    }

    /// A whole number without a sign or leading zeros.
    fn number(&mut self) -> Option<u64> {
        let rest = self.rest();
        let (mut value, mut length) = (0_u64, 0);
        while let Some(digit) = rest.get(length).map(|byte| byte.wrapping_sub(b'0'))
            && digit < 10
        {
            value = value.checked_mul(10)?.checked_add(digit.into())?;
            length += 1;
        }
        let is_plain = length == 1 || (length > 0 && rest[0] != b'0');
        self.at += length;
        is_plain.then_some(value)
    }

    /// A number that may have a fraction.
    fn decimal(&mut self) -> Option<f64> {
        let start = self.at;
        self.number()?;
        if self.take(".") {
            let length = self
                .rest()
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            self.at += length;
        }
        // Which f64 is next to a decimal, serde_json and the standard library do not always agree on.
        serde_json::from_str(&self.text[start..self.at]).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JOB: &str = r#"{"accepted":1763787600.125,"names":["a.b","c"],"batches":[{"id":"0199aa55-0000-7000-8000-000000000001","counts":{"1763787600":[[0,7],[1,10]],"1763787660":[]}},{"id":"0199aa55-0000-7000-8000-000000000002","client":"shop","content":"0000000000000abc","counts":{"1763787540":[[1,9]]}},{"id":"x","content":"","counts":{}}]}"#;

    #[test]
    fn what_collectors_write_is_plain() {
        assert_eq!(job(JOB), Some(serde_json::from_str(JOB).unwrap()));
        for other in [
            "{}",
            &JOB.replace("[0,7]", "[00,7]"),
            &JOB.replace("[0,7]", "[0,7.0]"),
            &JOB.replace("[0,7]", "[0,18446744073709551616]"),
            &JOB.replace("a.b", "\\u0061"),
            &JOB.replace(",\"names\"", ", \"names\""),
            &format!("{JOB} "),
        ] {
            assert_eq!(job(other), None, "{other}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn the_plain_form_is_what_serde_json_reads(
            at in 0..JOB.len(), cut in 0_usize..4, insert in "[0-9a-z\"\\[\\]{},.:\\\\ é-]{0,3}",
        ) {
            let end = (at + cut).min(JOB.len());
            let changed = [&JOB[..at], &insert, &JOB[end..]].concat();
            if let Some(wire) = job(&changed) {
                let by_serde: Wire<'_> = serde_json::from_str(&changed).unwrap();
                prop_assert_eq!(wire, by_serde);
            }
        }
    }
}
