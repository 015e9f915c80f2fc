//! Whom TLS trusts: the authorities in a PEM file, or those of the operating system.
//!
//! For Postgres and for webhooks; the client of NATS has its own way.

use std::path::Path;

use rustls::{
    Error, RootCertStore,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject},
    },
};

/// The authorities in this file; those of the operating system without one. At least one.
pub fn trusted_roots(file: Option<&Path>) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        // Of the many that a system has, one that is odd is no reason to trust none.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() { Err(RootsError::NoneInSystem) } else { Ok(roots) };
    };
    let path = || file.display().to_string();
    let unreadable = |source| RootsError::Unreadable { path: path(), source };
    for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
        let refused = |source| RootsError::Refused { path: path(), source: Box::new(source) };
        roots.add(certificate.map_err(unreadable)?).map_err(refused)?;
    }
    if roots.is_empty() { Err(RootsError::NoneInFile { path: path() }) } else { Ok(roots) }
}

/// Nobody to trust.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file is missing or is not PEM.
    #[error("cannot read the root certificates in {path}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the reader said.
        source: pem::Error,
    },
    /// What the file holds is no certificate of an authority.
    #[error("a root certificate in {path} cannot be used")]
    Refused {
        /// The file.
        path: String,
        /// What the TLS library said; it would be the largest part of many errors.
        source: Box<Error>,
    },
    /// The file holds no certificate.
    #[error("no root certificate in {path}")]
    NoneInFile {
        /// The file.
        path: String,
    },
    /// The operating system has none.
    #[error("no root certificate to verify the server with: the operating system has none")]
    NoneInSystem,
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, fs};

    use super::*;

    #[test]
    fn a_file_without_a_certificate_that_can_be_used_is_told_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("roots.pem");
        let told = || {
            let error = trusted_roots(Some(&file)).unwrap_err();
            assert!(error.to_string().contains("roots.pem"), "{error}");
            (error.to_string().split(" in ").next().unwrap().to_owned(), error.source().is_some())
        };
        assert_eq!(told(), ("cannot read the root certificates".to_owned(), true));
        fs::write(&file, "nothing\n").unwrap();
        assert_eq!(told(), ("no root certificate".to_owned(), false));
        fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert_eq!(told(), ("a root certificate".to_owned(), true));
    }
}
