//! Errors of writing and reading annotations.

use model::{AnnotationError, TAGS_MAX};

use crate::form::WrongType;
use crate::intake;

/// Reasons for which an annotation is not written, or annotations are not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    ContentType(#[from] WrongType),
    #[error(transparent)]
    Body(#[from] intake::Error),
    #[error("body is not an annotation: {0}")]
    NoAnnotation(serde_json::Error),
    #[error(transparent)]
    Annotation(#[from] AnnotationError),
    #[error("{0} is not a time: use a number of unix seconds, or RFC 3339 in quotes")]
    JsonTime(&'static str),
    #[error("{0} is not a time: use unix seconds, now, or a time before now such as -90min, -24h, -7d")]
    GraphiteTime(&'static str),
    #[error("no annotation has this id")]
    NoSuchAnnotation,
    #[error("more than {TAGS_MAX} tags: ask for fewer")]
    TooManyTags,
}
