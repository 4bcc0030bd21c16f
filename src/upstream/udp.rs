//! Questions to one server over a handful of connected UDP sockets.
//!
//! A connected socket hears ICMP errors, so that a dead server is known at once, and takes packets
//! from nobody but the server. Ports come from the kernel's own random choice; each socket is used
//! for a while and then replaced, so that neither an attacker nor a load balancer that pins flows
//! gets used to it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::{Rc, Weak};
use std::time::Duration;

use rand::RngExt;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::ExchangeError;
use super::matching::{Match, classify};
use crate::dns::Question;
use crate::dns::message::Header;
use crate::dns::query::write_upstream_query;
use crate::dns::response::MAX_UDP_PAYLOAD;

/// Sockets in use at once: with 16 bits of ID, 19 bits that an attacker has to guess beside the
/// port, which is one of some 28,000.
const SOCKETS: usize = 8;
/// After so many questions a socket takes no more.
const QUESTIONS_PER_SOCKET: u32 = 10_000;
/// After so long a socket takes no more questions.
const SOCKET_AGE: Duration = Duration::from_secs(60);
/// Room for any UDP payload: a server that ignores our size is still understood.
const RECEIVE_BUFFER: usize = 65_535;

/// The sockets towards one server.
pub(super) struct Ports {
    server: SocketAddr,
    sockets: RefCell<Vec<Rc<Port>>>,
    late: Rc<dyn Fn()>,
}

/// One connected socket and the questions that wait for a reply on it. It is closed when the pool
/// has replaced it and nobody waits on it any more.
struct Port {
    socket: Rc<UdpSocket>,
    waiting: RefCell<HashMap<u16, Waiting>>,
    opened: Instant,
    asked: Cell<u32>,
    late: Rc<dyn Fn()>,
    reader: AbortHandle,
}

struct Waiting {
    question: Question,
    /// `None` once the reply has been handed over. The ID stays taken until whoever asked lets go
    /// of it, so that they never let go of somebody else's.
    reply: Option<oneshot::Sender<Arrival>>,
}

/// The reply, `None` for one that was truncated; or what the network said instead.
type Arrival = Result<Option<Vec<u8>>, io::ErrorKind>;

/// Takes a question off its socket when nobody waits for the reply any more.
struct Registered<'p> {
    port: &'p Port,
    id: u16,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.port.waiting.borrow_mut().remove(&self.id);
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Ports {
    /// `late` is told of replies that come when nobody waits for them any more.
    pub(super) fn new(server: SocketAddr, late: impl Fn() + 'static) -> Self {
        Self { server, sockets: RefCell::default(), late: Rc::new(late) }
    }

    /// Asks once and waits for as long as the caller does. `None`: the reply was truncated. `sent`
    /// is told when the question is on its way.
    pub(super) async fn ask(&self, question: &Question, sent: impl FnOnce()) -> Result<Option<Vec<u8>>, ExchangeError> {
        let port = self.choose().await?;
        let (reply, arrival) = oneshot::channel();
        let registered = port.register(question, reply);
        let packet = write_upstream_query(question, registered.id, MAX_UDP_PAYLOAD);
        port.send(&packet).await?;
        sent();
        match arrival.await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(kind)) => Err(ExchangeError::Network(kind.into())),
            Err(_) => Err(ExchangeError::Closed),
        }
    }

    /// A random socket of the pool, which fills and renews itself as it is used.
    async fn choose(&self) -> io::Result<Rc<Port>> {
        self.sockets.borrow_mut().retain(|port| !port.is_worn());
        let index = rand::rng().random_range(0..SOCKETS);
        if let Some(port) = self.sockets.borrow().get(index) {
            return Ok(Rc::clone(port));
        }
        let port = Port::open(self.server, Rc::clone(&self.late)).await?;
        self.sockets.borrow_mut().push(Rc::clone(&port));
        Ok(port)
    }
}

