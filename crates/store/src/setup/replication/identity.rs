//! A server's identity in replication, which must differ between any two servers: the centre skips what it believes to have applied
//! already.

use std::time::Duration;

use mysql_async::prelude::Queryable;

use crate::source::Source;
use crate::{Account, Error, Server, upkeep};

/// Longest wait for a server's identity.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// A server's identity in replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// MariaDB's `server_id`: a server ignores transactions that have its own.
    pub server_id: u64,
    /// MariaDB's `gtid_domain_id`: a replica skips transactions of a domain up to the number that it has applied.
    pub gtid_domain: u32,
}

impl Identity {
    /// The identity of `server`.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn of(server: &Server) -> Result<Self, Error> {
        const SQL: &str = "SELECT @@server_id, @@gtid_domain_id";
        let mut conn = server.connect().await?;
        let row = server
            .limited("read the server's identity", READ_LIMIT, conn.query_first(SQL))
            .await?;
        let (server_id, gtid_domain) = row.ok_or(Error::Shape { what: SQL })?;
        Ok(Self {
            server_id,
            gtid_domain,
        })
    }
}

/// Refuses a source that shares its identity with the centre or with another source, save the one of region `spared`; returns its
/// identity. A source that cannot be reached now was compared when it was added.
///
/// # Errors
/// `SameIdentity`, or a server that did not answer.
pub async fn check_identity(
    centre_admin: &Server,
    source: &Source,
    account: &Account,
    spared: Option<&str>,
) -> Result<Identity, Error> {
    let sources = upkeep::Centre::new(centre_admin.clone()).sources().await?;
    let mut others = vec![("the centre".to_owned(), Identity::of(centre_admin).await?)];
    for other in sources.into_iter().map(|state| state.source) {
        if spared == Some(&*other.region) {
            continue;
        }
        match Identity::of(&other.server(account)).await {
            Ok(identity) => others.push((other.region, identity)),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(region = other.region, error, "a source could not be compared");
            }
        }
    }
    let new = Identity::of(&source.server(account)).await?;
    for (other, identity) in others {
        for (setting, value, its) in [
            ("server_id", new.server_id, identity.server_id),
            (
                "gtid_domain_id",
                new.gtid_domain.into(),
                identity.gtid_domain.into(),
            ),
        ] {
            if value == its {
                return Err(Error::SameIdentity {
                    one: source.region.clone(),
                    address: source.address(),
                    other,
                    setting,
                    value,
                });
            }
        }
    }
    Ok(new)
}

/// Refuses a server of a centre that shares its `server_id` with one of `others`, which have names. One that does not answer now is not
/// compared.
///
/// # Errors
/// `SameServerId`, or this server did not answer.
pub async fn check_others(admin: &Server, others: &[(String, Server)]) -> Result<(), Error> {
    let own = Identity::of(admin).await?.server_id;
    for (name, other) in others {
        match Identity::of(other).await {
            Ok(identity) if identity.server_id == own => {
                return Err(Error::SameServerId {
                    other: name.clone(),
                    value: own,
                });
            }
            Ok(_) => {}
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(name, error, "a server could not be compared");
            }
        }
    }
    Ok(())
}
