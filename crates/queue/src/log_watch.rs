//! A watch on beanstalkd's log: whether it writes down what it acknowledges.

use crate::operate::Log;

/// Compares the number of jobs put with the number of records written, from one look at the statistics to the next.
#[derive(Debug, Default)]
pub(crate) struct LogWatch {
    last: Option<Log>,
    /// Whether the log seems to stand still; until a record is written, or another process takes over.
    pub(crate) suspicious: bool,
}

impl LogWatch {
    /// Takes note of the statistics `now`. False where the log is off, or stood still while jobs were put.
    pub(crate) fn is_written(&mut self, now: Log) -> bool {
        if let Some(last) = self.last.take().filter(|last| last.process == now.process) {
            let written = now.records_written > last.records_written;
            self.suspicious = !written && (self.suspicious || now.jobs_put > last.jobs_put);
        } else {
            self.suspicious = false;
        }
        let is_written = now.is_on && !self.suspicious;
        self.last = Some(now);
        is_written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_stands_still_while_jobs_come_is_noticed_until_it_moves() {
        let log = |process: &str, records_written, jobs_put| Log {
            process: process.to_owned(),
            is_on: true,
            records_written,
            jobs_put,
        };
        let mut watch = LogWatch::default();
        assert!(watch.is_written(log("a", 5, 5)));
        assert!(watch.is_written(log("a", 5, 5)));
        assert!(watch.is_written(log("a", 6, 6)));
        assert!(!watch.is_written(log("a", 6, 7)));
        assert!(!watch.is_written(log("a", 6, 7)));
        assert!(watch.is_written(log("a", 7, 7)));
        watch.suspicious = true;
        assert!(!watch.is_written(log("a", 7, 7)));
        assert!(watch.is_written(log("b", 0, 0)));
        assert!(!watch.is_written(Log {
            is_on: false,
            ..log("b", 1, 1)
        }));
    }
}
