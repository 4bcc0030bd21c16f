//! How servers over TLS are asked: whose word is taken for who they are, and who we say we are.
//! The files are read here, so that one that is of no use is a fault of the configuration.

use std::hash::{BuildHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use foldhash::quality::FixedState;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

use super::pem;
use crate::config::Credentials;
use crate::config::fault::{Message, Report};
use crate::config::file;
use crate::config::keys;
use crate::config::text::At;

/// Reads an upstream's files. `server` is its first server over TLS; without one they are of no
/// use, which is said. `None` also when something was reported.
pub(super) fn read(
    said: &file::Upstream,
    server: Option<&At<String>>,
    directory: &Path,
    report: &mut Report<'_>,
) -> Option<Credentials> {
    let Some(server) = server else {
        for (at, key) in
            [(&said.ca, &keys::CA), (&said.certificate, &keys::CERTIFICATE), (&said.key, &keys::CLIENT_KEY)]
        {
            let at = at.as_ref().filter(|_| !report.incomplete());
            let Some(at) = at else { continue };
            let message = Message::new(
                "has no effect without a server over TLS",
                r#"remove it, or write "tls://…", "https://…" or "quic://…" in `servers`"#,
            );
            report.warning(at.span.start, &key.path(), message);
        }
        return None;
    };
    let provider = Arc::new(ring::default_provider());
    let identity = identity(said, &provider, directory, report);
    let roots = match &said.ca {
        Some(at) => roots_of(at, directory, report),
        None => system_roots(server, &keys::SERVERS.path(), report),
    };
    build(provider, roots?, identity.ok()?)
}

/// For a server without an upstream of its own, which stands at `at`: the system is trusted.
pub(super) fn system(at: &At<String>, key: &str, report: &mut Report<'_>) -> Option<Credentials> {
    build(Arc::new(ring::default_provider()), system_roots(at, key, report)?, None)
}

fn build(provider: Arc<CryptoProvider>, roots: RootCertStore, identity: Option<CertifiedKey>) -> Option<Credentials> {
    let fingerprint = fingerprint(&roots, identity.as_ref());
    // The provider has suites for both versions of TLS that there are.
    let versions =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().ok()?;
    // Made of the same, it judges as the one that stands in the configuration.
    let roots = Arc::new(roots);
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider).build().ok()?;
    let trusting = versions.with_root_certificates(roots);
    let client = match identity {
        Some(identity) => trusting.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
        None => trusting.with_no_client_auth(),
    };
    Some(Credentials { client: Arc::new(client), verifier, fingerprint })
}

/// A key belongs to one certificate, so that the certificates tell it all.
fn fingerprint(roots: &RootCertStore, identity: Option<&CertifiedKey>) -> u64 {
    let mut hasher = FixedState::with_seed(0).build_hasher();
    for root in &roots.roots {
        root.subject.as_ref().hash(&mut hasher);
        root.subject_public_key_info.as_ref().hash(&mut hasher);
        root.name_constraints.as_ref().map(AsRef::as_ref).hash(&mut hasher);
    }
    identity.map(|identity| &identity.cert).hash(&mut hasher);
    hasher.finish()
}

fn roots_of(at: &At<String>, directory: &Path, report: &mut Report<'_>) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(at, &keys::CA, directory, report)? {
        if let Err(error) = roots.add(certificate) {
            let problem = format!("{} holds a certificate that cannot be read: {error}", at.value);
            report.error(at.span.start, &keys::CA.path(), Message::new(problem, "remove it from the file"));
            return None;
        }
    }
    Some(roots)
}

fn system_roots(at: &At<String>, key: &str, report: &mut Report<'_>) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted_by_the_system());
    if roots.is_empty() {
        let problem = "nobody can vouch for the server: the system has no certificates that it trusts";
        let remedy = "name a file of them as `ca` in an [[upstream]], or install the package ca-certificates";
        report.error(at.span.start, key, Message::new(problem, remedy));
        return None;
    }
    Some(roots)
}

fn trusted_by_the_system() -> Vec<CertificateDer<'static>> {
    // The room's own tests must not depend on the machine.
    if cfg!(test) { Vec::new() } else { rustls_native_certs::load_native_certs().certs }
}

/// Who we are; `Err` when it was reported that we are nobody.
fn identity(
    said: &file::Upstream,
    provider: &CryptoProvider,
    directory: &Path,
    report: &mut Report<'_>,
) -> Result<Option<CertifiedKey>, ()> {
    let (certificate, key) = match (&said.certificate, &said.key) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(at), None) => {
            let message = Message::new("stands without `key`", "name the file of its private key as `key`");
            report.error(at.span.start, &keys::CERTIFICATE.path(), message);
            return Err(());
        }
        (None, Some(at)) => {
            let message =
                Message::new("stands without `certificate`", "name the file of its certificate as `certificate`");
            report.error(at.span.start, &keys::CLIENT_KEY.path(), message);
            return Err(());
        }
    };
    let files = pem::Pair { certificate: (certificate, &keys::CERTIFICATE), key: (key, &keys::CLIENT_KEY) };
    pem::certified_key(&files, provider, directory, report).map(Some).ok_or(())
}
