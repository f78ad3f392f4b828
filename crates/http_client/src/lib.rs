#![doc = include_str!("../README.md")]

use std::path::Path;
use std::sync::Arc;

use reqwest::ClientBuilder;
use rustls::{ClientConfig, RootCertStore};

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file of authorities cannot be used.
    #[error(transparent)]
    Authorities(#[from] certificate::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// The beginning of a client that trusts the authorities in the file `ca`, in PEM; without one, those that this machine knows.
///
/// # Errors
/// A file that cannot be used. A machine that knows no authority is none: it can speak to nobody who shows a certificate.
pub fn builder(ca: Option<&Path>) -> Result<ClientBuilder, Error> {
    let roots = match ca {
        Some(path) => certificate::authorities(path)?,
        None => {
            let mut roots = RootCertStore::empty();
            // Whatever of them cannot be read is not trusted.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
    };
    Ok(with_roots(roots)?)
}

/// The beginning of a client that trusts the authorities in the file `ca` and no others: without one, it speaks to nobody who shows a
/// certificate. For servers of one's own, as a playground's are.
///
/// # Errors
/// A file that cannot be used.
pub fn of_own(ca: Option<&Path>) -> Result<ClientBuilder, Error> {
    match ca {
        Some(_) => builder(ca),
        None => Ok(with_roots(RootCertStore::empty())?),
    }
}

fn with_roots(roots: RootCertStore) -> Result<ClientBuilder, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_authorities_is_refused() {
        let refusal = builder(Some(Path::new("/nowhere/ca.pem")))
            .unwrap_err()
            .to_string();
        assert!(refusal.contains("/nowhere/ca.pem"), "{refusal}");
        builder(None).unwrap().build().unwrap();
        of_own(None).unwrap().build().unwrap();
    }
}
