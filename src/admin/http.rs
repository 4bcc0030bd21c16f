//! The HTTP server and its routes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::Admin;

/// How long to wait before a port that is taken is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How long a client may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const TEXT: &str = "text/plain; charset=utf-8";
/// The text format that the exporter writes.
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Ends the service of an address when the other end is dropped.
pub type Stop = oneshot::Receiver<Infallible>;

/// Serves one address until it is stopped, on the runtime of the calling thread. A failure to listen is
/// logged and tried again: DNS does not depend on it.
pub async fn serve(address: SocketAddr, open: Option<std::net::TcpListener>, admin: Rc<Admin>, mut stop: Stop) {
    let listener = match open.and_then(|listener| TcpListener::from_std(listener).ok()) {
        Some(listener) => listener,
        None => tokio::select! {
            listener = listen(address) => listener,
            _ = &mut stop => return,
        },
    };
    // Without a descriptor to spare, the next instance opens its own.
    let _offer = admin.succession.offer(&listener);
    loop {
        let accepted = tokio::select! {
            // Whoever has connected by the end is served.
            biased;
            accepted = listener.accept() => accepted,
            _ = &mut stop => return,
        };
        let Ok((stream, _)) = accepted else {
            // Descriptors have run out; they come back.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let admin = Rc::clone(&admin);
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| route(request, Rc::clone(&admin)));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is its own business.
            let _ = connection.await;
        });
    }
}

/// Listens, for [`serve`], where it has to be known at once whether that can be.
///
/// # Errors
/// As bind(2).
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn listen(address: SocketAddr) -> TcpListener {
    let mut said = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) if !said => {
                said = true;
                tracing::error!(%address, %error, "cannot listen for [admin]; DNS goes on, trying again every 5 s");
            }
            Err(_) => {}
        }
        sleep(RETRY).await;
    }
}

async fn route(request: Request<Incoming>, admin: Rc<Admin>) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    Ok(match request.uri().path() {
        _ if !is_read => respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET is served here\n".to_owned()),
        "/metrics" => respond(StatusCode::OK, METRICS_TEXT, admin.metrics().await),
        "/health" => {
            let stuck = admin.stuck_workers().await;
            match stuck.is_empty() {
                true => respond(StatusCode::OK, TEXT, "ok\n".to_owned()),
                false => respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("workers that are stuck: {stuck:?}\n")),
            }
        }
        "/ready" => {
            let unready = admin.unready().await;
            match unready.is_empty() {
                true => respond(StatusCode::OK, TEXT, "ok\n".to_owned()),
                false => respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, unready),
            }
        }
        "/" => respond(StatusCode::OK, TEXT, "zerohop\n\n/metrics\n/health\n/ready\n".to_owned()),
        _ => respond(StatusCode::NOT_FOUND, TEXT, "there are /metrics, /health and /ready\n".to_owned()),
    })
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
