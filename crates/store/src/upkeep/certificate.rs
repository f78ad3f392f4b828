//! Until when a server's certificate lasts.

use std::path::PathBuf;

use model::Timestamp;
use mysql_async::prelude::Queryable;

use crate::limits::BRIEF_LIMIT;
use crate::{Error, Server};

/// What a server says of its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCertificate {
    /// The end of the time of the one that it shows now; `None` where nothing is encrypted, as over the socket.
    pub end: Option<Timestamp>,
    /// The file of the one that it would show after `FLUSH SSL`, on its machine; `None` for a server without.
    pub file: Option<PathBuf>,
}

impl ShownCertificate {
    /// Asks a server over a new connection, since an old one goes on with the certificate of its beginning.
    ///
    /// # Errors
    /// `Certificate` for one that is not accepted; the server refused or did not answer.
    pub async fn of(server: &Server) -> Result<Self, Error> {
        // As in "Nov 30 12:00:00 2027 GMT". Not UNIX_TIMESTAMP, which ends in 2038.
        const SQL: &str = "SELECT TIMESTAMPDIFF(SECOND, '1970-01-01', STR_TO_DATE(VARIABLE_VALUE, '%b %e %H:%i:%s %Y GMT')), @@ssl_cert \
                           FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'SSL_SERVER_NOT_AFTER'";
        let mut conn = server.connect().await?;
        let row: Option<(Option<i64>, Option<String>)> = server
            .limited("look at the certificate", BRIEF_LIMIT, conn.query_first(SQL))
            .await?;
        let (unix_s, file) = row.ok_or(Error::Shape { what: SQL })?;
        // Closed in order: a connection that breaks off is a line in the server's log.
        server
            .limited("close a connection", BRIEF_LIMIT, conn.disconnect())
            .await?;
        Ok(Self {
            end: unix_s.map(|unix_s| Timestamp::from_unix_ms(unix_s.saturating_mul(1_000))),
            file: file.filter(|file| !file.is_empty()).map(PathBuf::from),
        })
    }
}
