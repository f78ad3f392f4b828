//! The file of tokens.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::tokens::{ParseError, Tokens};

/// Most bytes of a file: a thousand tokens with a kilobyte each.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The permissions that nobody but the file's owner and group may have: who reads a hash knows whom to look for, and who writes one is let
/// in.
const MODE_OF_OTHERS: u32 = 0o007;

/// Why a file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened, or is not UTF-8.
    #[error("the file of tokens {path} cannot be read")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// Others than its owner and group may read or change it.
    #[error("the file of tokens {path} may be read or changed by others: chmod o= {path}")]
    Open {
        /// The file.
        path: String,
    },
    /// It is no file of tokens.
    #[error("the file of tokens {path} cannot be used")]
    Parse {
        /// The file.
        path: String,
        /// What is wrong.
        source: ParseError,
    },
}

/// Reads a file of tokens.
///
/// # Errors
/// A file that cannot be read, that others may read or change, or that lists no tokens.
pub fn read(path: &Path) -> Result<Tokens, FileError> {
    let shown = || path.display().to_string();
    let cannot = |source| FileError::Read {
        path: shown(),
        source,
    };
    let file = std::fs::File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if metadata.mode() & MODE_OF_OTHERS != 0 {
        return Err(FileError::Open { path: shown() });
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(cannot(std::io::Error::other(format!(
            "it is longer than {FILE_BYTES_MAX} bytes"
        ))));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    Tokens::parse(&text).map_err(|source| FileError::Parse {
        path: shown(),
        source,
    })
}
