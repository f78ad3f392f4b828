//! Refused lines, in a file of their own.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::journal::with_suffix;

/// The two files: the refused lines as they stand in the import's file, so that they can be put right and imported; and beside it, in
/// FILE.reasons, the number and the reason of each.
pub(super) struct RefusedLines {
    path: PathBuf,
    lines: BufWriter<File>,
    reasons: BufWriter<File>,
    count: u64,
}

impl RefusedLines {
    /// Creates both files.
    ///
    /// # Errors
    /// A file that is there already, or cannot be written.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let create = |path: &Path| {
            File::create_new(path).map(BufWriter::new).with_context(|| {
                format!(
                    "cannot write refused lines to {}: name a file that is not there yet",
                    path.display()
                )
            })
        };
        Ok(Self {
            path: path.to_owned(),
            lines: create(path)?,
            reasons: create(&with_suffix(path, ".reasons"))?,
            count: 0,
        })
    }

    /// Writes a header, which the lines need to be read as they were.
    pub(super) fn head(&mut self, text: &[u8]) -> anyhow::Result<()> {
        self.written(|lines, _| write_line(lines, text))
    }

    /// Writes a line and its reason.
    pub(super) fn add(&mut self, number: u64, text: &[u8], reason: &str) -> anyhow::Result<()> {
        self.count += 1;
        self.written(|lines, reasons| {
            write_line(lines, text)?;
            writeln!(reasons, "line {number}: {reason}")
        })
    }

    /// Completes both files, and returns a sentence on where they are and how many lines they have.
    pub(super) fn finish(mut self) -> anyhow::Result<String> {
        self.written(|lines, reasons| {
            lines.flush()?;
            reasons.flush()
        })?;
        Ok(format!(
            "{} refused lines are in {path}, their reasons in {path}.reasons",
            self.count,
            path = self.path.display()
        ))
    }

    fn written(
        &mut self,
        write: impl FnOnce(&mut BufWriter<File>, &mut BufWriter<File>) -> std::io::Result<()>,
    ) -> anyhow::Result<()> {
        write(&mut self.lines, &mut self.reasons)
            .with_context(|| format!("cannot write refused lines to {}", self.path.display()))
    }
}

fn write_line(file: &mut BufWriter<File>, text: &[u8]) -> std::io::Result<()> {
    file.write_all(text)?;
    file.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_reasons_lie_side_by_side_and_nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("refused");
        let mut refused = RefusedLines::create(&path).unwrap();
        refused.head(b"count,name,time").unwrap();
        refused.add(7, b"x,\xff,1", "count is none").unwrap();
        assert!(refused.finish().unwrap().starts_with("1 refused lines are in "));
        assert_eq!(std::fs::read(&path).unwrap(), b"count,name,time\nx,\xff,1\n");
        let reasons = std::fs::read_to_string(with_suffix(&path, ".reasons")).unwrap();
        assert_eq!(reasons, "line 7: count is none\n");
        let error = RefusedLines::create(&path).err().unwrap();
        assert!(
            error.to_string().contains("name a file that is not there yet"),
            "{error}"
        );
    }
}
