//! Encrypted connections to MariaDB.

use std::path::Path;

use mysql_async::SslOpts;
use mysql_async::prelude::Queryable;

use crate::limits::BRIEF_LIMIT;
use crate::{Error, Server};

/// The driver's options of connections that are encrypted, to a server whose certificate names the host and is of one of the authorities in
/// the file at `path`, and of no other. Read for each connection, so that a renewed file is used from the next on.
///
/// # Errors
/// `Authorities` for a file that cannot be used.
pub(crate) fn authorities(path: &Path) -> Result<SslOpts, Error> {
    // Read twice: the driver does not say what is wrong with it.
    certificate::authorities(path).map_err(Error::Authorities)?;
    Ok(SslOpts::default()
        .with_root_certs(vec![path.to_owned().into()])
        .with_disable_built_in_roots(true))
}

/// Refuses a server that has no certificate: accounts that have to encrypt could not be used there.
///
/// # Errors
/// `NoCertificate`; or the server refused or did not answer.
pub(crate) async fn check_certificate(admin: &Server) -> Result<(), Error> {
    let mut conn = admin.connect().await?;
    let has_it: Option<String> = admin
        .limited(
            "look for a certificate",
            BRIEF_LIMIT,
            conn.query_first("SELECT @@have_ssl"),
        )
        .await?;
    if has_it.as_deref() == Some("YES") {
        return Ok(());
    }
    Err(Error::NoCertificate {
        server: admin.to_string(),
    })
}
