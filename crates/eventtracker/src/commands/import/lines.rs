//! Lines of a byte stream, in bounded memory.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Longest line that is read: web servers limit a request's first line and each header to 8 KiB, of which a log shows
/// three, each character as `\xhh` at worst.
pub(super) const LINE_BYTES_MAX: usize = 128 * 1024;

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The first line is 1.
    pub(super) number: u64,
    /// At most [`LINE_BYTES_MAX`] bytes, the head of a longer line.
    pub(super) text: &'a [u8],
    pub(super) is_cut: bool,
    /// What the line takes in the stream, its end included.
    pub(super) bytes: u64,
}

pub(super) struct Lines<R> {
    input: R,
    number: u64,
    text: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            number: 0,
            text: Vec::new(),
        }
    }

    /// The next line; `None` at the end. The last line may lack its line feed.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.text.clear();
        let mut length = 0;
        let mut feeds = 0;
        while feeds == 0 {
            let available = self.input.fill_buf().await?;
            if available.is_empty() {
                break;
            }
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
        self.number += 1;
        let is_cut = length > self.text.len();
        let text = self.text.strip_suffix(b"\r").unwrap_or(&self.text);
        let bytes = u64::try_from(length + feeds).unwrap_or(u64::MAX);
        Ok(Some(Line {
            number: self.number,
            text,
            is_cut,
            bytes,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: &[u8], buffer: usize) -> Vec<(u64, Vec<u8>, bool, u64)> {
        let mut lines = Lines::new(tokio::io::BufReader::with_capacity(buffer, input));
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