impl Port {
    async fn open(server: SocketAddr, late: Rc<dyn Fn()>) -> io::Result<Rc<Self>> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = Rc::new(UdpSocket::bind(any).await?);
        socket.connect(server).await?;
        Ok(Rc::new_cyclic(|port| Self {
            socket: Rc::clone(&socket),
            waiting: RefCell::default(),
            opened: Instant::now(),
            asked: Cell::new(0),
            late,
            reader: tokio::task::spawn_local(read(socket, Weak::clone(port))).abort_handle(),
        }))
    }

    fn is_worn(&self) -> bool {
        self.asked.get() >= QUESTIONS_PER_SOCKET || self.opened.elapsed() >= SOCKET_AGE
    }

    /// Enters a question under an ID that no other question on this socket has.
    fn register(&self, question: &Question, reply: oneshot::Sender<Arrival>) -> Registered<'_> {
        self.asked.set(self.asked.get() + 1);
        let mut waiting = self.waiting.borrow_mut();
        // A socket takes at most QUESTIONS_PER_SOCKET, so that a free ID is found at once.
        let id = std::iter::repeat_with(|| rand::rng().random()).find(|id| !waiting.contains_key(id)).unwrap_or(0);
        waiting.insert(id, Waiting { question: question.clone(), reply: Some(reply) });
        Registered { port: self, id }
    }

    async fn send(&self, packet: &[u8]) -> io::Result<()> {
        match self.socket.send(packet).await {
            // The error of an earlier packet, reported late; this one has not been sent yet.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.socket.send(packet).await?,
            other => other?,
        };
        Ok(())
    }

    /// Gives a packet to the question it replies to, if there is one.
    fn deliver(&self, packet: &[u8]) {
        let Some(id) = packet.first_chunk().map(|id| u16::from_be_bytes(*id)) else { return };
        let mut waiting = self.waiting.borrow_mut();
        let Some(asked) = waiting.get_mut(&id) else {
            // Only the server is heard on a connected socket.
            if Header::read(packet).is_ok_and(Header::is_response) {
                (self.late)();
            }
            return;
        };
        let arrival = match classify(packet, id, &asked.question) {
            Match::Reply => Some(packet.to_vec()),
            Match::Truncated => None,
            Match::Foreign => return,
        };
        if let Some(reply) = asked.reply.take() {
            let _ = reply.send(Ok(arrival));
        }
    }

    fn fail_all(&self, kind: io::ErrorKind) {
        for reply in self.waiting.borrow_mut().values_mut().filter_map(|asked| asked.reply.take()) {
            let _ = reply.send(Err(kind));
        }
    }
}

