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
use crate::trusted_roots::{RootsError, trusted_roots};

/// Builds the TLS configuration; `None` when the mode never encrypts. Files are read each time: they may be renewed.
pub(super) fn client_config(settings: &TlsSettings, mode: SslMode) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?;
    let roots = || trusted_roots(settings.root_cert.as_deref().filter(|path| *path != Path::new(SYSTEM_ROOTS)));
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
    /// Nobody to trust.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The file of our certificate or of its key is missing or is not PEM.
    #[error("cannot read our certificate or its key in {path}")]
    Identity {
        /// The file.
        path: String,
        /// What the reader said.
        source: pem::Error,
    },
    /// The TLS library refused.
    #[error("the TLS library refused the settings")]
    Provider(#[source] Error),
}

impl TlsError {
    fn unusable(file: &Path, source: pem::Error) -> Self {
        Self::Identity { path: file.display().to_string(), source }
    }
}
