//! Errors: of the servers, of the configuration, and refusals of what would lose or double counts.

use std::time::Duration;

use mysql_async::DriverError;

use crate::limits::{CONNECT, CONNECT_LIMIT};
use crate::server::name_of;

/// A failure or a refusal of this crate. Fields such as `server`, `from` and `to` are addresses as they are shown; the sentence of a refusal
/// says the remedy.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are the words of the sentence above them")]
pub enum Error {
    /// The server refused a statement, or the connection was lost.
    #[error("failed to {action} on {server}")]
    Query {
        action: &'static str,
        server: String,
        #[source]
        source: mysql_async::Error,
    },
    /// The server did not answer within the limit.
    #[error("gave up after {}s trying to {action} on {server}", limit.as_secs())]
    TimedOut {
        action: &'static str,
        server: String,
        limit: Duration,
    },
    /// The server did not answer a moment ago, and is not asked again before it does.
    #[error("{server} does not answer")]
    Away { server: String },
    /// A shard has moved to another server of the centre since it was last asked what it has.
    #[error("{server}: a shard has moved to another server")]
    ShardMoved { server: String },
    /// No server of a centre has everything of a shard, or none that answers said so.
    #[error(
        "no central server has everything of shards {shards}: 'eventtracker shard list' shows which has what"
    )]
    NotWhole { shards: model::Shards },
    /// Another command changes what the server replicates, or which shards it has.
    #[error(
        "{server}: another command changes what it replicates, in session {session}: wait until it has ended, or end that with KILL"
    )]
    ReplicationChanging { server: String, session: String },
    /// A server that should begin without shards has some.
    #[error("{server} has shards {shards}: it is a server of the centre already")]
    HasShards { server: String, shards: model::Shards },
    /// Two servers that are to be compared are not at one position.
    #[error(
        "the servers are not at one position: somebody else started replication meanwhile; run the command again"
    )]
    NotAtOnePosition,
    /// Two servers that should have the same of a shard do not.
    #[error(
        "{shard} is not the same at both servers: of {day}, one has {one} counts and the other {other}; nothing was given up"
    )]
    ShardDiffers {
        shard: String,
        day: model::Day,
        one: u128,
        other: u128,
    },
    /// Other calls of this process have all places at the server: backpressure, which the caller passes on.
    #[error("gave up after {}s trying to {action} to {server}: too many calls at once", limit.as_secs())]
    Busy {
        action: &'static str,
        server: String,
        limit: Duration,
    },
    /// The file that should have a password cannot be read.
    #[error("password file {path} cannot be read")]
    PasswordFile {
        path: String,
        #[source]
        source: std::io::Error,
    },
    /// The environment variable that should have a password is not set.
    #[error("environment variable {name} with the password of {user} is not set")]
    PasswordVariable { name: String, user: String },
    /// The file of the authorities whose certificates are accepted cannot be used.
    #[error("tls_ca cannot be used")]
    Authorities(#[source] certificate::Error),
    /// The server's certificate is not accepted, for the reason.
    #[error(
        "{server} is not spoken to: {reason} (its option file names the certificate, and tls_ca the authorities)"
    )]
    Certificate { server: String, reason: String },
    /// A file's path that cannot stand in a statement, or that a server would look for elsewhere.
    #[error(
        "tls_ca = '{value}' must be a whole path, from '/', without quotes and backslashes: the centre's MariaDB reads the file, too"
    )]
    AuthoritiesPath { value: String },
    /// A server that cannot encrypt.
    #[error(
        "{server} has no certificate, and tls_ca says that connections to it are encrypted: set ssl_cert and ssl_key in its option file \
         (see deploy/README.md) and restart it"
    )]
    NoCertificate { server: String },
    /// What was to be counted was held for so long that others may have it.
    #[error("jobs were held for longer than their time to run, so others may have counted them")]
    TooLate,
    /// A region's server has a setting with which counts would be lost.
    #[error(
        "{server} has {setting} = {is}, which loses counts: it must be {must_be} (see deploy/mariadb-region.cnf)"
    )]
    Setting {
        server: String,
        setting: &'static str,
        is: String,
        must_be: &'static str,
    },
    /// A server that should be a region's keeps the rows of its outbox, as a centre does.
    #[error("{server} has bigdata tables that are not BLACKHOLE: is it a region's?")]
    NotAnOutbox { server: String },
    /// A region's server does not have the tables of the schema.
    #[error(
        "{server} lacks {count} of a region's tables, or has them with another engine, first {table} ({engine}): apply the schema \
         with the region's file there, which lets its [housekeeping] account see them, too"
    )]
    Tables {
        server: String,
        count: usize,
        table: String,
        engine: String,
    },
    /// Late events were merged into a day that was read before. The next snapshot reads it anew.
    #[error("late events were merged into packed days of {server} while they were read")]
    Merged { server: String },
    /// The packed days of a centre are in a form that this version does not write.
    #[error(
        "the packed days of {server} are in {}, and this version writes form {}: {}",
        form.map_or("no known form".to_owned(), |form| format!("form {form}")), model::PACKED_FORM,
        if form.is_some_and(|form| form > model::PACKED_FORM) { "take the version that wrote them, or a later one" } else { "apply the schema first" }
    )]
    Form { server: String, form: Option<u8> },
    /// The fence stands: the region's counts are written elsewhere.
    #[error(
        "region {region}'s database has moved to {to}: set [regional] in this worker's configuration and restart it"
    )]
    Moved { region: String, to: String },
    /// The ledgers of two servers are not the same after a copy; `batches` has the number of each.
    #[error(
        "the ledgers of {from} and {to} differ after the copy ({} batches, {} batches): is a worker counting on one of them? \
         If they differ once more, take a server that no region has ever used", batches.0, batches.1
    )]
    LedgerDiffers {
        from: String,
        to: String,
        batches: (u64, u64),
    },
    /// Another switch of a region is in progress.
    #[error(
        "{server}: a region is moving to or from it already, perhaps by another centre: wait until that has ended"
    )]
    Switching { server: String },
    /// A region has moved to the server, and this centre has not read it there from the beginning.
    #[error(
        "region {region} came to {server} from {from}, and this centre has read nothing of it here: what was counted before is not in \
         this binlog; begin with a copy of a centre that went along"
    )]
    PastElsewhere {
        region: String,
        server: String,
        from: String,
    },
    /// The address is of another server than the one that the region is replicated from.
    #[error(
        "region {region} is replicated from {from}, which is another server than {to}: the region must move there with its ledger"
    )]
    OtherServer {
        region: String,
        from: String,
        to: String,
    },
    /// Another session applies the schema.
    #[error(
        "{server}: the schema is being applied already (session {session}): wait until that has ended, or end the session"
    )]
    Applying { server: String, session: String },
    /// The caller stopped the call, and the server has ended the statement.
    #[error("stopped, and {server} has ended what it was at: a repetition goes on from there")]
    Stopped { server: String },
    /// A table was in use for longer than the caller's patience.
    #[error(
        "{server}: the table of '{statement}' was in use for {}s: information_schema.INNODB_TRX has the transactions that \
         keep it; wait for their ends, or end them, and try again", waited.as_secs()
    )]
    InUse {
        server: String,
        statement: String,
        waited: Duration,
        #[source]
        source: Box<Error>,
    },
    /// A statement was given up, and may go on at the server.
    #[error("{server} may still be at a statement that was given up: 'KILL {session}' there ends it")]
    StillRuns {
        server: String,
        session: u32,
        #[source]
        source: Box<Error>,
    },
    /// Another session changes partitions.
    #[error(
        "{server}: partitions are being changed by another keeper, or by one that was restarted meanwhile: tried again later"
    )]
    Partitioning { server: String },
    /// A worker prunes the ledger, and did not end in time.
    #[error("{server}: a worker has been pruning the ledger for too long: try again")]
    Pruning { server: String },
    /// The ledger has no clock to stamp its rows by.
    #[error("{server} has no row in eventtracker.LedgerClock: apply the schema there")]
    NoLedgerClock { server: String },
    /// This machine has no time zones to load.
    #[error("this machine has no time zones for MariaDB: install tzdata and mariadb-client")]
    Zones {
        #[source]
        source: std::io::Error,
    },
    /// The region has purged transactions that this centre has not applied. Sequence numbers of the domain.
    #[error(
        "region {region}'s binlog starts after transaction {starts_after} of domain {domain}, but this centre has applied it only \
         up to {applied}: {} of them are gone; restore a younger backup of this centre", starts_after - applied
    )]
    BinlogGap {
        region: String,
        domain: u32,
        starts_after: u64,
        applied: u64,
    },
    /// The region has written less than this centre has applied of it. Sequence numbers of the domain.
    #[error(
        "this centre has applied transactions of domain {domain} up to {applied}, but region {region}'s binlog ends at {last}: its \
         database went back in time or was set up anew; give it a gtid_domain_id and server_id that were never used, \
         and move the region to it"
    )]
    BinlogBehind {
        region: String,
        domain: u32,
        last: u64,
        applied: u64,
    },
    /// Two sources, or a source and the centre, have the same identity in replication.
    #[error(
        "sources {one} (at {address}) and {other} both have {setting} = {value}, which doubles or loses counts: set another in \
         each region"
    )]
    SameIdentity {
        one: String,
        address: String,
        other: String,
        setting: &'static str,
        value: u64,
    },
    /// Two centres have the same `server_id`.
    #[error(
        "this server and {other} both have server_id = {value}, so a region cuts off one when the other comes: \
         set another in one of them (see deploy/mariadb-central.cnf)"
    )]
    SameServerId { other: String, value: u64 },
    /// The servers of a centre were never at one position.
    #[error(
        "the servers of the centre had not applied the same of all regions at any moment of {seconds} s, so their sums cannot be compared: \
         is one of them behind ('eventtracker status' shows until when each is complete)?"
    )]
    Apart { seconds: u64 },
    /// The servers of a centre do not make one: a sentence.
    #[error("[[central_server]]: {sentence}")]
    Members { sentence: String },
    /// A centre's server has passed over tables of shards that it should have.
    #[error(
        "this server has applied only '{filter}' of region {region}, and its shards are {shards}: what it has passed over does not come again. \
         Correct the shards in [[central_server]]; a shard gets to another server with 'eventtracker shard move'"
    )]
    FilterLacks {
        region: String,
        filter: String,
        shards: model::Shards,
    },
    /// Another centre of which it is not said where it is.
    #[error(
        "[[other_centre]] {name} has {what}: give it host and port, or one [[other_centre.server]] for each of its servers"
    )]
    OtherCentre { name: String, what: &'static str },
    /// A host that cannot stand in a statement.
    #[error("host '{value}' may only have letters, digits, '.', '-' and ':'")]
    Host { value: String },
    /// An account without a password.
    #[error("no password is configured for {user}")]
    NoPassword { user: String },
    /// A name that cannot stand in a statement; `limit` is in bytes.
    #[error("{what} '{value}' may only have letters, digits, '_' and '-', at most {limit} of them")]
    Word {
        what: &'static str,
        value: String,
        limit: usize,
    },
    /// A password that cannot stand in a statement.
    #[error(
        "password of {user} must have printable ASCII other than quotes and backslashes, and nothing else"
    )]
    PasswordText { user: String },
    /// The server's answer to `what` is not what was expected.
    #[error("the server's row has not the expected shape: {what}")]
    Shape { what: &'static str },
    /// A packed day or a block cannot be read.
    #[error(
        "{server}: a packed day or a block cannot be read ({row}): restore it from a backup, or delete it and lose its counts"
    )]
    PackedDay {
        server: String,
        row: String,
        #[source]
        source: model::PackedDayError,
    },
    /// A transaction would have counted only a part, and was rolled back.
    #[error("{server}: nothing was counted, since counts would vanish: {reason}")]
    WouldVanish { server: String, reason: &'static str },
    /// A minute has no place in the day that was packed, and the transaction was rolled back.
    #[error("{server}: a minute does not lie in the day that was packed, so nothing was changed ({row})")]
    OutsideDay {
        server: String,
        row: String,
        #[source]
        source: model::OutsideDay,
    },
}

