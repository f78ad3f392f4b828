//! Frames of HTTP/2 that a client with bad intentions sends (RFC 9113).

use std::sync::Arc;

use anyhow::Result;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;

const END_STREAM_AND_HEADERS: u8 = 5;

/// `CANCEL`.
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// `GET /healthz https localhost`, mostly without compression (RFC 7541).
const GET: &[u8] = b"\x82\x44\x08/healthz\x87\x41\x09localhost";

/// What is sent without end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Frames {
    /// Requests, each of which is reset at once.
    Resets,
    /// Settings.
    Settings,
}

impl Frames {
    /// The next so many; `number` counts them.
    pub(super) fn next(self, number: &mut u32, count: u32) -> Vec<u8> {
        let mut frames = Vec::new();
        for _ in 0..count {
            let stream = 2 * *number + 1;
            *number += 1;
            match self {
                Self::Resets => {
                    frame(&mut frames, HEADERS, END_STREAM_AND_HEADERS, stream, GET);
                    frame(&mut frames, RST_STREAM, 0, stream, &CANCEL);
                }
                // The number of streams that the server may open, which is none.
                Self::Settings => frame(&mut frames, SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]),
            }
        }
        frames
    }
}

fn frame(into: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    // None is longer than a few bytes.
    let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
    into.extend([0, 0, length, kind, flags]);
    into.extend(stream.to_be_bytes());
    into.extend(payload);
}

/// An encrypted connection in HTTP/2 that has begun. Whoever the server is: this one wants nothing of it.
pub(super) async fn begin(stream: TcpStream) -> Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let anybody = Anybody(provider.signature_verification_algorithms);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost")?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let mut beginning = PREFACE.to_vec();
    frame(&mut beginning, SETTINGS, 0, 0, &[]);
    stream.write_all(&beginning).await?;
    Ok(stream)
}

/// Takes every certificate.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
