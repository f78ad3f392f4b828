//! A fast reader for events in the plain form in which nearly all come, in one walk over the text.
//!
//! Whatever is written otherwise is `None` here and left to serde_json: escapes, unusual numbers, unknown or repeated fields, names
//! and counts that are refused. Whatever is read here, serde_json reads in the same way; tests hold the two equal.

use model::{EVENT_COUNT_MAX, EventName, Timestamp};

use crate::readers::{give_way, is_turn_over};

/// Most digits of a count: those of [`EVENT_COUNT_MAX`].
const COUNT_DIGITS_MAX: usize = 10;

/// Most digits of a time in unix seconds before the point: further ahead than any collector's clock.
const SECONDS_DIGITS_MAX: usize = 11;

/// An event as it is written; `None` is a field that is not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlainEvent<'a> {
    pub(crate) name: EventName<'a>,
    pub(crate) count: Option<u64>,
    pub(crate) at: Option<Timestamp>,
}

/// The event in the first line of `text`, alone in it, and the text after the line.
pub(crate) fn line(text: &str) -> Option<(PlainEvent<'_>, &str)> {
    let mut cursor = Cursor::<b'\r'> { text, at: 0 };
    let event = cursor.object()?;
    cursor.blanks();
    let is_end = cursor.at == text.len() || cursor.take(b"\n");
    is_end.then(|| (event, &text[cursor.at..]))
}

/// All events of a body of JSON, at most `max`: one, an array, or `{"events":[…]}`.
pub(crate) fn body(text: &str, max: usize) -> Option<Vec<PlainEvent<'_>>> {
    let mut cursor = Cursor::<b'\n'> { text, at: 0 };
    cursor.blanks();
    let events = match cursor.peek()? {
        b'[' => cursor.array(max)?,
        _ if cursor.is_envelope() => {
            let events = cursor.array(max)?;
            cursor.blanks();
            cursor.take(b"}").then_some(events)?
        }
        _ => vec![cursor.object()?],
    };
    cursor.blanks();
    (cursor.at == text.len()).then_some(events)
}

/// A place in the text. Each method reads one thing from there and moves on; after `None` the place means nothing. Blanks are spaces,
/// tabs, carriage returns and `BLANK`: line ends, where an event may go over several lines.
struct Cursor<'a, const BLANK: u8> {
    text: &'a str,
    at: usize,
}

impl<'a, const BLANK: u8> Cursor<'a, BLANK> {
    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    fn take(&mut self, what: &[u8]) -> bool {
        let is_there = self.rest().starts_with(what);
        self.at += if is_there { what.len() } else { 0 };
        is_there
    }

    fn blanks(&mut self) {
        while self
            .peek()
            .is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r') || byte == BLANK)
        {
            self.at += 1;
        }
    }

    /// Whether `{"events":` is there; moves on only then.
    fn is_envelope(&mut self) -> bool {
        let start = self.at;
        let parts: [&[u8]; 3] = [b"{", b"\"events\"", b":"];
        let is_there = parts.iter().all(|part| {
            let is_there = self.take(part);
            self.blanks();
            is_there
        });
        if !is_there {
            self.at = start;
        }
        is_there
    }

