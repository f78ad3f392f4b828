//! Years of counts at the centre: what they take on disk, how fast they are read, packed, and whether ingest minds.

pub(crate) mod fill;
pub(crate) mod ingest;
pub(crate) mod packing;
pub(crate) mod reads;
pub(crate) mod storage;
mod victoria;
