//! TLS for clients (RFC 7858): who we are, which may change at any time, and the handshake.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::context::{Context, Limits};
use super::post::Service;

/// What we speak (RFC 7858, by its name in the IANA registry). A client that does not say what it
/// speaks is taken at its port.
const ALPN: &[u8] = b"dot";

/// The certificate that clients are shown, and its key. Connections that are open keep the one that
/// they began with.
#[derive(Debug)]
pub struct Identity(ArcSwap<CertifiedKey>);

impl Identity {
    pub fn new(key: Arc<CertifiedKey>) -> Arc<Self> {
        Arc::new(Self(ArcSwap::new(key)))
    }

    /// From the next handshake on, this is who we are.
    pub fn become_another(&self, key: Arc<CertifiedKey>) {
        self.0.store(key);
    }

    /// How clients are served, on whatever worker: a session that one of them began may be resumed
    /// with any other (RFC 8446, section 2.2; RFC 5077), for some hours and as long as the process
    /// lives.
    ///
    /// # Errors
    /// When the system gives no random octets.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let identity = Arc::clone(self) as Arc<dyn ResolvesServerCert>;
        let mut config =
            builder.with_safe_default_protocol_versions()?.with_no_client_auth().with_cert_resolver(identity);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.ticketer = ring::Ticketer::new()?;
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Agrees on keys with a client. `None` when that fails or takes as long as no message may, and when
/// the service is over: the client has not asked anything yet.
pub(super) async fn accept(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    service: &mut Service,
    limits: Limits,
    context: &Rc<Context>,
) -> Option<TlsStream<TcpStream>> {
    let handshake = timeout(limits.tcp_read, acceptor.accept(stream));
    let agreed = tokio::select! {
        biased;
        () = service.over() => return None,
        agreed = handshake => agreed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
    };
    match agreed {
        Ok(stream) => {
            context.series.tls_agreed();
            Some(stream)
        }
        Err(error) => {
            context.series.tls_failed();
            tracing::debug!(%error, "no TLS with a client");
            None
        }
    }
}
