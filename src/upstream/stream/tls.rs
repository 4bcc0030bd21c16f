//! TLS towards a server (RFC 7858): who it must prove to be, and what is said when it does not.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, Error};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use super::connection::{Opened, Opening};
use super::{Failure, open};
use crate::config::Credentials;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// One server over TLS, shared by all workers, which so resume each other's sessions.
pub struct Tls {
    name: ServerName<'static>,
    credentials: Credentials,
    /// What was last said to be wrong, so that it is said once.
    complaint: Mutex<Option<String>>,
}

impl Tls {
    /// `name` is what the server must have a certificate for, signed as `credentials` demand.
    pub fn new(name: ServerName<'static>, credentials: Credentials) -> Self {
        Self { name, credentials, complaint: Mutex::default() }
    }

    /// Whether the other is of the same certificates, so that connections may be shared.
    pub fn is_as(&self, other: &Self) -> bool {
        self.name == other.name && self.credentials.fingerprint == other.credentials.fingerprint
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

    /// Whether the log says that it is not trusted.
    pub(in crate::upstream) fn is_complained_of(&self) -> bool {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).is_some()
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
            Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => {
                format!("its certificate expired {}, if the clock is right", ago(time.as_secs(), not_after.as_secs()))
            }
            Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }) => {
                let in_days = not_before.as_secs().saturating_sub(time.as_secs()).div_ceil(DAY);
                format!("its certificate becomes valid in {in_days} days, if the clock is right")
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

fn ago(now: u64, then: u64) -> String {
    match now.saturating_sub(then) / DAY {
        0 => "within the last day".to_owned(),
        days => format!("{days} days ago"),
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
    let connector = TlsConnector::from(Arc::clone(&tls.credentials.client));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::UnixTime;
    use rustls::{ClientConfig, RootCertStore};

    use super::*;

    fn tls(name: &'static str) -> Tls {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        Tls::new(ServerName::try_from(name).unwrap(), Credentials { client: Arc::new(config), fingerprint: 0 })
    }

    fn said(error: Error) -> String {
        let tls = tls("dns.b.example");
        let address = "10.3.0.53:853".parse().unwrap();
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, error);
        match tls.failure(address, &wrapped) {
            Some(Failure::Tls(cause)) => cause.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn causes_are_said_plainly() {
        let at = |day: u64| UnixTime::since_unix_epoch(Duration::from_secs(day * DAY));
        let expected = ServerName::try_from("dns.b.example").unwrap();
        let presented = vec!["DnsName(\"*.c.example\")".to_owned(), "IpAddress(10.0.0.1)".to_owned(), "odd".to_owned()];
        let wrong_name = |presented| CertificateError::NotValidForNameContext { expected: expected.clone(), presented };
        for (error, cause) in [
            (wrong_name(presented), "its certificate is for *.c.example, 10.0.0.1, odd, not for dns.b.example"),
            (wrong_name(Vec::new()), "its certificate is for no name at all, not for dns.b.example"),
            (
                CertificateError::ExpiredContext { time: at(10), not_after: at(7) },
                "its certificate expired 3 days ago, if the clock is right",
            ),
            (
                CertificateError::ExpiredContext { time: at(10), not_after: at(10) },
                "its certificate expired within the last day, if the clock is right",
            ),
            (
                CertificateError::NotValidYetContext { time: at(0), not_before: at(2) },
                "its certificate becomes valid in 2 days, if the clock is right",
            ),
            (CertificateError::BadEncoding, "its certificate is not accepted: BadEncoding"),
        ] {
            assert_eq!(said(Error::InvalidCertificate(error)), cause);
        }
        let alert = Error::AlertReceived(AlertDescription::UnknownCA);
        assert_eq!(said(alert), "it turned us down: UnknownCA");
    }

    #[test]
    fn an_error_of_the_network_is_none_of_tls() {
        let server = "10.3.0.53:853".parse().unwrap();
        let tls = tls("10.3.0.53");
        assert_eq!(tls.failure(server, &io::ErrorKind::ConnectionReset.into()), None);
        assert_eq!(tls.shown(server), "tls://10.3.0.53:853");
    }
}
