//! The datagram loop: take in a batch, run the line over it, send the replies.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use tokio::io::unix::AsyncFd;

use super::bind::is_welcoming;
use super::datagrams::{BATCH, Batch, ReturnPath};
use super::worker::Context;
use crate::dns::Protocol;
use crate::dns::response::MAX_UDP_PAYLOAD;
use crate::handler::{Client, Deferred, Handled};

/// Serves one socket until the worker is told to stop. What the kernel has taken in by then is
/// still answered.
///
/// # Errors
/// When the runtime cannot watch the socket.
pub(super) async fn serve(socket: UdpSocket, context: Rc<Context>) -> io::Result<()> {
    let welcome = is_welcoming(socket.local_addr()?.ip());
    let socket = Rc::new(AsyncFd::new(socket)?);
    let mut batch = Batch::new();
    let mut stop = context.stop.clone();
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|&stop| stop) => break,
            ready = socket.readable() => {
                let mut ready = ready?;
                // A batch that is not full has emptied the socket; what comes later is told anew.
                if take_batch(&socket, &mut batch, welcome, &context).await < BATCH {
                    ready.clear_ready();
                }
            }
        }
    }
    while take_batch(&socket, &mut batch, welcome, &context).await > 0 {}
    Ok(())
}

/// Answers one batch and returns how many packets it had.
async fn take_batch(
    socket: &Rc<AsyncFd<UdpSocket>>,
    batch: &mut Batch,
    welcome: bool,
    context: &Rc<Context>,
) -> usize {
    // ECONNREFUSED and the like are about replies to clients that are gone: nothing to act on.
    let received = batch.receive(descriptor(socket)).unwrap_or(0);
    if received == 0 {
        return 0;
    }
    {
        let mut handler = context.handler.borrow_mut();
        let now = context.clock.now();
        for index in 0..received {
            let client = Client { address: batch.client(index), protocol: Protocol::Udp, welcome };
            let (packet, reply) = batch.packet(index);
            match handler.handle(packet, client, now, reply) {
                Handled::Replied(length) => batch.queue(index, length),
                Handled::Deferred(deferred) => reply_later(socket, *batch.path(index), deferred, context),
                Handled::Dropped => {}
            }
        }
    }
    loop {
        match batch.send(descriptor(socket)) {
            Ok(0) => break,
            Ok(given_up) => {
                context.series.not_sent(given_up);
                break;
            }
            // The socket is full: the kernel will say when there is room.
            Err(_) => {
                if let Ok(mut ready) = socket.writable().await {
                    ready.clear_ready();
                }
            }
        }
    }
    received
}

fn reply_later(socket: &Rc<AsyncFd<UdpSocket>>, path: ReturnPath, deferred: Deferred, context: &Rc<Context>) {
    let (socket, task_context) = (Rc::clone(socket), Rc::clone(context));
    context.spawn(async move {
        let finished = deferred.resolve().await;
        let mut reply = [0; MAX_UDP_PAYLOAD as usize];
        let now = task_context.clock.now();
        let length = task_context.handler.borrow_mut().finish(&finished, now, &mut reply);
        if path.send(descriptor(&socket), &reply[..length]).is_err() {
            task_context.series.not_sent(1);
        }
    });
}

fn descriptor(socket: &AsyncFd<UdpSocket>) -> BorrowedFd<'_> {
    socket.get_ref().as_fd()
}
