//! TLS towards a server (RFC 7858): who it must prove to be, and what is said when it does not.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use super::connection::{Opened, Opening};
use super::{Failure, open};

/// One server over TLS, shared by all workers, which so resume each other's sessions.
pub struct Tls {
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    /// What was last said to be wrong, so that it is said once.
    complaint: Mutex<Option<String>>,
}

impl Tls {
    /// `name` is what the server must have a certificate for, signed as `config` demands.
    pub fn new(name: ServerName<'static>, config: Arc<ClientConfig>) -> Self {
        Self { name, config, complaint: Mutex::default() }
    }

    /// The name, if it is one, as it stands behind the address of a server.
    pub(in crate::upstream) fn shown(&self, address: SocketAddr) -> String {
        match &self.name {
            ServerName::DnsName(name) => format!("tls://{address}#{}", name.as_ref()),
            _ => format!("tls://{address}"),
        }
    }

    /// What TLS has to say about an error, if it is one of TLS. In the log it is said once, until
    /// it changes.
    pub(super) fn failure(&self, server: SocketAddr, error: &io::Error) -> Option<Failure> {
        let error = error.get_ref()?.downcast_ref::<Error>()?;
        let cause = self.cause(error);
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if complaint.as_ref() != Some(&cause) {
            tracing::warn!(server = self.shown(server), "upstream is not asked: {cause}");
            *complaint = Some(cause.clone());
        }
        Some(Failure::Tls(cause.into()))
    }

    /// It has answered.
    pub(super) fn works(&self, server: SocketAddr) {
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if complaint.take().is_some() {
            tracing::info!(server = self.shown(server), "upstream answers again");
        }
    }

    fn cause(&self, error: &Error) -> String {
        let wanted = self.name.to_str();
        match error {
            Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => {
                let names = if presented.is_empty() {
                    "no name at all".to_owned()
                } else {
                    presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")
                };
                format!("its certificate is for {names}, not for {wanted}")
            }
            // The other is an issuer that has the name of a trusted one, and another key.
            Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                "its certificate is signed by nobody that is trusted; `ca` names a file of those who are".to_owned()
            }
            Error::InvalidCertificate(error) => format!("its certificate is not accepted: {error}"),
            Error::AlertReceived(AlertDescription::CertificateRequired) => {
                "it wants a certificate of ours; `certificate` and `key` name the files".to_owned()
            }
            Error::AlertReceived(alert) => format!("it turned us down: {alert:?}"),
            error => format!("no TLS with it: {error}"),
        }
    }
}

/// The name itself, out of `DnsName("dns.example")` or `IpAddress(192.0.2.1)`.
fn plain(name: &str) -> &str {
    let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(name).trim_matches('"')
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A way to open TLS connections to a server, as many as there are permits.
pub(in crate::upstream) fn tls(server: SocketAddr, tls: Arc<Tls>, permits: Arc<Semaphore>) -> impl Fn() -> Opening {
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    move || {
        let (tls, connector, permits) = (Arc::clone(&tls), connector.clone(), Arc::clone(&permits));
        Box::pin(async move {
            let permit = permits.acquire_owned().await.ok();
            let network = |error: io::Error| Failure::Network(error.kind());
            let stream = open(server).await.map_err(network)?;
            let connected = connector.connect(tls.name.clone(), stream).await;
            let stream = connected.map_err(|error| tls.failure(server, &error).unwrap_or_else(|| network(error)))?;
            Ok(Opened { stream: Box::new(stream), permit, tls: Some((server, tls)) })
        })
    }
}