/// Reads replies until the port is gone.
async fn read(socket: Rc<UdpSocket>, port: Weak<Port>) {
    let mut buffer = vec![0; RECEIVE_BUFFER];
    loop {
        let received = socket.recv(&mut buffer).await;
        let Some(port) = port.upgrade() else { return };
        match received {
            Ok(length) => port.deliver(&buffer[..length]),
            Err(error) => port.fail_all(error.kind()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::RecordType;

    fn question(first: u8) -> Question {
        Question::new(&[1, first, 0], RecordType::A, false, false).unwrap()
    }

    fn reply_to(query: &[u8]) -> Vec<u8> {
        let mut reply = query.to_vec();
        reply[2] |= 0x80;
        reply
    }

    async fn server() -> (UdpSocket, Ports) {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let ports = Ports::new(server.local_addr().unwrap(), || ());
        (server, ports)
    }

    async fn receive(server: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 1500];
        let (length, from) = server.recv_from(&mut buffer).await.unwrap();
        (buffer[..length].to_vec(), from)
    }

    fn local<F: Future>(test: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test)
    }

    #[test]
    fn foreign_packets_are_dropped_and_waiting_goes_on() {
        local(async {
            let (server, ports) = server().await;
            let asked = question(b'a');
            let answering = async {
                let (query, from) = receive(&server).await;
                let right = reply_to(&query);
                let mut wrong_id = right.clone();
                wrong_id[0] ^= 0xff;
                let mut wrong_name = right.clone();
                wrong_name[13] = b'b';
                let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                stranger.send_to(&right, from).await.unwrap();
                for packet in [&wrong_id[..], &wrong_name, &query, b"x", &right] {
                    server.send_to(packet, from).await.unwrap();
                }
                right
            };
            let (reply, right) = tokio::join!(ports.ask(&asked, || ()), answering);
            assert_eq!(reply.unwrap().unwrap(), right);
        });
    }

    #[test]
    fn an_id_stays_taken_until_whoever_asked_lets_go() {
        local(async {
            let (_server, ports) = server().await;
            let port = ports.choose().await.unwrap();
            let (reply, mut arrival) = oneshot::channel();
            let registered = port.register(&question(b'a'), reply);
            let packet = reply_to(&write_upstream_query(&question(b'a'), registered.id, MAX_UDP_PAYLOAD));
            port.deliver(&packet);
            assert!(arrival.try_recv().is_ok());
            assert!(port.waiting.borrow().contains_key(&registered.id));
            port.deliver(&packet);
            drop(registered);
            assert!(port.waiting.borrow().is_empty());
        });
    }

    #[test]
    fn a_reply_that_comes_too_late_is_still_a_sign_of_life() {
        local(async {
            let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let (late, mut told) = tokio::sync::mpsc::unbounded_channel();
            let ports = Ports::new(server.local_addr().unwrap(), move || late.send(()).unwrap());
            let asked = question(b'a');
            let giving_up = async {
                tokio::select! {
                    _ = ports.ask(&asked, || ()) => panic!("nobody has answered"),
                    query = receive(&server) => query,
                }
            };
            let (query, from) = giving_up.await;
            server.send_to(&query, from).await.unwrap();
            server.send_to(&reply_to(&query), from).await.unwrap();
            told.recv().await.unwrap();
            assert!(told.try_recv().is_err(), "a question is no reply");
        });
    }

    #[test]
    fn a_truncated_reply_is_told_from_a_whole_one() {
        local(async {
            let (server, ports) = server().await;
            let asked = question(b'a');
            let answering = async {
                let (query, from) = receive(&server).await;
                let mut reply = reply_to(&query);
                reply[2] |= 0x02;
                server.send_to(&reply, from).await.unwrap();
            };
            let (reply, ()) = tokio::join!(ports.ask(&asked, || ()), answering);
            assert!(reply.unwrap().is_none());
        });
    }

    #[test]
    fn a_closed_port_is_known_at_once() {
        local(async {
            let (server, ports) = server().await;
            drop(server);
            assert!(matches!(ports.ask(&question(b'a'), || ()).await, Err(ExchangeError::Network(_))));
        });
    }

    #[test]
    fn ids_and_ports_vary_and_worn_sockets_are_replaced() {
        local(async {
            let (server, ports) = server().await;
            let mut ids = std::collections::HashSet::new();
            let mut sources = std::collections::HashSet::new();
            for _ in 0..200 {
                let asked = question(b'a');
                let answering = async {
                    let (query, from) = receive(&server).await;
                    server.send_to(&reply_to(&query), from).await.unwrap();
                    (u16::from_be_bytes([query[0], query[1]]), from)
                };
                let (reply, (id, from)) = tokio::join!(ports.ask(&asked, || ()), answering);
                reply.unwrap();
                ids.insert(id);
                sources.insert(from);
            }
            assert!(ids.len() > 190, "{}", ids.len());
            assert_eq!(sources.len(), SOCKETS);
            assert!(ports.sockets.borrow().iter().all(|port| port.waiting.borrow().is_empty()));
            ports.sockets.borrow().iter().for_each(|port| port.asked.set(QUESTIONS_PER_SOCKET));
            let port = ports.choose().await.unwrap();
            assert_eq!((port.asked.get(), ports.sockets.borrow().len()), (0, 1));
        });
    }
}
