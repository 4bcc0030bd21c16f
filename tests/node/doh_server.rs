//! An upstream over HTTPS that gives every name one address, and ends its connections early.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::thread;

use h2::server::{Builder, SendResponse};
use hyper::body::Bytes;
use hyper::http::{Response, header};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

use super::certificates::Certified;
use super::recorder::LOOP_CHECK;
use super::tls_server::{TlsServer, config, reply_to};

/// How it ends a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// It says what it will still answer (RFC 9113, section 6.8), and does.
    Goodbye,
    /// It is gone, whatever was asked.
    Gone,
}

/// A running server. Its thread ends with the test process.
pub(crate) struct DohServer {
    pub(crate) address: SocketAddr,
    ends: Arc<AtomicUsize>,
}

impl DohServer {
    /// Shows this certificate, and ends each connection after so many questions.
    pub(crate) fn start(certified: &Certified, lifetime: usize, ending: Ending) -> Self {
        let listener = TlsServer::listener();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = config(certified, None);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let ends: Arc<AtomicUsize> = Arc::default();
        let counted = Arc::clone(&ends);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            LocalSet::new().block_on(&runtime, async move {
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (acceptor, counted) = (acceptor.clone(), Arc::clone(&counted));
                    tokio::task::spawn_local(async move { serve(stream, acceptor, lifetime, ending, &counted).await });
                }
            });
        });
        Self { address, ends }
    }

    /// How many connections it has ended early so far, or begun to.
    pub(crate) fn ends(&self) -> usize {
        self.ends.load(Relaxed)
    }
}

/// Answers until the client is gone, or its time has come, and then lets the client end it first:
/// closed with questions unread, the kernel would take back what was answered.
async fn serve(stream: TcpStream, acceptor: TlsAcceptor, lifetime: usize, ending: Ending, ends: &AtomicUsize) {
    // Behind a handshake a reply would wait for its acknowledgement.
    stream.set_nodelay(true).unwrap();
    let stream = stream.into_std().unwrap();
    let mut end = TcpStream::from_std(stream.try_clone().unwrap()).unwrap();
    answer_all(TcpStream::from_std(stream).unwrap(), acceptor, lifetime, ending, ends).await;
    // The client may be gone already.
    let _ = end.shutdown().await;
    let _ = tokio::io::copy(&mut end, &mut tokio::io::sink()).await;
}

async fn answer_all(stream: TcpStream, acceptor: TlsAcceptor, lifetime: usize, ending: Ending, ends: &AtomicUsize) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let Ok(mut connection) = Builder::new().handshake::<_, Bytes>(stream).await else { return };
    let mut count = 0;
    let mut unanswered = Vec::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        let mut body = request.into_body();
        let mut query = Vec::new();
        // A question comes in one frame behind its header, and is read with it.
        while query.len() < 12 {
            tokio::select! {
                data = body.data() => match data {
                    Some(Ok(octets)) => query.extend_from_slice(&octets),
                    _ => return,
                },
                // Nothing comes in unless somebody drives the connection.
                _ = std::future::poll_fn(|context| connection.poll_closed(context)) => return,
            }
        }
        if query.windows(LOOP_CHECK.len()).any(|octets| octets == LOOP_CHECK) {
            unanswered.push(respond);
            continue;
        }
        count += 1;
        // What was asked in between is not answered.
        if matches!(ending, Ending::Gone) && count > lifetime {
            return;
        }
        ends.fetch_add(usize::from(count == lifetime), Relaxed);
        answer(respond, &query);
        match ending {
            Ending::Goodbye if count == lifetime => connection.graceful_shutdown(),
            // What was answered has to be on its way: the connection is driven once more.
            Ending::Gone if count == lifetime => {
                let _ = std::future::poll_fn(|context| Poll::Ready(connection.poll_closed(context))).await;
            }
            Ending::Goodbye | Ending::Gone => {}
        }
    }
}

fn answer(mut respond: SendResponse<Bytes>, query: &[u8]) {
    let head = Response::builder().header(header::CONTENT_TYPE, "application/dns-message").body(()).unwrap();
    // The client may be gone.
    if let Ok(mut body) = respond.send_response(head, false) {
        let _ = body.send_data(reply_to(query).into(), true);
    }
}
