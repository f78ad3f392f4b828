#![doc = include_str!("../README.md")]

use std::error::Error as StdError;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use model::Timestamp;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, RootCertStore};

/// Most bytes of a file: a chain of a hundred certificates.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Milliseconds before a certificate's end from which on it is a trouble: 14 days.
const NOTICE_MS: i64 = 14 * 86_400_000;

/// Why a file cannot be used, or a certificate not for long. The fields are the words of the sentence.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are the words of the sentence above them")]
pub enum Error {
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        path: String,
        #[source]
        source: std::io::Error,
    },
    /// A file has no certificates in PEM.
    #[error("{path} cannot be read as certificates in PEM")]
    NotPem {
        path: String,
        #[source]
        source: pem::Error,
    },
    /// A certificate is none.
    #[error("{path} has a certificate that cannot be understood")]
    Malformed { path: String },
    /// The certificate's time is over.
    #[error("the certificate {what} expired at {at}, so whoever looks at it refuses it: renew it")]
    Expired { what: String, at: Timestamp },
    /// The certificate's time is nearly over.
    #[error("the certificate {what} expires at {at}: renew it")]
    Expires { what: String, at: Timestamp },
}

/// The certificates in a file, at least one: that of a server, and after it those of the authorities between it and the one that others know.
///
/// # Errors
/// `Read` or `NotPem` for a file that has none.
pub fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let shown = || path.display().to_string();
    let cannot = |source| Error::Read {
        path: shown(),
        source,
    };
    let not_pem = |source| Error::NotPem {
        path: shown(),
        source,
    };
    let file = File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    let chain = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(not_pem)?;
    if chain.is_empty() {
        return Err(not_pem(pem::Error::NoItemsFound));
    }
    Ok(chain)
}

/// The authorities in a file.
///
/// # Errors
/// `Read`, `NotPem` or `Malformed` for a file that has none, or something else.
pub fn authorities(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in read(path)? {
        roots.add(certificate).map_err(|_| malformed(path))?;
    }
    Ok(roots)
}

/// The end of the time of a certificate out of the file at `path`.
fn end(certificate: &CertificateDer<'_>, path: &Path) -> Result<Timestamp, Error> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| malformed(path))?;
    let unix_s = parsed.validity().not_after.timestamp();
    Ok(Timestamp::from_unix_ms(unix_s.saturating_mul(1_000)))
}

/// The end of the time of all authorities in a file: when none of them is accepted any more.
///
/// # Errors
/// Those of [`authorities`].
pub fn authorities_end(path: &Path) -> Result<Timestamp, Error> {
    let ends = ends(&read(path)?, path)?;
    ends.into_iter().max().ok_or_else(|| malformed(path))
}

/// The end of the time of a chain of certificates, which was read from `path`: when the first of them ends.
///
/// # Errors
/// `Malformed` for one that is none.
pub fn chain_end(chain: &[CertificateDer<'_>], path: &Path) -> Result<Timestamp, Error> {
    let ends = ends(chain, path)?;
    ends.into_iter().min().ok_or_else(|| malformed(path))
}

/// The end of the time of each of some certificates.
fn ends(certificates: &[CertificateDer<'_>], path: &Path) -> Result<Vec<Timestamp>, Error> {
    certificates
        .iter()
        .map(|certificate| end(certificate, path))
        .collect()
}

fn malformed(path: &Path) -> Error {
    Error::Malformed {
        path: path.display().to_string(),
    }
}

/// What is wrong with a certificate that lasts until `end`, at `now`: nothing until 14 days before its end. `what` is how it is called, as by
/// its path.
#[must_use]
pub fn expiry(what: String, end: Timestamp, now: Timestamp) -> Option<Error> {
    match end.ms_since(now) {
        ..0 => Some(Error::Expired { what, at: end }),
        0..NOTICE_MS => Some(Error::Expires { what, at: end }),
        _ => None,
    }
}

/// Why a server's certificate was not accepted, where that is what an error is about, or one of its causes.
#[must_use]
pub fn refusal(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(reason)) = error.downcast_ref() {
            return Some(sentence(reason));
        }
        // An error of input and output hides the one that it was made of.
        let hidden = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        next = hidden
            .map(|error| error as &(dyn StdError + 'static))
            .or_else(|| error.source());
    }
    None
}

fn sentence(reason: &CertificateError) -> String {
    let instant = |time: &UnixTime| {
        let unix_ms = time.as_secs().saturating_mul(1_000);
        Timestamp::from_unix_ms(i64::try_from(unix_ms).unwrap_or(i64::MAX))
    };
    match reason {
        CertificateError::Expired => "its certificate has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate expired at {}", instant(not_after))
        }
        CertificateError::NotValidYet => "its certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "its certificate is valid from {} on, and it is {} here",
            instant(not_before),
            instant(time)
        ),
        // The second is of one that is called like one that is known.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is of an authority that is not known here".to_owned()
        }
        CertificateError::NotValidForName => "its certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "its certificate is for {}, and not for {}",
            presented.join(", "),
            expected.to_str()
        ),
        other => format!("its certificate is not accepted: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(until_year: i32) -> String {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(until_year, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn the_end_is_told_fourteen_days_ahead() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), certificate(2030) + &certificate(2031)).unwrap();
        let end = authorities_end(file.path()).unwrap();
        assert_eq!(
            end.to_string(),
            "2031-01-01T00:00:00.000Z",
            "that of the one that lasts"
        );
        let first = chain_end(&read(file.path()).unwrap(), file.path()).unwrap();
        assert_eq!(first.to_string(), "2030-01-01T00:00:00.000Z");
        let day_ms = 86_400_000;
        let told = |days: i64| {
            let trouble = expiry("of eu".to_owned(), end, end.plus_ms(-days * day_ms));
            trouble.map(|trouble| trouble.to_string())
        };
        assert_eq!(told(14), None);
        assert!(
            told(13)
                .unwrap()
                .starts_with("the certificate of eu expires at 2031-01-01")
        );
        assert!(
            told(-1)
                .unwrap()
                .starts_with("the certificate of eu expired at 2031-01-01")
        );
    }

    #[test]
    fn files_that_have_none_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = || authorities(file.path()).unwrap_err().to_string();
        assert!(refused().contains("as certificates in PEM"), "{}", refused());
        std::fs::write(file.path(), "-----BEGIN CERTIFICATE-----").unwrap();
        assert!(refused().contains("as certificates in PEM"), "{}", refused());
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(file.path(), empty).unwrap();
        assert!(refused().contains("cannot be understood"), "{}", refused());
        let refused = authorities(Path::new("/nowhere/ca.pem")).unwrap_err().to_string();
        assert_eq!(refused, "/nowhere/ca.pem cannot be read");
    }

    #[test]
    fn a_refused_certificate_is_found_behind_what_wraps_it() {
        let reason = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::other(reason));
        assert!(refusal(&wrapped).unwrap().contains("not known here"));
        assert_eq!(refusal(&io::Error::other("reset")), None);
        assert_eq!(refusal(&rustls::Error::DecryptError), None);
    }
}
