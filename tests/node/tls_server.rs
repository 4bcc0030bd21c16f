//! An upstream over TLS that notes who called and how, and gives every name one address.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::certificates::{Authority, Certified};
use super::client::framed;
use super::process::free_address;
use super::recorder::LOOP_CHECK;
use super::wait::until;

/// One connection, once it has asked something.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) resumed: bool,
    /// Whether it showed a certificate of its own.
    pub(crate) certified: bool,
}

/// A running server. Its threads end with the test process.
pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    calls: Vec<Call>,
    /// Each query.
    queries: Vec<Vec<u8>>,
}

impl TlsServer {
    /// Shows this certificate, and closes each connection after so many replies. With `clients` it
    /// wants a certificate of theirs.
    pub(crate) fn start(certified: &Certified, clients: Option<&Authority>, lifetime: usize) -> Self {
        Self::start_at(Self::listener(), certified, clients, lifetime)
    }

    /// For [`Self::start_at`], where the certificate has to know the address.
    pub(crate) fn listener() -> TcpListener {
        until("a free port", || TcpListener::bind(free_address()).ok())
    }

    pub(crate) fn start_at(
        listener: TcpListener,
        certified: &Certified,
        clients: Option<&Authority>,
        lifetime: usize,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let config = Arc::new(config(certified, clients));
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let notes = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (config, notes) = (Arc::clone(&config), Arc::clone(&notes));
                thread::spawn(move || serve(stream.unwrap(), config, &notes, lifetime));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.seen.lock().unwrap().calls.clone()
    }

    pub(crate) fn queries(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().queries.clone()
    }
}

/// Shows this certificate, and with `clients` wants one of theirs.
pub(crate) fn config(certified: &Certified, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(authority.file()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![CertificateDer::from_pem_file(&certified.certificate).unwrap()];
    let mut config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(&certified.key).unwrap()).unwrap();
    config.alpn_protocols = vec![b"dot".to_vec()];
    if clients.is_some() {
        // Whoever is turned down for want of a certificate never comes to speak it.
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config
}

/// Answers until the client is gone, or does not trust us.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, seen: &Mutex<Seen>, lifetime: usize) {
    // Behind a handshake a reply would wait for its acknowledgement.
    stream.set_nodelay(true).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    for count in 0..lifetime {
        let Some(query) = read_noted_query(&mut stream) else { return };
        if count == 0 {
            let connection = &stream.conn;
            seen.lock().unwrap().calls.push(Call {
                name: connection.server_name().map(str::to_owned),
                protocol: connection.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap()),
                resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
                certified: connection.peer_certificates().is_some(),
            });
        }
        let reply = framed(&reply_to(&query));
        seen.lock().unwrap().queries.push(query);
        if stream.write_all(&reply).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
    stream.conn.send_close_notify();
    // The client may be gone already.
    let _ = stream.flush().and_then(|()| stream.sock.shutdown(Shutdown::Write));
    // Closed with questions unread, the kernel would take back what was answered.
    let _ = std::io::copy(&mut stream.sock, &mut std::io::sink());
}

/// The next query, but for those that tell of loops.
fn read_noted_query(stream: &mut impl Read) -> Option<Vec<u8>> {
    let is_noted = |query: &Vec<u8>| !query.windows(LOOP_CHECK.len()).any(|octets| octets == LOOP_CHECK);
    std::iter::from_fn(|| read_query(stream)).find(is_noted)
}

fn read_query(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut query).ok()?;
    Some(query)
}

/// The question with 192.0.2.1, and no OPT record.
pub(crate) fn reply_to(query: &[u8]) -> Vec<u8> {
    let question = 12 + query[12..].iter().position(|&octet| octet == 0).unwrap() + 5;
    let mut reply = query[..question].to_vec();
    reply[2] |= 0x80;
    reply[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
    reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 1]);
    reply
}
