//! The checks of lines and of journals.

#![expect(
    clippy::unwrap_used,
    clippy::let_underscore_must_use,
    reason = "a check panics where something is wrong, and only there"
)]

use std::path::Path;

use model::{EVENT_COUNT_MAX, EventName};
use serde_json::Value;
use tokio::io::BufReader;

use super::chunk::{Chunk, Cutter};
use super::format::{Format, Reader};
use super::identity::Identity;
use super::journal::Journal;
use super::lines::Lines;
use super::progress::Place;

/// What the journals are of.
const LOG: &[u8] =
    b"192.0.2.1 - - [22/Nov/2025:05:00:00 +0000] \"GET / HTTP/1.1\" 200 12 \"-\" \"-\"\nno line of a log\n";
const BEGINNING: &str = "0123456789abcdef0123456789abcdef";

/// Reads a web server's log, which ended in an earlier import where the first byte of `input` says.
///
/// # Panics
/// The requests depend on how the file comes, lack a line, or have what a collector refuses.
pub fn logs(input: &[u8]) {
    let Some((&end, log)) = input.split_first() else {
        return;
    };
    check(Format::Combined, log, &[u64::from(end)]);
}

/// Reads rows of history, by the first byte of `input` as CSV or as JSON.
///
/// # Panics
/// As of [`logs`].
pub fn rows(input: &[u8]) {
    let Some((choice, rows)) = input.split_first() else {
        return;
    };
    let format = [Format::Csv, Format::Ndjson][usize::from(choice & 1)];
    check(format, rows, &[]);
}

/// Reads a journal, as one of a file of rows and as one of a log, and goes on from where it says.
///
/// # Panics
/// A journal that cannot be read as one, and is.
pub fn journals(text: &[u8]) {
    let dir = std::env::temp_dir().join(format!("journals-{}", std::process::id()));
    for (format, beginning) in [("ndjson", ""), ("combined", BEGINNING)] {
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("journal");
        std::fs::write(&path, text).unwrap();
        let import = Identity {
            file_bytes: LOG.len() as u64,
            format: format.to_owned(),
            key_prefix: "import-".to_owned(),
            collector: "http://127.0.0.1:7080".to_owned(),
            token_mark: "none".to_owned(),
            beginning: beginning.to_owned(),
        };
        go_on_from(&path, import);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

fn go_on_from(path: &Path, import: Identity) {
    let Ok(journal) = wait(Journal::read(path.to_owned(), import)) else {
        return;
    };
    let chunks = cut(Format::Combined, LOG, journal.ends(), LOG.len()).unwrap();
    let mut start = Place::default();
    for chunk in &chunks {
        let end = start.after(chunk);
        let _ = journal.has(&start, &end);
        start = end;
    }
    let _ = journal.expect_end(&start, journal.acknowledged());
}

fn check(format: Format, file: &[u8], ends: &[u64]) {
    let Ok(chunks) = cut(format, file, ends, 1) else {
        assert!(cut(format, file, ends, file.len()).is_err());
        return;
    };
    let at_once = cut(format, file, ends, file.len().max(1)).ok();
    assert!(Some(&chunks) == at_once.as_ref(), "{chunks:?} {at_once:?}");
    let bytes: u64 = chunks.iter().map(|chunk| chunk.bytes).sum();
    assert_eq!(bytes, file.len() as u64);
    for chunk in &chunks {
        let events: Vec<Value> = serde_json::Deserializer::from_slice(&chunk.body)
            .into_iter()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(events.len(), chunk.event_lines.len());
        for event in events {
            let (name, count) = (event["name"].as_str().unwrap(), &event["count"]);
            assert!(
                EventName::new(name).is_ok() && !event["timestamp"].is_null(),
                "{event}"
            );
            let is_count = |count: u64| (1..=EVENT_COUNT_MAX).contains(&count);
            assert!(count.is_null() || count.as_u64().is_some_and(is_count), "{event}");
        }
    }
}

/// The requests that a file is cut into when it comes in such pieces.
fn cut(format: Format, file: &[u8], ends: &[u64], piece_bytes: usize) -> anyhow::Result<Vec<Chunk>> {
    let mut lines = Lines::new(BufReader::with_capacity(piece_bytes, file), ends);
    let (mut reader, mut cutter) = (Reader::new(format), Cutter::new(String::new(), format));
    let (mut chunks, mut events) = (Vec::new(), Vec::new());
    wait(async {
        while let Some(line) = lines.next().await? {
            events.clear();
            let count = reader.events(&line, &mut events)?.unwrap_or(0);
            chunks.extend(cutter.add(&line, &events, count, reader.meaning()));
        }
        anyhow::Ok(())
    })?;
    chunks.extend(cutter.close());
    Ok(chunks)
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(work)
}
