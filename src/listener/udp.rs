//! The datagram loop: take in a batch, run the line over it, send the replies.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::pin;
use std::rc::Rc;

use tokio::task::spawn_local;

use super::bind::is_welcoming;
use super::context::Context;
use super::parcel::Question;
use super::post::{Need, Service};
use crate::datagram::{BATCH, Batch, Outbox, ReturnPath, Socket};
use crate::dns::Protocol;
use crate::dns::response::MAX_UDP_PAYLOAD;
use crate::handler::{Client, Deferred, Handled};

/// Batches that are still taken in at a stop: what a receive buffer of 4 MiB holds of small packets,
/// which the kernel counts as 512 octets at least. What comes faster than it is answered would
/// otherwise keep a worker for ever.
const LAST_BATCHES: usize = 8192 / BATCH;

/// A socket, and the late replies that leave by it together.
struct Way {
    socket: Socket,
    address: SocketAddr,
    late: RefCell<Outbox>,
    /// Where those are written before they are laid into it.
    reply: RefCell<[u8; MAX_UDP_PAYLOAD as usize]>,
    /// Until the last reply has left by it.
    _need: Need,
}

/// Serves one socket until that is over. What the kernel has taken in by then is
/// still answered.
///
/// # Errors
/// When the runtime cannot watch the socket.
pub(super) async fn serve(
    socket: std::net::UdpSocket,
    need: Need,
    mut service: Service,
    context: Rc<Context>,
) -> io::Result<()> {
    let address = socket.local_addr()?;
    let welcome = is_welcoming(address.ip());
    let way = Rc::new(Way {
        address,
        socket: Socket::new(socket)?,
        late: RefCell::new(Outbox::new()),
        reply: RefCell::new([0; MAX_UDP_PAYLOAD as usize]),
        _need: need,
    });
    take_up(&way, welcome, &context).await;
    let mut batch = Batch::new();
    // One wait, not begun and given up anew with every batch.
    let mut stopped = pin!(service.over());
    loop {
        tokio::select! {
            // In this order: to ask after the end takes 190 instructions, which packets need not wait for.
            biased;
            arrival = way.socket.packets() => {
                // ECONNREFUSED and the like are about replies to clients that are gone: nothing to act on.
                let received = arrival?.receive(&mut batch).unwrap_or(0);
                answer(received, &way, &mut batch, welcome, &context).await;
                if (1..BATCH).contains(&received) {
                    continue;
                }
            }
            () = &mut stopped => break,
        }
        // More has come already. It must not keep the replies of upstreams from those who wait for them.
        tokio::select! {
            biased;
            () = &mut stopped => break,
            () = tokio::task::yield_now() => {}
        }
    }
    // Where somebody keeps the socket, what is queued there is the next process's. One that a reload has
    // silenced is nobody's but ours: it is connected.
    let is_left = context.unanswered.is_kept() && !way.socket.is_connected();
    let last = if is_left { 0 } else { LAST_BATCHES };
    for _ in 0..last {
        match batch.receive(way.socket.as_fd()).unwrap_or(0) {
            0 => break,
            received => answer(received, &way, &mut batch, welcome, &context).await,
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Runs the line over a batch and sends the replies that are there at once.
async fn answer(received: usize, way: &Rc<Way>, batch: &mut Batch, welcome: bool, context: &Rc<Context>) {
    {
        let mut handler = context.handler.borrow_mut();
        let now = context.clock.now();
        for index in 0..received {
            let client = Client { address: batch.client(index), protocol: Protocol::Udp, welcome, keepalive: None };
            let (packet, reply) = batch.packet(index);
            match handler.handle(packet, client, now, reply) {
                Handled::Replied(length) => batch.queue(index, length),
                Handled::Deferred(deferred) => reply_later(way, *batch.path(index), deferred, context),
                Handled::Dropped => {}
            }
        }
    }
    let mut given_up = 0;
    // A full socket says so once; the kernel tells when there is room.
    while batch.send(way.socket.as_fd(), &mut given_up).is_err() {
        if way.socket.room().await.is_err() {
            break;
        }
    }
    context.series.not_sent(given_up);
}

/// Answers what came in at this address and the process before did not.
async fn take_up(way: &Rc<Way>, welcome: bool, context: &Rc<Context>) {
    loop {
        let questions = context.unanswered.take(way.address, BATCH);
        if questions.is_empty() {
            return;
        }
        for question in questions {
            let Some(path) = ReturnPath::to(question.client, question.asked) else { continue };
            let client = Client { address: question.client.ip(), protocol: Protocol::Udp, welcome, keepalive: None };
            let mut reply = way.reply.borrow_mut();
            let handled =
                context.handler.borrow_mut().handle(&question.packet, client, context.clock.now(), &mut *reply);
            match handled {
                Handled::Replied(length) => way.send(&path, &reply[..length], context),
                Handled::Deferred(deferred) => reply_later(way, path, deferred, context),
                Handled::Dropped => {}
            }
        }
        tokio::task::yield_now().await;
    }
}

impl Way {
    /// Sends a reply with those of all tasks that are ready.
    fn send(self: &Rc<Self>, path: &ReturnPath, reply: &[u8], context: &Rc<Context>) {
        if self.late.borrow_mut().push(Some(path), |octets| octets.extend_from_slice(reply)) {
            // Behind those tasks.
            context.spawn(send_late(Rc::clone(self), Rc::clone(context)));
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        // The task that was to send them has gone first.
        while !self.late.get_mut().is_empty() {
            match self.late.get_mut().send(self.socket.as_fd()) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => self.late.get_mut().skip(),
                _ => break,
            }
        }
    }
}

/// A question that its client gets a reply to later, or the next process.
struct Late {
    way: Rc<Way>,
    path: ReturnPath,
    deferred: Box<Deferred>,
    context: Rc<Context>,
    is_answered: bool,
}

impl Drop for Late {
    fn drop(&mut self) {
        if self.is_answered || !self.context.unanswered.is_kept() {
            return;
        }
        let Some(client) = self.path.peer() else { return };
        let (listener, asked) = (self.way.address, self.path.asked());
        self.context.unanswered.add(Question { listener, client, asked, packet: self.deferred.packet() });
    }
}

fn reply_later(way: &Rc<Way>, path: ReturnPath, deferred: Box<Deferred>, context: &Rc<Context>) {
    let (way, context) = (Rc::clone(way), Rc::clone(context));
    let busy = context.busy.clone();
    let mut late = Late { way, path, deferred, context, is_answered: false };
    // Every miss is one of these, some kilobytes large, and being spawned is to be moved four times.
    spawn_local(Box::pin(async move {
        let outcome = late.deferred.resolve().await;
        let Late { way, path, deferred, context, is_answered } = &mut late;
        let mut reply = way.reply.borrow_mut();
        let length = context.handler.borrow_mut().finish(deferred, &outcome, context.clock.now(), &mut *reply);
        way.send(path, &reply[..length], context);
        *is_answered = true;
        drop(busy);
    }));
}

async fn send_late(way: Rc<Way>, context: Rc<Context>) {
    loop {
        let sent = way.late.borrow_mut().send(way.socket.as_fd());
        match sent {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if way.socket.room().await.is_err() {
                    return;
                }
            }
            // It is about this one reply; those behind it have a chance.
            Err(_) => {
                way.late.borrow_mut().skip();
                context.series.not_sent(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
    use std::time::Duration;

    use super::super::bind::{Listener, open};
    use super::super::inherited::Inherited;
    use super::*;
    use crate::datagram::Asked;

    fn client(to: SocketAddr) -> UdpSocket {
        let any = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let client = UdpSocket::bind(any).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.connect(to).unwrap();
        client
    }

    fn server(listen: &str) -> UdpSocket {
        let mut workers = [Vec::new()];
        open(listen.parse().unwrap(), &mut Inherited::default(), &mut workers, "[server] listen").unwrap();
        match workers[0].remove(0) {
            Listener::Udp(udp) => udp,
            other => panic!("{other:?} came first"),
        }
    }

    /// Packets go out from clients, come back as echoes through one batch.
    fn echo(listen: &str, ask_at: &str, clients: usize) {
        let server = server(listen);
        let port = server.local_addr().unwrap().port();
        let to = SocketAddr::new(ask_at.parse().unwrap(), port);
        let clients: Vec<UdpSocket> = (0..clients).map(|_| client(to)).collect();
        for (number, client) in clients.iter().enumerate() {
            client.send(format!("packet {number}").as_bytes()).unwrap();
        }
        let (mut batch, mut outbox) = (Batch::new(), Outbox::new());
        let mut seen = 0;
        while seen < clients.len() {
            let received = batch.receive(server.as_fd()).unwrap();
            assert!(received > 0);
            for index in 0..received {
                assert_eq!(batch.client(index), client_address(to));
                let (packet, reply) = batch.packet(index);
                let length = packet.len();
                reply[..length].copy_from_slice(packet);
                if index % 2 == 0 {
                    batch.queue(index, length);
                } else {
                    let text = batch.packet(index).0.to_vec();
                    outbox.push(Some(batch.path(index)), |octets| octets.extend_from_slice(&text));
                }
            }
            let mut given_up = 0;
            batch.send(server.as_fd(), &mut given_up).unwrap();
            assert_eq!(given_up, 0);
            outbox.send(server.as_fd()).unwrap();
            seen += received;
        }
        for (number, client) in clients.iter().enumerate() {
            let mut buffer = [0; 100];
            // The client is connected: only a reply from the address it asked arrives.
            let length = client.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], format!("packet {number}").as_bytes());
        }
        let empty = batch.receive(server.as_fd()).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
    }

    fn client_address(to: SocketAddr) -> IpAddr {
        if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
    }

    #[test]
    fn replies_reach_the_clients_that_asked() {
        echo("127.0.0.1:0", "127.0.0.1", 150);
        echo("[::1]:0", "::1", 3);
    }

    #[test]
    fn on_a_wildcard_address_the_reply_leaves_from_the_address_that_was_asked() {
        echo("0.0.0.0:0", "127.0.0.77", 5);
        echo("[::]:0", "::1", 5);
    }

    #[test]
    fn a_way_back_that_another_process_was_told_of_is_the_same() {
        for (listen, ask_at) in
            [("127.0.0.1:0", "127.0.0.1"), ("0.0.0.0:0", "127.0.0.77"), ("[::1]:0", "::1"), ("[::]:0", "::1")]
        {
            let server = server(listen);
            let port = server.local_addr().unwrap().port();
            let client = client(SocketAddr::new(ask_at.parse().unwrap(), port));
            client.send(b"question").unwrap();
            let mut batch = Batch::new();
            assert_eq!(batch.receive(server.as_fd()).unwrap(), 1);
            let path = batch.path(0);
            assert_eq!(path.peer(), Some(client.local_addr().unwrap()));
            let is_wildcard = server.local_addr().unwrap().ip().is_unspecified();
            assert_eq!(path.asked().map(|asked| asked.address), is_wildcard.then(|| ask_at.parse().unwrap()));
            let told = ReturnPath::to(path.peer().unwrap(), path.asked()).unwrap();
            assert_eq!((told.peer(), told.asked()), (path.peer(), path.asked()));
            let mut outbox = Outbox::new();
            outbox.push(Some(&told), |octets| octets.extend_from_slice(b"reply"));
            outbox.send(server.as_fd()).unwrap();
            // The client is connected: only a reply from the address it asked arrives.
            assert_eq!(client.recv(&mut [0; 10]).unwrap(), 5);
        }
        let (v4, v6) = ("127.0.0.1:5".parse().unwrap(), "[::1]:5".parse().unwrap());
        let asked = |address: &str| Some(Asked { address: address.parse().unwrap(), link: 7 });
        assert!(ReturnPath::to(v4, asked("::1")).is_none() && ReturnPath::to(v6, asked("127.0.0.1")).is_none());
        let linked = ReturnPath::to(v6, asked("fe80::1")).unwrap();
        assert_eq!(linked.asked(), asked("fe80::1"));
    }

    #[test]
    fn short_messages_leave_no_mark_on_later_ones() {
        let server = server("0.0.0.0:0");
        let port = server.local_addr().unwrap().port();
        let mut batch = Batch::new();
        for last in [5u8, 9, 200] {
            let to = SocketAddr::new(IpAddr::from([127, 0, 0, last]), port);
            let client = client(to);
            client.send(&vec![last; usize::from(last)]).unwrap();
            assert_eq!(batch.receive(server.as_fd()).unwrap(), 1);
            assert_eq!(batch.packet(0).0.len(), usize::from(last));
            batch.queue(0, 4);
            let mut given_up = 0;
            batch.send(server.as_fd(), &mut given_up).unwrap();
            assert_eq!(given_up, 0);
            assert_eq!(client.recv(&mut [0; 10]).unwrap(), 4);
        }
    }
}
