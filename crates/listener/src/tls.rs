//! TLS: the certificate that a role shows, taken over when its files change.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use model::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{self, PemObject};
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::changes::Changes;

/// Most bytes of a key's file: an RSA key of 16,384 bits has 13,000.
const KEY_BYTES_MAX: u64 = 64 << 10;

/// The permissions that others than a key's owner and group may not have.
const MODE_OF_OTHERS: u32 = 0o007;

/// Longest time between two looks at how long a certificate still lasts.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);

/// The protocols that a client may choose from, the one that is preferred first (ALPN, RFC 7301).
pub(crate) const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// The section `[collector.tls]` or `[api.tls]`: files in PEM.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate, and after it those of the authorities between it and the one that clients know.
    pub certificate: PathBuf,
    /// Its private key, for nobody else to read.
    pub key: PathBuf,
}

/// What is wrong with the certificate of a role. The fields are the words of the sentence.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are the words of the sentence above them")]
pub enum TlsError {
    /// The certificate's file cannot be used, or its time is nearly over.
    #[error(transparent)]
    Certificate(#[from] certificate::Error),
    /// The key's file cannot be read.
    #[error("the private key {path} cannot be read")]
    Read {
        path: String,
        #[source]
        source: std::io::Error,
    },
    /// Others may read the key.
    #[error("the private key {path} may be read or changed by others: chmod o= {path}")]
    OpenKey { path: String },
    /// The key's file has none.
    #[error("{path} has no private key in PEM")]
    NoKey {
        path: String,
        #[source]
        source: pem::Error,
    },
    /// Certificate and key cannot be used together.
    #[error("certificate {certificate} and key {key} cannot be used together")]
    Unfit {
        certificate: String,
        key: String,
        #[source]
        source: rustls::Error,
    },
}

/// The private key in a file that nobody else may read.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let shown = || path.display().to_string();
    let cannot = |source| TlsError::Read {
        path: shown(),
        source,
    };
    let file = File::open(path).map_err(cannot)?;
    if file.metadata().map_err(cannot)?.mode() & MODE_OF_OTHERS != 0 {
        return Err(TlsError::OpenKey { path: shown() });
    }
    let mut bytes = Vec::new();
    file.take(KEY_BYTES_MAX).read_to_end(&mut bytes).map_err(cannot)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|source| TlsError::NoKey {
        path: shown(),
        source,
    })
}

/// The TLS of a role: a certificate with its key.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    /// What follows after the files were first read; until they are watched.
    changes: Mutex<Option<Changes>>,
    current: RwLock<Current>,
}

#[derive(Debug, Clone)]
struct Current {
    config: Arc<ServerConfig>,
    end: Timestamp,
}

impl Current {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let chain = certificate::read(&files.certificate)?;
        let end = certificate::chain_end(&chain, &files.certificate)?;
        let key = private_key(&files.key)?;
        let unfit = |source| TlsError::Unfit {
            certificate: files.certificate.display().to_string(),
            key: files.key.display().to_string(),
            source,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(unfit)?;
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        metrics::gauge!("tls_certificate_end_unix_seconds").set(end.unix_s());
        Ok(Self {
            config: Arc::new(config),
            end,
        })
    }
}

impl Tls {
    /// Reads the files. One whose time is over is used all the same: who does not look at it goes on.
    ///
    /// # Errors
    /// Files that cannot be read or used.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn open(files: &TlsFiles) -> Result<Self, TlsError> {
        let changes = Changes::of(&[&files.certificate, &files.key]);
        Ok(Self {
            files: files.clone(),
            changes: Mutex::new(Some(changes)),
            current: RwLock::new(Current::read(files)?),
        })
    }

    /// What does the handshakes of connections that begin now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current().config)
    }

    /// Takes changed files over, at SIGHUP and otherwise within five seconds, until `shutdown`. Those that cannot be used change nothing.
    /// `say` is called with what is wrong, or that nothing is: at the beginning, and at least once a minute.
    pub async fn watch(&self, say: impl Fn(Option<&TlsError>), shutdown: CancellationToken) {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut changes) = changes else {
            return shutdown.cancelled().await;
        };
        let mut refused = None;
        loop {
            let trouble = refused.as_ref();
            match trouble {
                Some(_) => say(trouble),
                None => say(self.expiry().as_ref()),
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(EXPIRY_INTERVAL) => {}
                // A renewal writes two files: between them, they do not fit each other. The next look takes them over.
                () = changes.next() => refused = self.take_over().err(),
            }
        }
    }

    /// [`Tls::watch`] for a role that may have none.
    pub async fn watch_any(tls: Option<&Self>, say: impl Fn(Option<&TlsError>), shutdown: CancellationToken) {
        match tls {
            Some(tls) => tls.watch(say, shutdown).await,
            None => shutdown.cancelled().await,
        }
    }

    fn current(&self) -> Current {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    #[expect(clippy::disallowed_methods, reason = "a certificate lasts until a time")]
    fn expiry(&self) -> Option<TlsError> {
        let now = Timestamp::from(SystemTime::now());
        let shown = self.files.certificate.display().to_string();
        certificate::expiry(shown, self.current().end, now).map(TlsError::from)
    }

    fn take_over(&self) -> Result<(), TlsError> {
        let path = self.files.certificate.display();
        match Current::read(&self.files) {
            Ok(new) => {
                tracing::info!(%path, until = %new.end, "took over the certificate");
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
                Ok(())
            }
            Err(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::error!(
                    cause,
                    "a changed certificate is refused, and the one of before stays"
                );
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn write(dir: &Path, until_year: i32) -> TlsFiles {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(until_year, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        let files = TlsFiles {
            certificate: dir.join("certificate.pem"),
            key: dir.join("key.pem"),
        };
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).unwrap();
        files
    }

    #[tokio::test]
    async fn files_that_cannot_be_used_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let files = write(dir.path(), 2031);
        let tls = Tls::open(&files).unwrap();
        let before = tls.current().end;
        let refusal = |tls: &Tls| {
            let error = tls.take_over().unwrap_err();
            crate::with_causes(&error)
        };
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(refusal(&tls).contains("chmod o="), "{}", refusal(&tls));
        let other = tempfile::tempdir().unwrap();
        let of_another = write(other.path(), 2032);
        std::fs::copy(&of_another.certificate, &files.certificate).unwrap();
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(
            refusal(&tls).contains("cannot be used together"),
            "{}",
            refusal(&tls)
        );
        std::fs::write(&files.key, std::fs::read(&of_another.certificate).unwrap()).unwrap();
        assert!(refusal(&tls).contains("no private key"), "{}", refusal(&tls));
        std::fs::write(&files.certificate, "-----BEGIN").unwrap();
        assert!(
            refusal(&tls).contains("as certificates in PEM"),
            "{}",
            refusal(&tls)
        );
        std::fs::remove_file(&files.certificate).unwrap();
        assert!(refusal(&tls).contains("cannot be read"), "{}", refusal(&tls));
        assert_eq!(tls.current().end, before);
        write(dir.path(), 2033);
        tls.take_over().unwrap();
        assert_eq!(tls.current().end.to_string(), "2033-01-01T00:00:00.000Z");
    }
}
