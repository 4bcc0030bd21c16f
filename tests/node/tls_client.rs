//! A client over TLS: whom it believes, how it was served, and by which certificate.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned};

use super::certificates::Authority;
use super::client::{Ask, Reply, connect, read_framed};

/// The name that it wants to be proven.
pub(crate) const NAME: &str = "dns.node.example";

/// What several connections share: whom it believes, and sessions to be resumed.
#[derive(Clone)]
pub(crate) struct TlsClient {
    config: Arc<ClientConfig>,
}

/// An open connection.
pub(crate) struct Secret {
    pub(crate) stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsClient {
    /// Believes these authorities and says that it speaks one of these protocols.
    pub(crate) fn new(authorities: &[&Authority], alpn: &[&str]) -> Self {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(CertificateDer::from_pem_file(authority.file()).unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self { config: Arc::new(config) }
    }

    pub(crate) fn connect(&self, server: SocketAddr) -> Secret {
        let name = ServerName::try_from(NAME).unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        Secret { stream: StreamOwned::new(connection, connect(server)) }
    }
}

impl Secret {
    pub(crate) fn ask(&mut self, question: &Ask) -> Reply {
        self.stream.write_all(&question.framed()).unwrap();
        question.check(read_framed(&mut self.stream).expect("a reply"))
    }

    /// Known once something was asked.
    pub(crate) fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub(crate) fn version(&self) -> Option<ProtocolVersion> {
        self.stream.conn.protocol_version()
    }

    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.stream.conn.alpn_protocol()
    }

    /// The certificate that the server has shown.
    pub(crate) fn shown(&self) -> CertificateDer<'static> {
        self.stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }
}
