//! DNS over QUIC (RFC 9250): each question has a stream of a connection to itself.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, ConnectionError, Endpoint, EndpointConfig, RecvStream, TokioRuntime, TransportConfig, VarInt,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, DigitallySignedStruct, Error, SignatureScheme};
use tokio::sync::Semaphore;

use super::link::{Called, Calls, Link, Opened, Opening};
use super::{Failure, Tls};

/// RFC 9250, section 4.3: nothing is wrong.
const NO_ERROR: VarInt = VarInt::from_u32(0);
/// The same: nobody waits for the reply any more.
const REQUEST_CANCELLED: VarInt = VarInt::from_u32(3);
/// Where the alerts of TLS begin among the error codes of QUIC (RFC 9001, section 4.8).
const ALERTS: u64 = 0x100;

/// A way to open QUIC connections to a server, as many as there are permits.
pub(super) fn quic(server: SocketAddr, tls: Arc<Tls>, permits: Arc<Semaphore>) -> impl Fn() -> Opening {
    let witness = Arc::new(Witness { verifier: Arc::clone(tls.verifier()), said: Mutex::default() });
    let config = config(&tls, &witness);
    move || {
        let (tls, witness, permits) = (Arc::clone(&tls), Arc::clone(&witness), Arc::clone(&permits));
        let config = config.clone();
        Box::pin(async move {
            let permit = permits.acquire_owned().await.ok();
            let config = config.map_err(|error| tls.refusal(server, &error))?;
            let endpoint = endpoint(server).map_err(|error| Failure::Network(error.kind()))?;
            let refused = |error: &ConnectionError| {
                let error = witness.take().or_else(|| alert(error).map(Error::AlertReceived));
                error.map(|error| tls.refusal(server, &error))
            };
            let connecting = endpoint.connect_with(config, server, &tls.name().to_str());
            let connecting = connecting.map_err(|_| Failure::Network(io::ErrorKind::InvalidInput))?;
            let connection = connecting
                .await
                .map_err(|error| refused(&error).unwrap_or_else(|| Failure::Network(io::Error::from(error).kind())))?;
            let (closed, teller) = (connection.clone(), Arc::clone(&tls));
            let ended = Box::pin(async move {
                // A server that wants to know us says so behind the handshake.
                let refused = alert(&closed.closed().await).map(Error::AlertReceived);
                let refused = refused.map(|error| teller.refusal(server, &error));
                endpoint.wait_idle().await;
                refused
            });
            let link = Link::Calls { calls: Rc::new(Quic { connection }), ended };
            Ok(Opened { link, permit, tls: Some((server, tls)) })
        })
    }
}

/// `Err` for certificates that QUIC cannot do with, of which we have none.
fn config(tls: &Tls, witness: &Arc<Witness>) -> Result<ClientConfig, Error> {
    let mut client = rustls::ClientConfig::clone(tls.client());
    // It judges as the one that stands there, and remembers why.
    client.dangerous().set_certificate_verifier(Arc::clone(witness) as _);
    let client = QuicClientConfig::try_from(client).map_err(|error| Error::General(error.to_string()))?;
    let mut config = ClientConfig::new(Arc::new(client));
    let mut transport = TransportConfig::default();
    // RFC 9250 has no use for streams that a server opens.
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0)).max_concurrent_uni_streams(VarInt::from_u32(0));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// A socket of its own for each connection: another port is another path for a load balancer.
fn endpoint(server: SocketAddr) -> io::Result<Endpoint> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    Endpoint::new(EndpointConfig::default(), None, UdpSocket::bind(any)?, Arc::new(TokioRuntime))
}

/// What TLS of the server said, if that ended it.
fn alert(error: &ConnectionError) -> Option<AlertDescription> {
    let ConnectionError::ConnectionClosed(close) = error else { return None };
    let code = u64::from(close.error_code).checked_sub(ALERTS)?;
    u8::try_from(code).ok().map(AlertDescription::from)
}

struct Quic {
    connection: quinn::Connection,
}

impl Drop for Quic {
    fn drop(&mut self) {
        self.connection.close(NO_ERROR, b"");
    }
}

impl Calls for Quic {
    fn call(&self, query: Vec<u8>) -> Called {
        let connection = self.connection.clone();
        Box::pin(async move { exchange(connection, query).await.ok_or(Failure::Lost { answered: 0 }) })
    }
}

/// `None`: the connection is lost, or the server gives up on the stream, which is no different to
/// who asks.
async fn exchange(connection: quinn::Connection, query: Vec<u8>) -> Option<Vec<u8>> {
    let (mut sending, receiving) = connection.open_bi().await.ok()?;
    let length = u16::try_from(query.len()).ok()?;
    let message = [&length.to_be_bytes(), query.as_slice()].concat();
    sending.write_all(&message).await.ok()?;
    sending.finish().ok()?;
    let mut awaited = Awaited(Some(receiving));
    let receiving = awaited.0.as_mut()?;
    let mut length = [0; 2];
    receiving.read_exact(&mut length).await.ok()?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    receiving.read_exact(&mut reply).await.ok()?;
    // The end of the stream has mostly come as well; until it is read QUIC asks the server to stop.
    let _ = receiving.read(&mut length).now_or_never();
    awaited.0 = None;
    Some(reply)
}

/// A stream whose server is told when nobody waits for the reply any more (RFC 9250, section 4.3.1).
struct Awaited(Option<RecvStream>);

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(receiving) = &mut self.0 {
            let _ = receiving.stop(REQUEST_CANCELLED);
        }
    }
}

/// Remembers why a certificate was not accepted, of which QUIC passes on the words alone.
#[derive(Debug)]
struct Witness {
    verifier: Arc<WebPkiServerVerifier>,
    said: Mutex<Option<Error>>,
}

impl Witness {
    fn take(&self) -> Option<Error> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn heard<T>(&self, judged: Result<T, Error>) -> Result<T, Error> {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = judged.as_ref().err().cloned();
        judged
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.heard(self.verifier.verify_server_cert(certificate, intermediates, name, ocsp, now))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