impl Error {
    /// Whether the server answered, if only to refuse: it is alive.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(
            self,
            Self::Query {
                source: mysql_async::Error::Server(_),
                ..
            } | Self::Certificate { .. }
        )
    }

    /// Whether the server ended a statement because it ran too long, rather than not answering.
    #[must_use]
    pub fn is_statement_timeout(&self) -> bool {
        const STATEMENT_TIMEOUT: u16 = 1969;
        matches!(self, Self::Query { source: mysql_async::Error::Server(e), .. } if e.code == STATEMENT_TIMEOUT)
    }

    /// Whether the server gave up waiting for a lock: others have the table open, or the row.
    pub(crate) fn is_in_use(&self) -> bool {
        const LOCK_WAIT_TIMEOUT: u16 = 1205;
        matches!(self, Self::Query { source: mysql_async::Error::Server(e), .. } if e.code == LOCK_WAIT_TIMEOUT)
    }

    /// Whether a transaction was rolled back, or its statement not begun, since others wanted the same rows.
    pub(crate) fn is_contended(&self) -> bool {
        const DEADLOCK: u16 = 1213;
        let is_deadlock =
            matches!(self, Self::Query { source: mysql_async::Error::Server(e), .. } if e.code == DEADLOCK);
        is_deadlock || self.is_in_use()
    }

    /// Whether the next snapshot will do, as there was only a change meanwhile: of a table's partitions, or of a day that was kept.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        const TABLE_DEFINITION_CHANGED: u16 = 1412;
        match self {
            Self::Merged { .. } | Self::ShardMoved { .. } => true,
            Self::Query {
                source: mysql_async::Error::Server(error),
                ..
            } => error.code == TABLE_DEFINITION_CHANGED,
            _ => false,
        }
    }

    /// Whether the server could not be reached, was lost, shuts down, or did not answer what takes a moment.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        /// MariaDB's `ER_SERVER_SHUTDOWN` and `ER_CONNECTION_KILLED`.
        const GOING_AWAY: [u16; 2] = [1053, 1927];
        match self {
            Self::TimedOut { limit, .. } => *limit <= CONNECT_LIMIT,
            Self::Certificate { .. } | Self::Away { .. } => true,
            Self::Query { action, .. } if *action == CONNECT => true,
            Self::Query { source, .. } => match source {
                mysql_async::Error::Server(error) => GOING_AWAY.contains(&error.code),
                mysql_async::Error::Driver(error) => matches!(error, DriverError::ConnectionClosed),
                mysql_async::Error::Io(_) => true,
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether another server with the same tables may still answer: not where this one refused the statement or ended it.
    #[must_use]
    pub fn may_succeed_elsewhere(&self) -> bool {
        self.is_unreachable() || matches!(self, Self::TimedOut { .. } | Self::Busy { .. })
    }

    /// The name of the server that it is about, where that is one of several of its centre.
    #[must_use]
    pub fn named_server(&self) -> Option<&str> {
        match self {
            Self::Query { server, .. }
            | Self::TimedOut { server, .. }
            | Self::Busy { server, .. }
            | Self::Away { server }
            | Self::Certificate { server, .. } => name_of(server),
            _ => None,
        }
    }

    /// The error and all its causes, in one sentence.
    #[must_use]
    pub fn with_causes(&self) -> String {
        let causes = std::iter::successors(Some(self as &dyn std::error::Error), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(source: mysql_async::Error) -> Error {
        Error::Query {
            action: "read counts",
            server: "there".to_owned(),
            source,
        }
    }

    fn refused(code: u16) -> Error {
        query(mysql_async::Error::Server(mysql_async::ServerError {
            code,
            message: String::new(),
            state: String::new(),
        }))
    }

    #[test]
    fn a_long_statement_does_not_make_a_server_unreachable() {
        let timed_out = |seconds| Error::TimedOut {
            action: "read counts",
            server: "there".to_owned(),
            limit: Duration::from_secs(seconds),
        };
        let lost = query(mysql_async::Error::Driver(DriverError::ConnectionClosed));
        for (error, is_unreachable, elsewhere) in [
            (lost, true, true),
            (refused(1053), true, true),
            (timed_out(3), true, true),
            (timed_out(20), false, true),
            // Ended as too long, and no such table.
            (refused(1969), false, false),
            (refused(1146), false, false),
        ] {
            let is = (error.is_unreachable(), error.may_succeed_elsewhere());
            assert_eq!(is, (is_unreachable, elsewhere), "{error:?}");
        }
        assert!(refused(1969).is_statement_timeout());
    }
}
