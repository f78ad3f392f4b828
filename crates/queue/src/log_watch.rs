//! A watch on beanstalkd's log: whether what it acknowledges is written down, and synced.

use crate::operate::Log;

/// Compares the number of jobs put with the number of records written, from one look at the statistics to the next.
#[derive(Debug, Default)]
pub(crate) struct LogWatch {
    last: Option<Log>,
    /// Whether the log seems to stand still; until a record is written, or another process takes over.
    pub(crate) suspicious: bool,
    /// The latest that the clock of the process has shown. It syncs nothing that it writes before its clock is where it was at the last sync.
    latest_s: i64,
}

impl LogWatch {
    /// Takes note of the statistics `now`. False where the log is off, or stood still while jobs were put, or where the clock was set back, by
    /// which beanstalkd knows whether to sync: until it is where it was, or beanstalkd is started again, what is acknowledged is on no disk.
    pub(crate) fn is_written(&mut self, now: Log) -> bool {
        if let Some(last) = self.last.take().filter(|last| last.process == now.process) {
            let written = now.records_written > last.records_written;
            self.suspicious = !written && (self.suspicious || now.jobs_put > last.jobs_put);
            self.latest_s = self.latest_s.max(now.uptime_s);
        } else {
            self.suspicious = false;
            self.latest_s = now.uptime_s;
        }
        let is_written = now.is_on && !self.suspicious && now.uptime_s >= self.latest_s;
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
            uptime_s: 7,
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

    #[test]
    fn a_log_is_not_synced_until_the_clock_is_where_it_was() {
        let log = |process: &str, uptime_s| Log {
            process: process.to_owned(),
            is_on: true,
            records_written: 0,
            jobs_put: 0,
            uptime_s,
        };
        let mut watch = LogWatch::default();
        for (process, uptime_s, is_written) in [
            ("a", 5, true),
            ("a", 5, true),
            ("a", 95, true),
            ("a", 6, false),
            ("a", 94, false),
            ("a", 95, true),
            ("a", -3, false),
            ("b", 0, true),
        ] {
            assert_eq!(
                watch.is_written(log(process, uptime_s)),
                is_written,
                "{process} {uptime_s}"
            );
        }
    }
}
