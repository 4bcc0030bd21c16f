//! TLS towards a server (RFC 7858): who it must prove to be, and what is said when it does not.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::link::{Link, Opened, Opening};
use super::{Failure, open};
use crate::config::{Credentials, Over};

/// Seconds of a day.
const DAY: u64 = 86_400;
/// Sessions with one server that are kept to be resumed; one is needed.
const SESSIONS: usize = 8;

/// One server over TLS, shared by all workers, which so resume each other's sessions; over QUIC only
/// their own, since rustls resumes with the same judge of certificates alone.
pub struct Tls {
    name: ServerName<'static>,
    over: Over,
    credentials: Credentials,
    /// `credentials`, saying what is to be spoken.
    client: Arc<ClientConfig>,
    /// What was last said to be wrong, so that it is said once.
    complaint: Mutex<Option<String>>,
}

impl Tls {
    /// `name` is what the server must have a certificate for, signed as `credentials` demand.
    pub fn new(name: ServerName<'static>, over: Over, credentials: Credentials) -> Self {
        let mut client = ClientConfig::clone(&credentials.client);
        client.alpn_protocols = vec![alpn(&over).to_vec()];
        if over != Over::Tcp {
            // A session that was begun over one of them is of no use to another.
            client.resumption = Resumption::in_memory_sessions(SESSIONS);
        }
        Self { name, over, credentials, client: Arc::new(client), complaint: Mutex::default() }
    }

    /// Whether the other is of the same certificates, so that connections may be shared.
    pub fn is_as(&self, other: &Self) -> bool {
        (&self.name, &self.over) == (&other.name, &other.over)
            && self.credentials.fingerprint == other.credentials.fingerprint
    }

    /// What it stands over.
    pub(super) fn over(&self) -> &Over {
        &self.over
    }

    /// Who the server must be.
    pub(super) fn name(&self) -> &ServerName<'static> {
        &self.name
    }

    /// How to connect.
    pub(super) fn client(&self) -> &Arc<ClientConfig> {
        &self.client
    }

    /// Who judges the server's certificate.
    pub(super) fn verifier(&self) -> &Arc<WebPkiServerVerifier> {
        &self.credentials.verifier
    }

    /// TLS over TCP to the server.
    pub(super) async fn connect(&self, server: SocketAddr) -> Result<TlsStream<TcpStream>, Failure> {
        let network = |error: io::Error| Failure::Network(error.kind());
        let stream = open(server).await.map_err(network)?;
        let connector = TlsConnector::from(Arc::clone(&self.client));
        let connected = connector.connect(self.name.clone(), stream).await;
        connected.map_err(|error| self.failure(server, &error).unwrap_or_else(|| network(error)))
    }

    /// The server as the configuration spells it, with the name, if it is one, behind.
    pub(in crate::upstream) fn shown(&self, address: SocketAddr) -> String {
        let shown = match &self.over {
            Over::Tcp => format!("tls://{address}"),
            Over::Https { path } => format!("https://{address}{path}"),
            Over::Quic => format!("quic://{address}"),
        };
        match &self.name {
            ServerName::DnsName(name) => format!("{shown}#{}", name.as_ref()),
            _ => shown,
        }
    }

    /// What TLS has to say about an error, if it is one of TLS.
    pub(super) fn failure(&self, server: SocketAddr, error: &io::Error) -> Option<Failure> {
        let error = error.get_ref()?.downcast_ref::<Error>()?;
        Some(self.refusal(server, error))
    }

    /// There is no TLS with the server. In the log it is said once, until it changes.
    pub(super) fn refusal(&self, server: SocketAddr, error: &Error) -> Failure {
        let cause = self.cause(error);
        self.complain(server, format!("upstream is not asked: {cause}"));
        Failure::Tls(cause.into())
    }

    /// Says what is wrong, unless it was the last to be said.
    pub(super) fn complain(&self, server: SocketAddr, sentence: String) {
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if complaint.as_ref() != Some(&sentence) {
            tracing::warn!(server = self.shown(server), "{sentence}");
            *complaint = Some(sentence);
        }
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

    fn spoken(&self) -> &'static str {
        match &self.over {
            Over::Tcp => "DNS over TLS",
            Over::Https { .. } => "HTTP/2",
            Over::Quic => "DNS over QUIC",
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
            Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
                format!("it does not speak {} there", self.spoken())
            }
            Error::AlertReceived(alert) => format!("it turned us down: {alert:?}"),
            error => format!("no TLS with it: {error}"),
        }
    }
}

/// How we say what we speak: RFC 7858, RFC 9113, section 3.2, and RFC 9250, section 4.1.1, by their
/// names in the IANA registry.
fn alpn(over: &Over) -> &'static [u8] {
    match over {
        Over::Tcp => b"dot",
        Over::Https { .. } => b"h2",
        Over::Quic => b"doq",
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
pub(super) fn tls(server: SocketAddr, tls: Arc<Tls>, permits: Arc<Semaphore>) -> impl Fn() -> Opening {
    move || {
        let (tls, permits) = (Arc::clone(&tls), Arc::clone(&permits));
        Box::pin(async move {
            let permit = permits.acquire_owned().await.ok();
            let stream = tls.connect(server).await?;
            Ok(Opened { link: Link::Stream(Box::new(stream)), permit, tls: Some((server, tls)) })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::RootCertStore;
    use rustls::pki_types::UnixTime;

    use super::*;

    fn tls(name: &'static str, over: Over) -> Tls {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let roots = Arc::new(roots);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        let credentials = Credentials { client, verifier: verifier.build().unwrap(), fingerprint: 0 };
        Tls::new(ServerName::try_from(name).unwrap(), over, credentials)
    }

    fn said(error: Error) -> String {
        let tls = tls("dns.b.example", Over::Tcp);
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
        let tls = tls("10.3.0.53", Over::Tcp);
        assert_eq!(tls.failure(server, &io::ErrorKind::ConnectionReset.into()), None);
    }

    #[test]
    fn servers_are_shown_as_the_configuration_spells_them() {
        let server = "10.3.0.53:853".parse().unwrap();
        let https = || Over::Https { path: "/dns-query".to_owned() };
        for (name, over, shown) in [
            ("10.3.0.53", Over::Tcp, "tls://10.3.0.53:853"),
            ("dns.b.example", Over::Quic, "quic://10.3.0.53:853#dns.b.example"),
            ("dns.b.example", https(), "https://10.3.0.53:853/dns-query#dns.b.example"),
        ] {
            assert_eq!(tls(name, over).shown(server), shown);
        }
        let told =
            |over| tls("dns.b.example", over).cause(&Error::AlertReceived(AlertDescription::NoApplicationProtocol));
        assert_eq!(told(https()), "it does not speak HTTP/2 there");
        assert_eq!(told(Over::Quic), "it does not speak DNS over QUIC there");
    }
}
