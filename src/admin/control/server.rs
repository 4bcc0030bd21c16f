//! Takes in what clients ask over the control socket.

use std::io;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::{Reply, Request, line};
use crate::admin::Admin;

/// Clients at once; the next ones wait to be accepted.
const MOST_CLIENTS: usize = 16;
/// How long a client may take for its request, and to read the reply.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the daemon itself has to do, and where it tells what became of it.
#[derive(Debug)]
pub enum Order {
    Reload(oneshot::Sender<Reply>),
}

/// Serves the control socket for ever, on the runtime of the calling thread.
///
/// # Errors
/// When the runtime cannot watch the socket.
pub fn serve_control(
    listener: UnixListener,
    admin: Rc<Admin>,
    orders: mpsc::Sender<Order>,
) -> io::Result<impl Future<Output = ()>> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(MOST_CLIENTS));
    Ok(async move {
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else {
                // Descriptors have run out; they come back.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            if !is_one_of_us(&stream) {
                continue;
            }
            let (admin, orders) = (Rc::clone(&admin), orders.clone());
            tokio::task::spawn_local(async move {
                // A client that goes away is its own business.
                let _ = attend(stream, &admin, &orders).await;
                drop(place);
            });
        }
    })
}

/// Root, and the user that we are.
pub(super) fn is_one_of_us(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == geteuid().as_raw())
}

async fn attend(mut stream: UnixStream, admin: &Admin, orders: &mpsc::Sender<Order>) -> io::Result<()> {
    let mut come = Vec::new();
    let reply = match timeout(PATIENCE, message(&mut stream, &mut come)).await? {
        Ok(Request::Health) => {
            let stuck = admin.stuck_workers().await;
            let text = if stuck.is_empty() { "ok".to_owned() } else { format!("workers that are stuck: {stuck:?}") };
            Reply { done: stuck.is_empty(), text }
        }
        Ok(Request::Join { pid }) => return admin.succession.attend(&mut stream, &mut come, pid).await,
        Ok(Request::Reload) => {
            let (tell, told) = oneshot::channel();
            // Nobody takes orders any more while it stops.
            let _ = orders.send(Order::Reload(tell)).await;
            told.await.unwrap_or_else(|_| Reply { done: false, text: "zerohop is stopping".to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
        Ok(Request::Serving) | Err(_) => {
            let text = format!("zerohop {} does not know that request", env!("CARGO_PKG_VERSION"));
            Reply { done: false, text }
        }
    };
    timeout(PATIENCE, stream.write_all(&line::written(&reply)?)).await?
}

/// The next message of a peer.
pub(super) async fn message<M: serde::de::DeserializeOwned>(
    stream: &mut UnixStream,
    come: &mut Vec<u8>,
) -> io::Result<M> {
    loop {
        if let Some(message) = line::next(come)? {
            return Ok(message);
        }
        let mut buffer = [0; line::MAX_LINE];
        match stream.read(&mut buffer).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => come.extend_from_slice(&buffer[..read]),
        }
    }
}
