//! DNS over HTTPS (RFC 8484): each question is a POST on a connection of HTTP/2.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use hyper::body::Bytes;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::http::{HeaderMap, Method, Request, StatusCode, Uri, Version, header};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, Error};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;

use super::link::{Called, Calls, Link, Opened, Opening, Stream};
use super::{Failure, Tls};

/// Where HTTPS is spoken unless a port is said (RFC 9110, section 4.2.2).
const PORT: u16 = 443;
/// What a question and its reply are (RFC 8484, section 6).
const MEDIA_TYPE: &str = "application/dns-message";
/// The most octets of a message.
const MAX_MESSAGE: usize = 65_535;
/// The most octets of a reply's header; a few hundred are usual.
const MAX_HEADER: u32 = 16 * 1024;

/// A way to open connections of HTTP/2 to a server whose questions go to `path`, as many as there
/// are permits.
pub(super) fn https(
    server: SocketAddr,
    tls: Arc<Tls>,
    path: &str,
    permits: Arc<Semaphore>,
) -> impl Fn() -> Opening + use<> {
    let uri = uri(server, &tls, path);
    move || {
        let (tls, uri, permits) = (Arc::clone(&tls), uri.clone(), Arc::clone(&permits));
        Box::pin(async move {
            let permit = permits.acquire_owned().await.ok();
            let stream = tls.connect(server).await?;
            let spoken = stream.get_ref().1.alpn_protocol();
            if spoken != tls.client().alpn_protocols.first().map(Vec::as_slice) {
                return Err(tls.refusal(server, &Error::AlertReceived(AlertDescription::NoApplicationProtocol)));
            }
            let judge = Arc::clone(&tls);
            let link = link(stream, uri, move |error| judge.refusal(server, &error)).await?;
            Ok(Opened { link, permit, tls: Some((server, tls)) })
        })
    }
}

/// Begins HTTP/2. `refusal` is what an error of TLS comes to: a server that wants to know us says so
/// behind the handshake.
async fn link<S: Stream + 'static>(
    stream: S,
    uri: Option<Uri>,
    refusal: impl FnOnce(Error) -> Failure + 'static,
) -> Result<Link, Failure> {
    let said = Rc::default();
    let stream = Attentive { inner: stream, said: Rc::clone(&said) };
    let mut builder = h2::client::Builder::new();
    builder.enable_push(false).max_header_list_size(MAX_HEADER);
    let begun = builder.handshake(stream).await;
    let (sender, connection) = begun.map_err(|error| match error.get_io() {
        Some(error) => Failure::Network(error.kind()),
        None => Failure::Network(io::ErrorKind::ConnectionAborted),
    })?;
    let ended = Box::pin(async move {
        let _ = connection.await;
        said.take().map(refusal)
    });
    Ok(Link::Calls { calls: Rc::new(Http { sender, uri }), ended })
}

/// `None` for what cannot be one, which no configuration has without fault.
fn uri(server: SocketAddr, tls: &Tls, path: &str) -> Option<Uri> {
    let host = match tls.name() {
        ServerName::DnsName(name) if server.port() == PORT => name.as_ref().to_owned(),
        ServerName::DnsName(name) => format!("{}:{}", name.as_ref(), server.port()),
        _ => server.to_string(),
    };
    let mut parts = hyper::http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Authority::try_from(host).ok();
    parts.path_and_query = PathAndQuery::try_from(path).ok();
    Uri::from_parts(parts).ok()
}

/// A stream that keeps the reason of TLS for its end, of which HTTP/2 passes on the words alone.
struct Attentive<S> {
    inner: S,
    said: Rc<RefCell<Option<Error>>>,
}

impl<S: Stream> AsyncRead for Attentive<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(context, into);
        if let Poll::Ready(Err(error)) = &read {
            self.said.replace(error.get_ref().and_then(|error| error.downcast_ref()).cloned());
        }
        read
    }
}

impl<S: Stream> AsyncWrite for Attentive<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

struct Http {
    sender: SendRequest<Bytes>,
    uri: Option<Uri>,
}

impl Calls for Http {
    fn call(&self, query: Vec<u8>) -> Called {
        let (sender, uri) = (self.sender.clone(), self.uri.clone().unwrap_or_default());
        Box::pin(async move { post(sender, uri, query).await })
    }
}

async fn post(sender: SendRequest<Bytes>, uri: Uri, query: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri;
    let media_type = header::HeaderValue::from_static(MEDIA_TYPE);
    request.headers_mut().insert(header::ACCEPT, media_type.clone());
    request.headers_mut().insert(header::CONTENT_TYPE, media_type);
    request.headers_mut().insert(header::CONTENT_LENGTH, query.len().into());
    let failure = |error: h2::Error| failure(&error);
    let mut sender = sender.ready().await.map_err(failure)?;
    let (response, mut body) = sender.send_request(request, false).map_err(failure)?;
    body.send_data(query.into(), true).map_err(failure)?;
    reply(response).await
}

async fn reply(response: ResponseFuture) -> Result<Vec<u8>, Failure> {
    let (head, body) = response.await.map_err(|error| failure(&error))?.into_parts();
    // RFC 8484, section 4.2.1: only a success holds a reply.
    if head.status != StatusCode::OK {
        return Err(no_reply(format!("it answers with the HTTP status {}", head.status)));
    }
    check_media_type(&head.headers)?;
    read(body).await
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Failure> {
    let value = headers.get(header::CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    let bare = value.split(|&octet| octet == b';').next().unwrap_or_default().trim_ascii();
    if bare.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()) {
        return Ok(());
    }
    let what = if bare.is_empty() { "nothing that has a type".into() } else { String::from_utf8_lossy(bare) };
    Err(no_reply(format!("it answers with {what:.80}, where {MEDIA_TYPE} is expected: is the path right?")))
}

async fn read(mut body: RecvStream) -> Result<Vec<u8>, Failure> {
    let mut message = Vec::new();
    while let Some(octets) = body.data().await {
        let octets = octets.map_err(|error| failure(&error))?;
        if message.len() + octets.len() > MAX_MESSAGE {
            return Err(no_reply(format!("it answers with more than {MAX_MESSAGE} octets")));
        }
        message.extend_from_slice(&octets);
        // Of a stream that is over nobody needs the leave to go on.
        let _ = body.flow_control().release_capacity(octets.len());
    }
    Ok(message)
}

fn no_reply(cause: String) -> Failure {
    Failure::NoReply(cause.into())
}

/// The connection is lost, except where the server ends one call of many.
fn failure(error: &h2::Error) -> Failure {
    match error.reason() {
        // RFC 9113, section 8.7: nothing was done about it, so that it may be sent again.
        Some(reason) if error.is_reset() && error.is_remote() && reason != Reason::REFUSED_STREAM => {
            no_reply(format!("it breaks off: {}", reason.description()))
        }
        _ => Failure::Lost { answered: 0 },
    }
}
