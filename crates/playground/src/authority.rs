//! The authority of an encrypted playground, and the certificate that every server and role shows.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::claim::create_private_dir;
use crate::private_file;

/// Name of the directory in the data directory that holds its files.
pub(crate) const TLS_DIR: &str = "tls";

/// The names by which everything of a playground is reached.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Years for which the authority lasts, and for which certificates do: each start makes a new one.
const AUTHORITY_YEARS: i32 = 10;
const CERTIFICATE_YEARS: i32 = 1;

/// Seconds in a year of the calendar, on average.
const YEAR_S: u64 = 31_556_952;

/// The authority of a data directory, which is the same at every start, so that clients that know it go on.
#[derive(Debug, Clone)]
pub struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// That of a data directory, which may not have one yet.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join(TLS_DIR),
        }
    }

    /// The authority's own certificate, which clients are given.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The certificate that servers and roles show.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.join("certificate.pem")
    }

    /// The certificate's private key.
    pub(crate) fn key(&self) -> PathBuf {
        self.dir.join("key.pem")
    }

    /// Whether it was made.
    pub(crate) fn exists(&self) -> bool {
        self.own_key().exists()
    }

    fn own_key(&self) -> PathBuf {
        self.dir.join("ca-key.pem")
    }

    /// Makes the authority at the directory's first start, and a new certificate at each.
    ///
    /// # Errors
    /// Files that cannot be written, or that are none of an authority.
    pub fn certify(&self) -> Result<()> {
        create_private_dir(&self.dir)?;
        if !self.exists() {
            self.make().context("failed to make an authority")?;
        }
        self.issue(&self.certificate(), &self.key(), &NAMES, CERTIFICATE_YEARS)
    }

    /// Writes a certificate of the authority, with its key, for names and addresses. It lasts for so many years after the present one, and
    /// with -1 its time is over.
    ///
    /// # Errors
    /// Files that cannot be written, or an authority that cannot be read.
    pub fn issue(&self, certificate: &Path, key: &Path, names: &[&str], years: i32) -> Result<()> {
        let cannot = || format!("failed to use the authority in {}", self.dir.display());
        let own = std::fs::read_to_string(self.own_key()).with_context(cannot)?;
        let issuer = Issuer::new(
            params_of_authority()?,
            KeyPair::from_pem(&own).with_context(cannot)?,
        );
        let mut params = params(names, "EventTracker's playground", years)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let pair = KeyPair::generate()?;
        private_file::write(key, &pair.serialize_pem())?;
        private_file::write(certificate, &params.signed_by(&pair, &issuer)?.pem())
    }

    fn make(&self) -> Result<()> {
        let key = KeyPair::generate()?;
        let certificate = params_of_authority()?.self_signed(&key)?;
        private_file::write(&self.ca(), &certificate.pem())?;
        // Last: once it is there, so is the certificate.
        private_file::write(&self.own_key(), &key.serialize_pem())
    }
}

fn params_of_authority() -> Result<CertificateParams> {
    let mut params = params(&[], "EventTracker's playground: authority", AUTHORITY_YEARS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// What a certificate says that lasts for so many years after the present one.
fn params(names: &[&str], common_name: &str, years: i32) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let year = 1970 + i32::try_from(since.as_secs() / YEAR_S).unwrap_or(0);
    params.not_before = date_time_ymd(year - 1, 1, 1);
    params.not_after = date_time_ymd(year + 1 + years, 1, 1);
    Ok(params)
}
