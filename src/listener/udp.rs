//! The datagram loop: take in a batch, run the line over it, send the replies.

use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::bind::is_welcoming;
use super::context::Context;
use super::datagrams::{BATCH, Batch, ReturnPath};
use crate::dns::Protocol;
use crate::dns::response::MAX_UDP_PAYLOAD;
use crate::handler::{Client, Deferred, Handled};

/// Batches that are still taken in at a stop: what a receive buffer of 4 MiB holds of small packets,
/// which the kernel counts as 512 octets at least. What comes faster than it is answered would
/// otherwise keep a worker for ever.
const LAST_BATCHES: usize = 8192 / BATCH;

/// Serves one socket until the worker is told to stop. What the kernel has taken in by then is
/// still answered.
///
/// # Errors
/// When the runtime cannot watch the socket.
pub(super) async fn serve(socket: std::net::UdpSocket, context: Rc<Context>) -> io::Result<()> {
    let welcome = is_welcoming(socket.local_addr()?.ip());
    let socket = Rc::new(UdpSocket::from_std(socket)?);
    let mut batch = Batch::new();
    let mut stop = context.stop.clone();
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|&stop| stop) => break,
            ready = socket.readable() => {
                ready?;
                let received = receive(&socket, &mut batch);
                answer(received, &socket, &mut batch, welcome, &context).await;
            }
        }
    }
    for _ in 0..LAST_BATCHES {
        // ECONNREFUSED and the like are about replies to clients that are gone: nothing to act on.
        match batch.receive(socket.as_fd()).unwrap_or(0) {
            0 => break,
            received => answer(received, &socket, &mut batch, welcome, &context).await,
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Takes in a batch and returns how many packets it has.
fn receive(socket: &UdpSocket, batch: &mut Batch) -> usize {
    let mut received = 0;
    let _ = socket.try_io(Interest::READABLE, || {
        received = batch.receive(socket.as_fd())?;
        // A batch that is not full has emptied the socket; what comes later is told anew.
        if received < BATCH { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    received
}

/// Runs the line over a batch and sends the replies that are there at once.
async fn answer(received: usize, socket: &Rc<UdpSocket>, batch: &mut Batch, welcome: bool, context: &Rc<Context>) {
    {
        let mut handler = context.handler.borrow_mut();
        let now = context.clock.now();
        for index in 0..received {
            let client = Client { address: batch.client(index), protocol: Protocol::Udp, welcome, keepalive: None };
            let (packet, reply) = batch.packet(index);
            match handler.handle(packet, client, now, reply) {
                Handled::Replied(length) => batch.queue(index, length),
                Handled::Deferred(deferred) => reply_later(socket, *batch.path(index), deferred, context),
                Handled::Dropped => {}
            }
        }
    }
    let mut given_up = 0;
    // A full socket says so once; the kernel tells when there is room.
    while socket.try_io(Interest::WRITABLE, || batch.send(socket.as_fd(), &mut given_up)).is_err() {
        if socket.writable().await.is_err() {
            break;
        }
    }
    context.series.not_sent(given_up);
}

fn reply_later(socket: &Rc<UdpSocket>, path: ReturnPath, deferred: Deferred, context: &Rc<Context>) {
    let (socket, task_context) = (Rc::clone(socket), Rc::clone(context));
    context.spawn(async move {
        let (finished, _place) = deferred.resolve().await;
        let mut reply = [0; MAX_UDP_PAYLOAD as usize];
        let now = task_context.clock.now();
        let length = task_context.handler.borrow_mut().finish(&finished, now, &mut reply);
        if path.send(socket.as_fd(), &reply[..length]).is_err() {
            task_context.series.not_sent(1);
        }
    });
}
