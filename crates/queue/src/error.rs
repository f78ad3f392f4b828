//! What beanstalkd answers, as beanstalkc words it, mapped once.

use beanstalkc::BeanstalkcError;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("beanstalkd had no job within the time")]
    TimedOut,
    #[error("a job that we hold is about to be given to another worker")]
    DeadlineSoon,
    #[error("beanstalkd knows no such job")]
    NotFound,
    #[error("job is larger than beanstalkd's limit")]
    JobTooBig,
    #[error("beanstalkd is draining and takes no jobs")]
    Draining,
    #[error("beanstalkd buried the job, being out of memory")]
    Buried,
    #[error("beanstalkd is out of memory or its disk is full")]
    OutOfMemory,
    #[error("beanstalkd could not do it, as when its disk has no room to note a change")]
    Internal,
    #[error("beanstalkd cannot be reached: {0}")]
    Unreachable(String),
    #[error("connection to beanstalkd broke: {0}")]
    Connection(String),
    #[error("beanstalkd's answer was not understood: {0}")]
    Protocol(String),
    #[error("beanstalkd did not answer within {0} s")]
    Stuck(u64),
    #[error("{0} calls to beanstalkd are stuck; no further one is started")]
    TooManyStuck(usize),
    #[error("{0} calls to beanstalkd have been stuck for long: only a new process can connect again")]
    StuckForGood(usize),
    #[error("beanstalkd does not write its log: start it with -b DIR -f0, on a disk with room")]
    NotDurable,
}

impl Error {
    /// Whether only another process can reach the queue again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::StuckForGood(_))
    }

    /// Whether the connection can be used after this answer.
    pub(crate) fn leaves_connection_usable(&self) -> bool {
        matches!(
            self,
            Self::TimedOut
                | Self::DeadlineSoon
                | Self::NotFound
                | Self::JobTooBig
                | Self::Draining
                | Self::Buried
                | Self::OutOfMemory
                | Self::Internal
                | Self::NotDurable
        )
    }

    /// Whether beanstalkd takes no jobs at the moment, and may well serve those that it has.
    pub(crate) fn is_refused_put(&self) -> bool {
        matches!(
            self,
            Self::Draining | Self::OutOfMemory | Self::Buried | Self::Internal
        )
    }
}

impl From<BeanstalkcError> for Error {
    fn from(error: BeanstalkcError) -> Self {
        match error {
            BeanstalkcError::ConnectionError(text) => Self::Connection(text),
            BeanstalkcError::CommandFailed(status) | BeanstalkcError::UnexpectedResponse(status) => {
                match status.as_str() {
                    "TimedOut" => Self::TimedOut,
                    "DeadlineSoon" => Self::DeadlineSoon,
                    "NotFound" => Self::NotFound,
                    "JobTooBig" => Self::JobTooBig,
                    "Draining" => Self::Draining,
                    "Buried" => Self::Buried,
                    "OutOfMemory" => Self::OutOfMemory,
                    "InternalError" => Self::Internal,
                    _ => Self::Protocol(status),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_variants() {
        let failed = |word: &str| Error::from(BeanstalkcError::CommandFailed(word.to_owned()));
        assert_eq!(failed("TimedOut"), Error::TimedOut);
        assert_eq!(failed("DeadlineSoon"), Error::DeadlineSoon);
        assert_eq!(failed("NotFound"), Error::NotFound);
        assert_eq!(failed("JobTooBig"), Error::JobTooBig);
        assert_eq!(failed("Draining"), Error::Draining);
        assert_eq!(failed("Buried"), Error::Buried);
        assert_eq!(
            Error::from(BeanstalkcError::UnexpectedResponse("OutOfMemory".to_owned())),
            Error::OutOfMemory
        );
        assert_eq!(failed("InternalError"), Error::Internal);
        assert_eq!(failed("BadFormat"), Error::Protocol("BadFormat".to_owned()));
        assert!(!failed("BadFormat").leaves_connection_usable());
    }
}
