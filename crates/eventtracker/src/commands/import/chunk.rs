//! The cut of a log into requests whose keys follow from its content alone.

use twox_hash::XxHash3_128;

use super::combined::Request;
use super::lines::Line;

/// A collector refuses more events or bytes in one request (10,000 and 1 MiB).
///
/// Part of the keys' meaning: with other limits, or another order of a line's events, an import that is repeated across
/// the change counts twice.
const EVENTS_MAX: usize = 10_000;
const BODY_BYTES_MAX: usize = 900_000;

/// One request to a collector.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) key: String,
    /// Newline-delimited JSON; empty where none of the lines could be read.
    pub(super) body: Vec<u8>,
    /// The line that each event comes from.
    pub(super) event_lines: Vec<u64>,
    pub(super) first_line: u64,
    /// What the lines take in the file.
    pub(super) bytes: u64,
}

/// Fills chunks with lines, in order and greedily.
pub(super) struct Cutter {
    key_prefix: String,
    open: Option<(Chunk, XxHash3_128)>,
    events: Vec<u8>,
}

impl Cutter {
    pub(super) fn new(key_prefix: String) -> Self {
        Self {
            key_prefix,
            open: None,
            events: Vec::new(),
        }
    }

    /// Adds a line, with its events if it could be read; hands out the chunk before it if the line's events do not fit any more.
    pub(super) fn add(&mut self, line: &Line<'_>, request: Option<&Request>) -> Option<Chunk> {
        self.events.clear();
        let count = request.map_or(0, |request| write_events(request, &mut self.events));
        let full = self.open.as_ref().is_some_and(|(chunk, _)| {
            chunk.event_lines.len() + count > EVENTS_MAX
                || chunk.body.len() + self.events.len() > BODY_BYTES_MAX
        });
        let done = if full { self.close() } else { None };
        let (chunk, hash) = self.open.get_or_insert_with(|| open(line.number));
        chunk.body.extend_from_slice(&self.events);
        chunk.event_lines.extend(std::iter::repeat_n(line.number, count));
        chunk.bytes += line.bytes;
        hash.write(line.text);
        hash.write(b"\n");
        done
    }

    /// The open chunk, under its key: XXH3-128 of the number of its first line and of all its lines, those that could not be read included.
    pub(super) fn close(&mut self) -> Option<Chunk> {
        let (mut chunk, hash) = self.open.take()?;
        chunk.key = format!("{}{:032x}", self.key_prefix, hash.finish_128());
        Some(chunk)
    }
}

fn open(first_line: u64) -> (Chunk, XxHash3_128) {
    let mut hash = XxHash3_128::new();
    hash.write(&first_line.to_le_bytes());
    let chunk = Chunk {
        key: String::new(),
        body: Vec::new(),
        event_lines: Vec::new(),
        first_line,
        bytes: 0,
    };
    (chunk, hash)
}

/// Appends the request's events as JSON lines, and returns how many there are.
fn write_events(request: &Request, json: &mut Vec<u8>) -> usize {
    let mut written = 0;
    request.events(|name, count| {
        let event = format!(
            "{{\"name\":\"{name}\",\"count\":{count},\"timestamp\":{}}}\n",
            request.unix_s
        );
        json.extend_from_slice(event.as_bytes());
        written += 1;
    });
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(log: &str, prefix: &str) -> Vec<Chunk> {
        let mut cutter = Cutter::new(prefix.to_owned());
        let mut chunks = Vec::new();
        for (number, text) in (1..).zip(log.lines()) {
            let bytes = u64::try_from(text.len() + 1).unwrap();
            let line = Line {
                number,
                text: text.as_bytes(),
                is_cut: false,
                bytes,
            };
            chunks.extend(cutter.add(&line, Request::of(&line).ok().as_ref()));
        }
        chunks.extend(cutter.close());
        chunks
    }

    fn log(lines: usize, status: u16, size: &str) -> String {
        format!("h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" {status} {size}\n").repeat(lines)
    }

    #[test]
    fn keys_are_frozen() {
        let chunks = chunks(&log(1, 200, "7"), "import-");
        // Computed with the xxhash package for Python.
        assert_eq!(chunks[0].key, "import-eaed265b8d80549e6339b7a652b83b9f");
        let body = String::from_utf8(chunks[0].body.clone()).unwrap();
        let expected = "\
            {\"name\":\"web.requests\",\"count\":1,\"timestamp\":1431857103}\n\
            {\"name\":\"web.status.200\",\"count\":1,\"timestamp\":1431857103}\n\
            {\"name\":\"web.method.GET\",\"count\":1,\"timestamp\":1431857103}\n\
            {\"name\":\"web.bytes\",\"count\":7,\"timestamp\":1431857103}\n";
        assert_eq!(body, expected);
    }

    #[test]
    fn chunks_stay_within_a_collectors_limits() {
        let many_small = log(7_000, 200, "7");
        let few_large = log(700, 200, "999999999999");
        for log in [many_small, few_large] {
            let chunks = chunks(&log, "");
            assert!(chunks.len() > 2);
            for chunk in &chunks {
                assert!(chunk.event_lines.len() <= EVENTS_MAX && chunk.body.len() <= BODY_BYTES_MAX);
                let lines = chunk.body.iter().filter(|&&b| b == b'\n').count();
                assert_eq!(lines, chunk.event_lines.len());
            }
            let bytes: u64 = chunks.iter().map(|chunk| chunk.bytes).sum();
            assert_eq!(usize::try_from(bytes).unwrap(), log.len());
            assert!(
                chunks
                    .windows(2)
                    .all(|pair| pair[0].event_lines.last() < pair[1].event_lines.first())
            );
        }
    }

    #[test]
    fn the_same_content_has_the_same_keys() {
        let log_a = log(6_000, 200, "7");
        let once = chunks(&log_a, "import-");
        assert_eq!(once, chunks(&log_a, "import-"));
        let mut keys: Vec<_> = once.iter().map(|chunk| &chunk.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(
            keys.len(),
            once.len(),
            "equal lines at other places are other requests"
        );
        let grown = chunks(&(log_a.clone() + &log(1, 404, "7")), "import-");
        assert_eq!(once[..2], grown[..2], "what comes later changes no full chunk");
        assert_ne!(once[2].key, grown[2].key);
        assert_ne!(once[0].key, chunks(&log_a, "import-again-")[0].key);
    }

    #[test]
    fn lines_that_cannot_be_read_belong_to_a_chunk() {
        let chunks = chunks("nonsense\n\n", "");
        assert_eq!(chunks.len(), 1);
        assert_eq!((chunks[0].body.len(), chunks[0].bytes), (0, 10));
        assert!(super::tests::chunks("", "").is_empty());
    }
}