    fn array(&mut self, max: usize) -> Option<Vec<PlainEvent<'a>>> {
        let mut events = Vec::new();
        self.take(b"[").then_some(())?;
        self.blanks();
        if self.take(b"]") {
            return Some(events);
        }
        loop {
            (events.len() < max).then_some(())?;
            events.push(self.object()?);
            if is_turn_over(events.len()) {
                give_way();
            }
            self.blanks();
            if self.take(b"]") {
                return Some(events);
            }
            self.take(b",").then_some(())?;
            self.blanks();
        }
    }

    fn object(&mut self) -> Option<PlainEvent<'a>> {
        let (mut name, mut count, mut at) = (None, None, None);
        self.take(b"{").then_some(())?;
        loop {
            self.blanks();
            // A field that comes twice, or that is unknown, is left to serde_json, which refuses it.
            if name.is_none() && self.take(b"\"name\"") {
                self.colon()?;
                name = Some(self.name()?);
            } else if count.is_none() && self.take(b"\"count\"") {
                self.colon()?;
                count = Some(self.count()?);
            } else if at.is_none() && self.take(b"\"timestamp\"") {
                self.colon()?;
                at = Some(self.time()?);
            } else {
                return None;
            }
            self.blanks();
            if self.take(b"}") {
                let name = name?;
                return Some(PlainEvent { name, count, at });
            }
            self.take(b",").then_some(())?;
        }
    }

    fn colon(&mut self) -> Option<()> {
        self.blanks();
        self.take(b":").then_some(())?;
        self.blanks();
        Some(())
    }

    fn name(&mut self) -> Option<EventName<'a>> {
        self.take(b"\"").then_some(())?;
        let name = EventName::leading(&self.text[self.at..])?;
        self.at += name.as_str().len();
        self.take(b"\"").then_some(name)
    }

    /// A whole number without a sign or leading zeros. What may follow it is for the caller to say.
    fn digits(&mut self, max: usize) -> Option<u64> {
        let rest = self.rest();
        let (mut value, mut length) = (0, 0);
        while let Some(digit) = rest.get(length).map(|byte| byte.wrapping_sub(b'0'))
            && digit < 10
        {
            (length < max).then_some(())?;
            value = 10 * value + u64::from(digit);
            length += 1;
        }
        (length > 0 && rest[0] != b'0').then_some(())?;
        self.at += length;
        Some(value)
    }

    fn count(&mut self) -> Option<u64> {
        let count = self.digits(COUNT_DIGITS_MAX)?;
        (count <= EVENT_COUNT_MAX).then_some(count)
    }

    fn time(&mut self) -> Option<Timestamp> {
        if self.take(b"\"") {
            return self.rfc3339();
        }
        let mut ms = i64::try_from(self.digits(SECONDS_DIGITS_MAX)?).ok()? * 1000;
        if self.take(b".") {
            let fraction = self.rest();
            let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (length > 0).then_some(())?;
            for (digit, worth) in fraction[..length].iter().zip([100, 10, 1]) {
                ms += i64::from(digit - b'0') * worth;
            }
            self.at += length;
        }
        Some(Timestamp::from_unix_ms(ms))
    }

    fn rfc3339(&mut self) -> Option<Timestamp> {
        let is_of_time = |byte: &&u8| byte.is_ascii_digit() || b"TZtz:+-.".contains(byte);
        let length = self.rest().iter().take_while(is_of_time).count();
        let at = Timestamp::from_rfc3339(&self.text[self.at..self.at + length]).ok()?;
        self.at += length;
        self.take(b"\"").then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"name":"a.b","count":3,"timestamp":1763787600}"#;

    fn plain(text: &str) -> Option<(String, Option<u64>, Option<i64>)> {
        let (event, rest) = line(text)?;
        assert_eq!(rest, "");
        Some((
            event.name.to_string(),
            event.count,
            event.at.map(Timestamp::unix_ms),
        ))
    }

    #[test]
    fn what_most_senders_write_is_plain() {
        let all = Some(("a.b".to_owned(), Some(3), Some(1_763_787_600_000)));
        assert_eq!(plain(EVENT), all);
        let spaced = r#"{"timestamp": 1763787600, "name": "a.b", "count": 3}"#;
        assert_eq!(plain(spaced), all);
        assert_eq!(
            plain("{ \"name\" : \"a\" }\r\n"),
            Some(("a".to_owned(), None, None))
        );
        let at = |text: &str| plain(&format!(r#"{{"name":"a","timestamp":{text}}}"#)).map(|event| event.2);
        assert_eq!(at("1763787600.0419"), Some(Some(1_763_787_600_041)));
        assert_eq!(at(r#""2025-11-22T05:00:00.5Z""#), Some(Some(1_763_787_600_500)));
    }

    #[test]
    fn what_is_not_plain_is_left_to_others() {
        for other in [
            "",
            "{}",
            r#"{"count":3}"#,
            r#"{"name":"a","name":"a"}"#,
            r#"{"name":"a","name""count":3}"#,
            r#"{"name":"a","count":3,"count""timestamp":1763787600}"#,
            r#"{"name":"a",}"#,
            r#"{"name":"a","count":03}"#,
            r#"{"name":"a","count":0}"#,
            r#"{"name":"a","count":3.0}"#,
            r#"{"name":"a","count":1000000001}"#,
            r#"{"name":"a","count":"#,
            r#"{"name":"a","count":}"#,
            r#"{"name":"a","count":3:}"#,
            r#"{"name":"a","count":null}"#,
            r#"{"name":"a","timestamp":176378760025}"#,
            r#"{"name":"a","timestamp":1e9}"#,
            r#"{"name":"a","timestamp":1763787600.}"#,
            r#"{"name":"a","timestamp":"noon"}"#,
            r#"{"name":"a b"}"#,
            r#"{"name":"\u0061"}"#,
            r#"{"name":""}"#,
            r#"{"name":"a"} x"#,
            "{\"name\":\n\"a\"}",
            "\u{feff}{\"name\":\"a\"}",
        ] {
            assert_eq!(line(other), None, "{other}");
        }
    }

    #[test]
    fn bodies_of_all_shapes() {
        let count = |text: &str| body(text, 3).map(|events| events.len());
        assert_eq!(count(EVENT), Some(1));
        assert_eq!(count("[]"), Some(0));
        let array = |n| format!("[{}]", vec![EVENT; n].join(" ,\n"));
        assert_eq!(count(&array(3)), Some(3));
        assert_eq!(count(&array(4)), None);
        assert_eq!(count(&format!("{{ \"events\" : {} }}\n", array(2))), Some(2));
        for other in [
            "",
            "[",
            "[1]",
            "{\"events\":[]",
            "{\"events\":[],\"a\":1}",
            "[] []",
        ] {
            assert_eq!(count(other), None, "{other}");
        }
    }
}
