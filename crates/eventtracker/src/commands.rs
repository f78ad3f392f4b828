//! The commands that an operator types.

pub(crate) mod audit;
pub(crate) mod causes;
pub(crate) mod emit;
pub(crate) mod import;
pub(crate) mod names;
pub(crate) mod playground;
pub(crate) mod queue;
pub(crate) mod region;
pub(crate) mod remedy;
pub(crate) mod schema;
pub(crate) mod send;
pub(crate) mod series;
pub(crate) mod shard;
pub(crate) mod status;
pub(crate) mod token;
