#![doc = include_str!("../README.md")]

mod annotation;
mod batch;
mod block;
mod buckets;
mod count;
pub mod csv;
mod day;
pub mod decimal;
mod event;
mod extent;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod glob;
mod minute;
mod name;
mod origin;
mod packed_day;
pub mod query_time;
mod queue_depth;
mod reader;
mod reserved;
mod shard;
mod shards;
mod step;
mod time;

pub mod utf8;

pub use annotation::{
    ANNOTATION_MS_MAX, Annotation, AnnotationError, AnnotationId, DATA_BYTES_MAX, SPAN_MS_MAX, TAG_CHARS_MAX,
    TAGS_MAX, WHAT_CHARS_MAX,
};
pub use batch::{Batch, BatchId, PIECE_BYTES_MAX, Piece};
pub use block::{Block, for_each_in_block};
pub use buckets::Buckets;
pub use count::{COUNT_MAX, CountError, EVENT_COUNT_MAX, MinuteCounts, sums};
pub use day::{Day, MINUTES_PER_DAY, OutsideDay};
pub use event::{Event, EventError};
pub use extent::Extent;
pub use glob::{Glob, GlobError, Matcher};
pub use minute::{Minute, MinuteError};
pub use name::{EventId, EventName, NAME_BYTES_MAX, NameError};
pub use origin::{CLIENT_BYTES_MAX, Client, ContentHash, Origin};
pub use packed_day::{DayCounts, PACKED_FORM, SPARSE_MINUTES_MAX, for_each_packed, may_be_packed_anew};
pub use queue_depth::QueueDepth;
pub use reader::PackedDayError;
pub use reserved::{CERTIFICATE_TROUBLE, OWN_NAMES, TOKENS_FILE_REFUSED, own_count};
pub use shard::Shard;
pub use shards::{Shards, ShardsError};
pub use step::{Step, StepError};
pub use time::{TimeError, Timestamp};
