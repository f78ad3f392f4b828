//! The errors of the queue: beanstalkd's replies as beanstalkc words them, and failures to reach it.

use beanstalkc::BeanstalkcError;

/// Why a call to beanstalkd failed. The names of its replies are those of its protocol (beanstalkd 1.12, `doc/protocol.txt`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `TIMED_OUT`: no job became ready within the time.
    #[error("beanstalkd had no job within the time")]
    TimedOut,
    /// `DEADLINE_SOON`: the time to run of a job that this connection holds is nearly over.
    #[error("a job that we hold is about to be given to another worker")]
    DeadlineSoon,
    /// `NOT_FOUND`: the job is gone, or is not this connection's to delete or bury.
    #[error("beanstalkd knows no such job")]
    NotFound,
    /// `JOB_TOO_BIG`: the job was not stored.
    #[error("job is larger than beanstalkd's limit")]
    JobTooBig,
    /// `DRAINING`: the job was not stored.
    #[error("beanstalkd is draining and takes no jobs")]
    Draining,
    /// `BURIED`: the job is in the queue, but nobody gets it before an operator kicks it.
    #[error("beanstalkd buried the job, being out of memory")]
    Buried,
    /// `OUT_OF_MEMORY`: the job was not stored.
    #[error("beanstalkd is out of memory or its disk is full")]
    OutOfMemory,
    /// `INTERNAL_ERROR`: whether the command had an effect is unknown.
    #[error("beanstalkd could not do it, as when its disk has no room to note a change")]
    Internal,
    /// No connection could be made, so the call never ran.
    #[error("beanstalkd cannot be reached: {0}")]
    Unreachable(String),
    /// The connection broke during the call: whether the command had an effect is unknown.
    #[error("connection to beanstalkd broke: {0}")]
    Connection(String),
    /// The reply is none that the protocol has for this command, or lacks a part.
    #[error("beanstalkd's answer was not understood: {0}")]
    Protocol(String),
    /// The seconds after which the call was given up: whether the command had an effect is unknown.
    #[error("beanstalkd did not answer within {0} s")]
    Stuck(u64),
    /// The number of calls that were given up and have not ended yet. This one never ran.
    #[error("{0} calls to beanstalkd are stuck; no further one is started")]
    TooManyStuck(usize),
    /// The number of calls that were given up and have not ended for a minute: this process should end.
    #[error("{0} calls to beanstalkd have been stuck for long: only a new process can connect again")]
    StuckForGood(usize),
    /// beanstalkd acknowledges jobs without writing them to its log, or without syncing it, since its clock was set back.
    #[error(
        "beanstalkd does not write its log, or does not sync it since its clock was set back: start it again with -b DIR -f0 -s 1048576, on a disk with room"
    )]
    NotDurable,
}

impl Error {
    /// Whether this process cannot reach the queue again, so that it should end and let its supervisor start another.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::StuckForGood(_))
    }

    /// Whether the connection can be used after this error: beanstalkd gave a whole reply.
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
