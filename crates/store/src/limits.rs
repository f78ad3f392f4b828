//! How long calls may take that every speaker makes.

use std::time::Duration;

/// The action of a failure to connect.
pub(crate) const CONNECT: &str = "connect";

/// Longest wait for a connection: a server on the same network answers in milliseconds or not at all.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Longest wait for the answer to a brief call: a server that hangs must not hold up the others' turn.
pub(crate) const BRIEF_LIMIT: Duration = Duration::from_secs(5);
