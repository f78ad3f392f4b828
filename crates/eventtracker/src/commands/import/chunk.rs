//! The cut of a file into requests whose keys follow from its content alone.

use twox_hash::XxHash3_128;

use super::format::Format;
use super::lines::{Line, Part};

/// Events of one request: a collector refuses more.
///
/// A part of the keys' meaning, as is the next limit: with others, or another order of a line's events, an import that is
/// repeated across the change counts twice.
const EVENTS_MAX: usize = 10_000;

/// Bytes of one request's body: a collector refuses more than 1 MiB.
const BODY_BYTES_MAX: usize = 900_000;

/// Lines of one chunk of history, whose rows may be nearly all 0: some 4 MB, so that progress shows and is kept.
const ROWS_MAX: u64 = 100_000;

/// One request to a collector.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The idempotency key.
    pub(super) key: String,
    /// Newline-delimited JSON; empty where none of the lines could be read.
    pub(super) body: Vec<u8>,
    /// The line that each event comes from.
    pub(super) event_lines: Vec<u64>,
    /// Number of the first of the lines.
    pub(super) first_line: u64,
    /// How many lines there are, those that could not be read included.
    pub(super) lines: u64,
    /// Bytes that the lines take in the file.
    pub(super) bytes: u64,
}

/// A cutter of lines into chunks, in order and greedily: where a chunk ends follows from the lines before alone.
pub(super) struct Cutter {
    key_prefix: String,
    lines_max: u64,
    /// The chunk that is being filled, and the hash of its lines so far.
    open: Option<(Chunk, XxHash3_128)>,
}

impl Cutter {
    /// A cutter whose keys begin with `key_prefix`.
    pub(super) fn new(key_prefix: String, format: Format) -> Self {
        let lines_max = match format {
            Format::Combined => u64::MAX,
            Format::Csv | Format::Ndjson => ROWS_MAX,
        };
        Self {
            key_prefix,
            lines_max,
            open: None,
        }
    }

    /// Adds a line, with its `count` events as JSON lines. Returns the chunk before it if they do not fit any more, or if the file ended
    /// there when it was imported before: so the requests that went out then are those that would go out now.
    /// `meaning` is that of [`super::format::Reader::meaning`].
    pub(super) fn add(
        &mut self,
        line: &Line<'_>,
        events: &[u8],
        count: usize,
        meaning: &[u8],
    ) -> Option<Chunk> {
        let full = self.open.as_ref().is_some_and(|(chunk, _)| {
            chunk.event_lines.len() + count > EVENTS_MAX
                || chunk.body.len() + events.len() > BODY_BYTES_MAX
                || chunk.lines >= self.lines_max
                || line.part != Part::Next
        });
        let done = if full { self.close() } else { None };
        let (chunk, hash) = self.open.get_or_insert_with(|| open(line.number, meaning));
        chunk.body.extend_from_slice(events);
        chunk.event_lines.extend(std::iter::repeat_n(line.number, count));
        chunk.lines += 1;
        chunk.bytes += line.bytes;
        hash.write(line.text);
        hash.write(b"\n");
        done
    }

    /// The open chunk, under its key: XXH3-128 of the number of its first line, the lines' meaning, and all its lines,
    /// those that could not be read included. With the number, equal lines at another place of the file are another request.
    pub(super) fn close(&mut self) -> Option<Chunk> {
        let (mut chunk, hash) = self.open.take()?;
        chunk.key = format!("{}{:032x}", self.key_prefix, hash.finish_128());
        Some(chunk)
    }
}

fn open(first_line: u64, meaning: &[u8]) -> (Chunk, XxHash3_128) {
    let mut hash = XxHash3_128::new();
    hash.write(&first_line.to_le_bytes());
    hash.write(meaning);
    let chunk = Chunk {
        key: String::new(),
        body: Vec::with_capacity(BODY_BYTES_MAX),
        event_lines: Vec::with_capacity(EVENTS_MAX),
        first_line,
        lines: 0,
        bytes: 0,
    };
    (chunk, hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::import::format::Reader;

    fn chunks(log: &str, prefix: &str) -> Vec<Chunk> {
        chunks_of(Format::Combined, log, prefix)
    }

    fn chunks_of(format: Format, log: &str, prefix: &str) -> Vec<Chunk> {
        let mut reader = Reader::new(format);
        let mut cutter = Cutter::new(prefix.to_owned(), format);
        let mut chunks = Vec::new();
        for (number, text) in (1..).zip(log.lines()) {
            let line = Line::whole(number, text.as_bytes());
            let mut events = Vec::new();
            let count = reader.events(&line, &mut events).unwrap().unwrap_or_default();
            chunks.extend(cutter.add(&line, &events, count, reader.meaning()));
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
