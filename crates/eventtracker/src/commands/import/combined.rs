//! Lines of a web server's log in the combined or common format, as events.

use std::fmt;

use chrono::DateTime;
use model::{EVENT_COUNT_MAX, Minute, MinuteError, Timestamp};

use super::lines::{LINE_BYTES_MAX, Line};

/// Bytes of the largest answer that is believed; it also bounds the events of one line, since an event counts 10⁹ at most.
const SIZE_BYTES_MAX: u64 = 1_000_000_000_000;

/// Bytes of a text that may be meant as a time: `17/May/2015:10:05:03 +0000` and a little more.
const TIME_BYTES_MAX: usize = 32;

/// Bytes of the longest text in brackets that is passed over.
const BRACKET_BYTES_MAX: usize = 256;

/// Brackets that are passed over between time and request.
const BRACKETS_MAX: usize = 8;

/// Bytes that a refusal repeats of what cannot be read.
const SHOWN_BYTES_MAX: usize = 40;

/// The registered methods of HTTP and WebDAV. Anything else is `other`: a scanner's inventions would each become a name.
const METHODS: &str = "ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK LOCK MERGE \
    MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PRI PROPFIND PROPPATCH \
    PURGE PUT REBIND REPORT SEARCH TRACE UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL";

/// The request that a line is about, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    unix_s: i64,
    method: &'static str,
    status: u16,
    size_bytes: u64,
}

/// Reasons for which a line is not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    Cut,
    NoTime,
    Time(String),
    Year(MinuteError),
    NoRequest,
    OpenRequest,
    Status(String),
    Size(String),
    HugeSize(u64),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => write!(f, "line is longer than {LINE_BYTES_MAX} bytes"),
            Self::NoTime => f.write_str("no time in brackets, such as [17/May/2015:10:05:03 +0000]"),
            Self::Time(text) => write!(f, "time is not like 17/May/2015:10:05:03 +0000: '{text}'"),
            Self::Year(error) => error.fmt(f),
            Self::NoRequest => f.write_str("no request in quotes after the time"),
            Self::OpenRequest => f.write_str("the request's closing quote is missing"),
            Self::Status(text) => write!(f, "status after the request is not from 100 to 599: '{text}'"),
            Self::Size(text) => write!(
                f,
                "size after the status is neither a number of bytes nor '-': '{text}'"
            ),
            Self::HugeSize(bytes) => write!(f, "size is above {SIZE_BYTES_MAX} bytes: {bytes}"),
        }
    }
}

impl Request {
    /// Reads `host ident user [time] "request" status size`, the common log format of Apache's `mod_log_config`; whatever comes after is
    /// ignored.
    ///
    /// It is a pure function of the line: whether its time is too far ahead is left to the collector's clock.
    pub(super) fn of(line: &Line<'_>) -> Result<Self, Refusal> {
        if line.is_cut {
            return Err(Refusal::Cut);
        }
        let (unix_s, rest) = time(line.text)?;
        let end = closing_quote(rest).ok_or(Refusal::OpenRequest)?;
        let mut fields = rest[end + 1..]
            .split(u8::is_ascii_whitespace)
            .filter(|field| !field.is_empty());
        let status = status(fields.next().unwrap_or_default())?;
        let size_bytes = size_bytes(fields.next().unwrap_or_default())?;
        Ok(Self {
            unix_s,
            method: method(&rest[..end]),
            status,
            size_bytes,
        })
    }

    /// Appends the request's events as JSON lines, and returns how many there are.
    pub(super) fn write_events(&self, json: &mut Vec<u8>) -> usize {
        let mut written = 0;
        self.events(|name, count| {
            let event = format!(
                "{{\"name\":\"{name}\",\"count\":{count},\"timestamp\":{}}}\n",
                self.unix_s
            );
            json.extend_from_slice(event.as_bytes());
            written += 1;
        });
        written
    }

