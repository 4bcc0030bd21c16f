//! Certificates and keys from PEM files.

use std::path::Path;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;

use super::validity;
use crate::config::fault::{Message, Report};
use crate::config::keys::Key;
use crate::config::text::At;

/// The files of a certificate and of its key, each with the key of the configuration that names it.
pub(super) struct Pair<'a> {
    pub(super) certificate: (&'a At<String>, &'static Key),
    pub(super) key: (&'a At<String>, &'static Key),
}

/// A certificate, those that vouch for it, and its key; `None` when it was reported that there is no
/// such thing. One that is not valid today is warned of, and so is one in its last days.
pub(super) fn certified_key(
    files: &Pair<'_>,
    provider: &CryptoProvider,
    directory: &Path,
    report: &mut Report<'_>,
) -> Option<CertifiedKey> {
    let Pair { certificate: (certificate, certificate_key), key: (key, key_key) } = *files;
    let chain = certificates(certificate, certificate_key, directory, report);
    let private = private_key(key, key_key, directory, report);
    let certified = CertifiedKey::from_der(chain?, private?, provider).map_err(|error| {
        let problem = match error {
            rustls::Error::InconsistentKeys(_) => format!("{} is not the key to {}", key.value, certificate.value),
            error => format!("{} and {} cannot be used: {error}", certificate.value, key.value),
        };
        let remedy = "name the key that the certificate was made with";
        report.error(key.span.start, &key_key.path(), Message::new(problem, remedy));
    });
    let certified = certified.ok()?;
    let complaint = validity::of_chain(&certified.cert).and_then(|validity| validity.complaint(UnixTime::now()));
    if let Some(complaint) = complaint {
        let message = Message::new(format!("{} {complaint}", certificate.value), "put a new one in its place");
        report.warning(certificate.span.start, &certificate_key.path(), message);
    }
    Some(certified)
}

/// The certificates of a PEM file, at least one; `None` when it was reported that there is none.
pub(super) fn certificates(
    at: &At<String>,
    key: &Key,
    directory: &Path,
    report: &mut Report<'_>,
) -> Option<Vec<CertificateDer<'static>>> {
    let octets = octets(at, key, directory, report)?;
    let read: Result<Vec<_>, Error> = CertificateDer::pem_slice_iter(&octets).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => no_section(at, key, "certificate", "CERTIFICATE", report),
        Ok(certificates) => Some(certificates),
        Err(error) => no_pem(at, key, &error, report),
    }
}

fn private_key(
    at: &At<String>,
    key: &Key,
    directory: &Path,
    report: &mut Report<'_>,
) -> Option<PrivateKeyDer<'static>> {
    let octets = octets(at, key, directory, report)?;
    match PrivateKeyDer::from_pem_slice(&octets) {
        Ok(private) => Some(private),
        Err(Error::NoItemsFound) => no_section(at, key, "private key", "PRIVATE KEY", report),
        Err(error) => no_pem(at, key, &error, report),
    }
}

fn octets(at: &At<String>, key: &Key, directory: &Path, report: &mut Report<'_>) -> Option<Vec<u8>> {
    let path = directory.join(&at.value);
    let read = report.files().read(&path);
    if let Err(error) = &read {
        let problem = format!("{} cannot be read: {error}", path.display());
        report.error(at.span.start, &key.path(), Message::new(problem, "name a readable PEM file"));
    }
    read.ok()
}

fn no_section<T>(at: &At<String>, key: &Key, what: &str, section: &str, report: &mut Report<'_>) -> Option<T> {
    let problem = format!("there is no {what} in {}", at.value);
    let remedy = format!("name a PEM file with a section that begins with -----BEGIN {section}-----");
    report.error(at.span.start, &key.path(), Message::new(problem, remedy));
    None
}

fn no_pem<T>(at: &At<String>, key: &Key, error: &Error, report: &mut Report<'_>) -> Option<T> {
    let problem = format!("{} is no PEM file: {error}", at.value);
    report.error(at.span.start, &key.path(), Message::new(problem, "write it anew, or name another"));
    None
}
