//! Lines of a byte stream, in bounded memory.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Bytes of the longest line that is read: web servers limit a request's first line and each header to 8 KiB, of which a log shows
/// three, each character as `\xhh` at worst.
pub(super) const LINE_BYTES_MAX: usize = 128 * 1024;

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The line's number; the first line is 1.
    pub(super) number: u64,
    /// The text, at most [`LINE_BYTES_MAX`] bytes of it: of a longer line its head.
    pub(super) text: &'a [u8],
    /// Whether the line is longer than its text.
    pub(super) is_cut: bool,
    /// Bytes that the line takes in the stream, its end included.
    pub(super) bytes: u64,
    pub(super) part: Part,
    /// Whether there is a line feed behind it.
    pub(super) has_end: bool,
}

/// The place of a line relative to where the file ended in earlier imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The line before it was there with it.
    Next,
    /// The file ended right before it.
    First,
    /// The file ended within it: this is what has come since, under the number of the whole line.
    Rest,
}

/// A reader of lines.
pub(super) struct Lines<R> {
    input: R,
    /// Number of the last line.
    number: u64,
    /// Text of the last line.
    text: Vec<u8>,
    /// Bytes before the next line.
    position: u64,
    /// Whether the next line begins at the file's beginning or behind a line feed.
    at_beginning: bool,
    /// The bytes at which the file ended before that are still to come, the first one last.
    ends: Vec<u64>,
}

impl<'a> Line<'a> {
    /// A line that is all of a text, for tests.
    #[cfg(test)]
    pub(super) fn whole(number: u64, text: &'a [u8]) -> Self {
        Self {
            number,
            text,
            is_cut: false,
            bytes: u64::try_from(text.len() + 1).unwrap(),
            part: Part::Next,
            has_end: true,
        }
    }
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// `ends` are the places where the file ended in earlier imports, in their order: a line that was not complete there comes in two.
    pub(super) fn new(input: R, ends: &[u64]) -> Self {
        Self {
            input,
            number: 0,
            text: Vec::new(),
            position: 0,
            at_beginning: true,
            ends: ends.iter().rev().copied().collect(),
        }
    }

    /// The part that the next line is; an end that it comes behind is done with.
    fn part(&mut self) -> Part {
        if self.ends.pop_if(|end| *end <= self.position).is_none() {
            Part::Next
        } else if self.at_beginning {
            Part::First
        } else {
            Part::Rest
        }
    }

    /// The next line; `None` at the end. The last line may lack its line feed.
    ///
    /// # Errors
    /// The stream's.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.text.clear();
        let part = self.part();
        let end = self.ends.last().map_or(u64::MAX, |end| end - self.position);
        let length_max = usize::try_from(end).unwrap_or(usize::MAX);
        let mut length = 0;
        let mut feeds = 0;
        while feeds == 0 && length < length_max {
            let available = self.input.fill_buf().await?;
            if available.is_empty() {
                break;
            }
            let available = &available[..available.len().min(length_max - length)];
            let feed_at = available.iter().position(|&b| b == b'\n');
            let taken = feed_at.unwrap_or(available.len());
            let room = LINE_BYTES_MAX - self.text.len();
            self.text.extend_from_slice(&available[..taken.min(room)]);
            feeds = usize::from(feed_at.is_some());
            length += taken;
            self.input.consume(taken + feeds);
        }
        if length + feeds == 0 {
            return Ok(None);
        }
        self.number += u64::from(part != Part::Rest);
        let is_cut = length > self.text.len();
        let text = self.text.strip_suffix(b"\r").unwrap_or(&self.text);
        let bytes = u64::try_from(length + feeds).unwrap_or(u64::MAX);
        self.position += bytes;
        self.at_beginning = feeds == 1;
        Ok(Some(Line {
            number: self.number,
            text,
            is_cut,
            bytes,
            part,
            has_end: feeds == 1,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: &[u8], buffer: usize) -> Vec<(u64, Vec<u8>, bool, u64)> {
        let mut lines = Lines::new(tokio::io::BufReader::with_capacity(buffer, input), &[]);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push((line.number, line.text.to_vec(), line.is_cut, line.bytes));
        }
        all
    }

    #[tokio::test]
    async fn lines_do_not_depend_on_the_buffer() {
        let input = b"one\r\n\ntwo\nlast";
        let expected = vec![
            (1, b"one".to_vec(), false, 5),
            (2, b"".to_vec(), false, 1),
            (3, b"two".to_vec(), false, 4),
            (4, b"last".to_vec(), false, 4),
        ];
        for buffer in 1..20 {
            assert_eq!(all(input, buffer).await, expected, "{buffer}");
        }
        assert_eq!(all(b"", 8).await, vec![]);
    }

    #[tokio::test]
    async fn where_the_file_ended_before_a_line_begins_anew() {
        let input = &b"one\ntwo\r\nthree\nfour"[..];
        let expected = [
            (1, "one", Part::Next),
            (2, "two", Part::First),
            (3, "th", Part::Next),
            (3, "ree", Part::Rest),
            (4, "four", Part::First),
        ];
        for buffer in 1..20 {
            let mut lines = Lines::new(tokio::io::BufReader::with_capacity(buffer, input), &[4, 11, 15]);
            let mut found = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                found.push((
                    line.number,
                    String::from_utf8(line.text.to_vec()).unwrap(),
                    line.part,
                ));
            }
            let expected = expected.map(|(number, text, part)| (number, text.to_owned(), part));
            assert_eq!(found, expected, "{buffer}");
        }
        // Nothing but the line's end has come since.
        let mut lines = Lines::new(tokio::io::BufReader::new(&b"one\ntwo"[..]), &[3]);
        let mut parts = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            parts.push((line.text.to_vec(), line.part, line.has_end));
        }
        let expected = [
            ("one", Part::Next, false),
            ("", Part::Rest, true),
            ("two", Part::Next, false),
        ];
        assert_eq!(
            parts,
            expected.map(|(text, part, has_end)| (text.as_bytes().to_vec(), part, has_end))
        );
    }

    #[tokio::test]
    async fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let mut input = vec![b'x'; LINE_BYTES_MAX + 7];
        input.extend_from_slice(b"\nnext\n");
        let lines = all(&input, 1000).await;
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].1.len(), lines[0].2), (LINE_BYTES_MAX, true));
        assert_eq!(lines[1].1, b"next");
        let bytes: u64 = lines.iter().map(|line| line.3).sum();
        assert_eq!(usize::try_from(bytes).unwrap(), input.len());
    }
}