    /// Hands each event's name and count to `each`.
    fn events(&self, mut each: impl FnMut(fmt::Arguments<'_>, u64)) {
        each(format_args!("web.requests"), 1);
        each(format_args!("web.status.{}", self.status), 1);
        each(format_args!("web.method.{}", self.method), 1);
        let mut left = self.size_bytes;
        while left > 0 {
            let count = left.min(EVENT_COUNT_MAX);
            each(format_args!("web.bytes"), count);
            left -= count;
        }
    }
}

/// The time of the request in unix seconds, and the text behind the quote that opens the request. The time is the last one in the first
/// row of brackets that begins with a time and ends before a quote: a user's name may hold brackets, quotes and even a time, and some
/// formats have other brackets between time and request. The request and its headers, which may hold anything, come later.
fn time(line: &[u8]) -> Result<(i64, &[u8]), Refusal> {
    let mut refusal = Refusal::NoTime;
    for at in (0..line.len()).filter(|&at| line[at] == b'[') {
        let Some((inside, mut rest)) = bracket(&line[at..]) else {
            continue;
        };
        let mut found = match instant(inside) {
            Ok(found) => found,
            Err(Refusal::NoTime) => continue,
            Err(error) => {
                refusal = error;
                continue;
            }
        };
        for _ in 0..BRACKETS_MAX {
            let Some((inside, after)) = bracket(rest) else {
                break;
            };
            found = instant(inside).unwrap_or(found);
            rest = after;
        }
        match rest.strip_prefix(b"\"") {
            Some(request) => {
                Minute::containing(found).map_err(Refusal::Year)?;
                return Ok((found.unix_ms().div_euclid(1000), request));
            }
            None => refusal = Refusal::NoRequest,
        }
    }
    Err(refusal)
}

/// The text in the bracket that `text` begins with, and the text behind it and its blanks.
fn bracket(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = text.strip_prefix(b"[")?;
    let length = inside.iter().take(BRACKET_BYTES_MAX).position(|&b| b == b']')?;
    Some((&inside[..length], inside[length + 1..].trim_ascii_start()))
}

/// The instant that a text in brackets names.
///
/// # Errors
/// `Time` for what looks like a time and is none, `NoTime` for anything else.
fn instant(text: &[u8]) -> Result<Timestamp, Refusal> {
    let text = String::from_utf8_lossy(text);
    let time = DateTime::parse_from_str(&text, "%d/%b/%Y:%H:%M:%S %z");
    match time.map(Timestamp::from_calendar) {
        Ok(Ok(instant)) => Ok(instant),
        _ if text.len() <= TIME_BYTES_MAX && text.contains('/') && text.contains(':') => {
            Err(Refusal::Time(text.escape_debug().to_string()))
        }
        _ => Err(Refusal::NoTime),
    }
}

/// Offset of the quote that closes the request. Servers write a quote inside it as `\"` and a backslash as `\\`.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|&b| {
        let closes = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        closes
    })
}

/// The request's method, if it is a registered one, else `other`.
fn method(request: &[u8]) -> &'static str {
    let word = request.split(|&b| b == b' ').next().unwrap_or_default();
    METHODS
        .split(' ')
        .find(|method| method.as_bytes() == word)
        .unwrap_or("other")
}

fn status(field: &[u8]) -> Result<u16, Refusal> {
    number(field)
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (100..=599).contains(status))
        .ok_or_else(|| Refusal::Status(shown(field)))
}

/// Bytes of the answer; `-`, as Apache writes, is 0.
fn size_bytes(field: &[u8]) -> Result<u64, Refusal> {
    if field == b"-" {
        return Ok(0);
    }
    match number(field) {
        Some(bytes) if bytes > SIZE_BYTES_MAX => Err(Refusal::HugeSize(bytes)),
        Some(bytes) => Ok(bytes),
        None => Err(Refusal::Size(shown(field))),
    }
}

fn number(field: &[u8]) -> Option<u64> {
    let digits = field.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(field).ok().filter(|_| digits)?.parse().ok()
}

