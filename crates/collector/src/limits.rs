//! What one request may bring, as its refusals say.

/// Most bytes of a body as received.
pub(crate) const WIRE_BYTES_MAX: usize = 1 << 20;

/// Most bytes of a body once unpacked.
pub(crate) const UNPACKED_BYTES_MAX: usize = 8 << 20;

/// Most events of one request.
pub(crate) const EVENTS_MAX: usize = 10_000;
