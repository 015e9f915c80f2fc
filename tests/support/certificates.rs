//! Certificates made for one run: an authority and what it signs.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::path::{Path, PathBuf};

/// A certificate authority; its certificate is also a file, for settings that want one.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

/// A certificate and its key as PEM text.
pub(crate) struct Certificate {
    /// The certificate.
    pub(crate) pem: String,
    /// Its key.
    pub(crate) key: String,
}

impl Authority {
    /// A new authority that nobody trusts yet.
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), folder }
    }

    /// The file with its certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for these host names and addresses.
    pub(crate) fn sign(&self, names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        Certificate { pem: certificate.pem(), key: key.serialize_pem() }
    }

    /// The same, but it was good until the end of 1999.
    #[allow(dead_code, reason = "few binaries need it")]
    pub(crate) fn sign_expired(&self, names: &[&str]) -> Certificate {
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.not_before = rcgen::date_time_ymd(1999, 1, 1);
        params.not_after = rcgen::date_time_ymd(1999, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certificate { pem: certificate.pem(), key: key.serialize_pem() }
    }

    /// The same, as files beside the authority's: certificate and key.
    pub(crate) fn sign_to_files(&self, names: &[&str], label: &str) -> (PathBuf, PathBuf) {
        let signed = self.sign(names);
        let file = |kind: &str| self.folder.path().join(format!("{label}.{kind}.pem"));
        std::fs::write(file("certificate"), signed.pem).unwrap();
        std::fs::write(file("key"), signed.key).unwrap();
        (file("certificate"), file("key"))
    }

    /// A certificate for somebody who shows it to a server: certificate and key as files.
    pub(crate) fn sign_for(&self, name: &str, folder: &Path) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = (folder.join("client.crt"), folder.join("client.key"));
        std::fs::write(&files.0, certificate.pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }
}