fn shown(field: &[u8]) -> String {
    field[..field.len().min(SHOWN_BYTES_MAX)]
        .escape_ascii()
        .to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(text: impl AsRef<[u8]>) -> Result<Request, Refusal> {
        Request::of(&Line::whole(1, text.as_ref()))
    }

    fn events(request: Request) -> Vec<(String, u64)> {
        let mut events = Vec::new();
        request.events(|name, count| events.push((name.to_string(), count)));
        events
    }

    #[test]
    fn a_line_of_the_sample_is_four_events() {
        let request = read(
            r#"83.149.9.216 - - [17/May/2015:10:05:03 +0200] "GET /presentations/kibana-search.png HTTP/1.1" 200 203023 "http://semicomplete.com/" "Mozilla/5.0""#,
        )
        .unwrap();
        assert_eq!(request.unix_s, 1_431_849_903);
        let expected = [
            ("web.requests", 1),
            ("web.status.200", 1),
            ("web.method.GET", 1),
            ("web.bytes", 203_023),
        ];
        assert_eq!(
            events(request),
            expected.map(|(name, count)| (name.to_owned(), count))
        );
    }

    #[test]
    fn the_common_format_and_torn_ends_are_read() {
        let head = r#"::1 - frank [10/Oct/2000:13:55:36 -0700] "HEAD / HTTP/1.0" 304 -"#;
        for tail in [
            "",
            " ",
            r#" "http://torn"#,
            r#" "-" "Mozilla/5.0 (compatible; \"x"#,
        ] {
            let request = read(format!("{head}{tail}")).unwrap();
            assert_eq!(events(request).len(), 3, "no bytes, hence no event of them");
            assert_eq!(request.unix_s, 971_211_336);
        }
    }

    #[test]
    fn nasty_requests_are_counted() {
        let method = |request: &[u8]| {
            let mut line = b"h - - [17/May/2015:10:05:03 +0000] \"".to_vec();
            line.extend_from_slice(request);
            line.extend_from_slice(b"\" 400 226 \"-\" \"-\"");
            let request = read(line).unwrap();
            assert_eq!((request.status, request.size_bytes), (400, 226));
            request.method
        };
        assert_eq!(method(b"-"), "other");
        assert_eq!(method(b""), "other");
        assert_eq!(method(b"\x16\x03\x01\xff\x00\xfe"), "other");
        assert_eq!(method(br"\x16\x03\x01"), "other");
        assert_eq!(method(b"get / HTTP/1.1"), "other");
        assert_eq!(method(b"INVENTED / HTTP/1.1"), "other");
        assert_eq!(method(br#"GET /a\"b\" 200 99 HTTP/1.1"#), "GET");
        assert_eq!(method(br"GET /a\\"), "GET");
        assert_eq!(method(b"GET /[1] HTTP/1.1"), "GET");
        assert_eq!(method(b"VERSION-CONTROL / HTTP/1.1"), "VERSION-CONTROL");
    }

    #[test]
    fn brackets_before_the_time_do_not_hide_it() {
        assert!(read(r#"[::1] - [me] [17/May/2015:10:05:03 +0000] "-" 408 0"#).is_ok());
        assert!(read("\0\0\0h - - [17/May/2015:10:05:03 +0000] \"-\" 408 0").is_ok());
    }

    /// Each line of the sample of odd ones has its verdict: the minute, status, size and method that it counts, or that it is refused.
    #[test]
    fn odd_lines_count_as_they_should() {
        let line = |text: &str| {
            read(text).map(|request| (request.unix_s, request.status, request.size_bytes, request.method))
        };
        let at = |text: &str| Timestamp::from_rfc3339(text).unwrap().unix_ms() / 1000;
        for (text, expected) in [
            (
                r#"203.0.113.5 - - [30/Jul/2024:00:06:21 +0900] [0.003] [PORT 80] "GET /a HTTP/1.1" 200 100 "-" "ua" "-""#,
                (at("2024-07-29T15:06:21Z"), 200, 100, "GET"),
            ),
            (
                r#"shop.example.org:443 203.0.113.6:42918 - - [27/Jan/2024:10:03:34 +0000] "GET /c HTTP/2.0" 200 102"#,
                (at("2024-01-27T10:03:34Z"), 200, 102, "GET"),
            ),
            (
                r#"203.0.113.14 - [bob] [29/Feb/2024:23:59:59 +1245] "GET /h HTTP/1.1" 200 107 "-" "ua""#,
                (at("2024-02-29T11:14:59Z"), 200, 107, "GET"),
            ),
            (
                r#"203.0.113.18 - - [01/Jan/2024:00:10:00 +0000] "GET /l?[17/May/2015:10:05:03 +0000] HTTP/1.1" 200 112 "[17/May/2015:10:05:03 +0000]" "ua""#,
                (at("2024-01-01T00:10:00Z"), 200, 112, "GET"),
            ),
            (
                r#"203.0.113.21 - bob "the builder" [01/Jan/2024:00:13:00 +0000] "GET /o HTTP/1.1" 200 113 "-" "ua""#,
                (at("2024-01-01T00:13:00Z"), 200, 113, "GET"),
            ),
            (
                r#"203.0.113.22 - [01/Jan/2001:00:00:00 +0000] [01/Jan/2024:00:14:00 +0000] "GET /p HTTP/1.1" 200 114 "-" "ua""#,
                (at("2024-01-01T00:14:00Z"), 200, 114, "GET"),
            ),
            (
                r#"203.0.113.23 - a[b [01/Jan/2024:00:14:00 +0000] "GET /p HTTP/1.1" 200 114"#,
                (at("2024-01-01T00:14:00Z"), 200, 114, "GET"),
            ),
            (
                r#"203.0.113.23 - [01/Jan/2001:00:00:00 +0000] x [01/Jan/2024:00:14:00 +0000] "GET /p HTTP/1.1" 200 114"#,
                (at("2024-01-01T00:14:00Z"), 200, 114, "GET"),
            ),
            (
                r#"h - - [31/Dec/2016:23:59:60 +0000] "GET / HTTP/1.1" 200 1"#,
                (at("2016-12-31T23:59:59Z"), 200, 1, "GET"),
            ),
        ] {
            assert_eq!(line(text), Ok(expected), "{text}");
        }
        let refusal = |text: &str| line(text).unwrap_err();
        assert_eq!(
            refusal(
                r#"[10/Jul/2024:21:25:43 +0700] 203.0.113.12 TLSv1.3/TLS_AES_128_GCM_SHA256 302 390 "-" "ua""#
            ),
            Refusal::NoRequest
        );
        assert!(matches!(
            refusal(r#"203.0.113.15 - - [29/Feb/2023:12:00:00 +0000] "GET /i HTTP/1.1" 200 108"#),
            Refusal::Time(_)
        ));
        assert!(matches!(
            refusal(r#"h - - [31/Dec/2016:11:59:60 +0000] "GET / HTTP/1.1" 200 1"#),
            Refusal::Time(_)
        ));
    }

    #[test]
    fn a_refusal_names_its_reason() {
        let reason = |text: &str| read(text).unwrap_err();
        assert_eq!(reason("nonsense"), Refusal::NoTime);
        assert_eq!(reason("h - - [17/May/2015:10:05"), Refusal::NoTime);
        assert!(matches!(
            reason(r#"h - - [31/Feb/2015:10:05:03 +0000] "-" 200 1"#),
            Refusal::Time(_)
        ));
        assert!(matches!(
            reason(r#"h - - [17/May/1999:10:05:03 +0000] "-" 200 1"#),
            Refusal::Year(_)
        ));
        assert_eq!(
            reason("h - - [17/May/2015:10:05:03 +0000] GET / 200 1"),
            Refusal::NoRequest
        );
        assert_eq!(
            reason(r#"h - - [17/May/2015:10:05:03 +0000] "GET / 200 1"#),
            Refusal::OpenRequest
        );
        assert_eq!(
            reason(r#"h - - [17/May/2015:10:05:03 +0000] "GET /\" 200 1"#),
            Refusal::OpenRequest
        );
        assert!(matches!(
            reason(r#"h - - [17/May/2015:10:05:03 +0000] "-" - 1"#),
            Refusal::Status(_)
        ));
        assert!(matches!(
            reason(r#"h - - [17/May/2015:10:05:03 +0000] "-" 099 1"#),
            Refusal::Status(_)
        ));
        assert!(matches!(
            reason(r#"h - - [17/May/2015:10:05:03 +0000] "-" 200"#),
            Refusal::Size(_)
        ));
        assert!(matches!(
            reason(r#"h - - [17/May/2015:10:05:03 +0000] "-" 200 +5"#),
            Refusal::Size(_)
        ));
        let huge = reason(r#"h - - [17/May/2015:10:05:03 +0000] "-" 200 1000000000001"#);
        assert_eq!(huge, Refusal::HugeSize(1_000_000_000_001));
        let cut = Request::of(&Line {
            is_cut: true,
            ..Line::whole(1, b"")
        });
        assert_eq!(cut, Err(Refusal::Cut));
    }

    #[test]
    fn large_answers_are_several_events() {
        let request = read(r#"h - - [17/May/2015:10:05:03 +0000] "-" 200 2500000000"#).unwrap();
        let counts: Vec<u64> = events(request)[3..].iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [EVENT_COUNT_MAX, EVENT_COUNT_MAX, 500_000_000]);
    }

    /// The figures come from awk.
    #[test]
    fn the_sample_log_is_read_without_a_refusal() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/apache_access.log");
        let log = std::fs::read(path).unwrap();
        let mut sums = BTreeMap::<String, u64>::new();
        for text in log.split(|&b| b == b'\n').filter(|text| !text.is_empty()) {
            let request = read(text).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(text)));
            for (name, count) in events(request) {
                *sums.entry(name).or_default() += count;
            }
        }
        let expected = [
            ("web.bytes", 2_747_282_740),
            ("web.method.GET", 9_952),
            ("web.method.HEAD", 42),
            ("web.method.OPTIONS", 1),
            ("web.method.POST", 5),
            ("web.requests", 10_000),
            ("web.status.200", 9_126),
            ("web.status.206", 45),
            ("web.status.301", 164),
            ("web.status.304", 445),
            ("web.status.403", 2),
            ("web.status.404", 213),
            ("web.status.416", 2),
            ("web.status.500", 3),
        ];
        assert_eq!(
            sums,
            BTreeMap::from(expected.map(|(name, sum)| (name.to_owned(), sum)))
        );
    }
}
