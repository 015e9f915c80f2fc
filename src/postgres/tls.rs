//! TLS for Postgres connections: what each `sslmode` verifies.
//!
//! The meaning of the modes is libpq's (<https://www.postgresql.org/docs/current/libpq-ssl.html>). The cryptography
//! provider is passed by hand, so that nothing is installed for the whole process behind the user's back.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, WantsVerifier,
    client::{
        WantsClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
    server::ParsedCertificate,
};

use super::tls_settings::{SYSTEM_ROOTS, SslMode, TlsSettings};

/// Builds the TLS configuration; `None` when the mode never encrypts. Files are read each time: they may be renewed.
pub(super) fn client_config(settings: &TlsSettings, mode: SslMode) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?;
    let roots = || trusted_roots(settings.root_cert.as_deref());
    let anonymous = match mode {
        SslMode::Disable => return Ok(None),
        SslMode::VerifyFull => builder.with_root_certificates(roots()?),
        SslMode::VerifyCa => without_name_check(builder, Some(roots()?), provider),
        SslMode::Require if settings.root_cert.is_some() => without_name_check(builder, Some(roots()?), provider),
        SslMode::Require | SslMode::Prefer => without_name_check(builder, None, provider),
    };
    let config = match (&settings.cert, &settings.key) {
        (Some(cert), Some(key)) => {
            anonymous.with_client_auth_cert(chain(cert)?, private_key(key)?).map_err(TlsError::Provider)?
        }
        _ => anonymous.with_no_client_auth(),
    };
    Ok(Some(Arc::new(config)))
}

/// Our own certificate, and those that lead to an authority.
fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match certificates {
        Ok(none) if none.is_empty() => Err(TlsError::unusable(file, pem::Error::NoItemsFound)),
        Ok(all) => Ok(all),
        Err(error) => Err(TlsError::unusable(file, error)),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| TlsError::unusable(file, error))
}

/// The certificate authorities to trust: a PEM file, or the operating system's for `None` and `system`.
fn trusted_roots(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match file.filter(|path| *path != Path::new(SYSTEM_ROOTS)) {
        Some(path) => {
            let unreadable = |error| TlsError::RootCert { path: path.display().to_string(), source: error };
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                roots.add(certificate.map_err(unreadable)?).map_err(TlsError::Provider)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    match file {
        _ if !roots.is_empty() => Ok(roots),
        Some(path) => Err(TlsError::EmptyRootCert { path: path.display().to_string() }),
        None => Err(TlsError::NoRoots),
    }
}

type Builder<Wants> = rustls::ConfigBuilder<ClientConfig, Wants>;

fn without_name_check(
    builder: Builder<WantsVerifier>,
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
) -> Builder<WantsClientCert> {
    let verifier = NamelessVerifier { roots, provider };
    builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
}

/// Verifies the chain against `roots` if there are any, and never the host name. The handshake's own signatures are
/// always verified: the peer must hold the key of the certificate that it shows.
#[derive(Debug)]
struct NamelessVerifier {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NamelessVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// TLS that cannot be set up as asked.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of root certificates is missing or is not PEM.
    #[error("cannot read the root certificates in {path}")]
    RootCert {
        /// The file.
        path: String,
        /// What the reader said.
        source: pem::Error,
    },
    /// The file of our certificate or of its key is missing or is not PEM.
    #[error("cannot read our certificate or its key in {path}")]
    Identity {
        /// The file.
        path: String,
        /// What the reader said.
        source: pem::Error,
    },
    /// The file of root certificates holds none.
    #[error("no root certificate in {path}")]
    EmptyRootCert {
        /// The file, or `system`.
        path: String,
    },
    /// Nothing to verify against.
    #[error("no root certificate to verify the server with (set sslrootcert)")]
    NoRoots,
    /// The TLS library refused.
    #[error("the TLS library refused the settings")]
    Provider(#[source] Error),
}

impl TlsError {
    fn unusable(file: &Path, source: pem::Error) -> Self {
        Self::Identity { path: file.display().to_string(), source }
    }
}
