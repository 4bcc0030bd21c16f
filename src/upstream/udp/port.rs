//! One connected UDP socket.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use foldhash::fast::RandomState;
use rand::RngExt;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::Instant;

use super::Inbox;
use super::habits::in_random_case;
use crate::clock::Clock;
use crate::datagram::{BATCH, Outbox, PACKET, Socket};
use crate::dns::message::Header;
use crate::dns::query::append_upstream_query;
use crate::dns::response::MAX_UDP_PAYLOAD;
use crate::dns::stored_answer::HEADER;
use crate::dns::{Moment, Question};
use crate::upstream::matching::{Match, classify};
use crate::upstream::{ExchangeError, Reply};

/// After so many questions a socket takes no more.
pub(super) const QUESTIONS_PER_SOCKET: u32 = 10_000;
/// After so long a socket takes no more questions.
const SOCKET_AGE: Duration = Duration::from_secs(60);

/// One connected socket and the questions that wait for a reply on it. It is closed when the pool
/// has replaced it and nobody waits on it any more.
pub(super) struct Port {
    socket: Rc<Socket>,
    pub(super) waiting: RefCell<HashMap<u16, Waiting, RandomState>>,
    outbox: RefCell<Outbox>,
    /// The IDs of what is in the outbox.
    posted: RefCell<Vec<u16>>,
    opened: Instant,
    pub(super) asked: Cell<u32>,
    late: Rc<dyn Fn(Moment)>,
    reader: AbortHandle,
}

pub(super) struct Waiting {
    question: Question,
    /// The name as it was sent, when that is not in lower case.
    spelled: Option<Box<[u8]>>,
    state: State,
}

enum State {
    /// Whoever asked is woken by this, once they have begun to wait.
    Asked(Option<Waker>),
    Arrived(Arrival),
    /// The reply has been handed over. The ID stays taken until whoever asked lets go of it, so that
    /// they never let go of somebody else's.
    Over,
}

impl Waiting {
    /// Hands over what has come.
    fn arrived(&mut self, arrival: Arrival) {
        if let State::Asked(waker) = &mut self.state {
            let waker = waker.take();
            self.state = State::Arrived(arrival);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Arrival> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Arrived(arrival) => Poll::Ready(arrival),
            State::Asked(_) => {
                self.state = State::Asked(Some(context.waker().clone()));
                Poll::Pending
            }
            State::Over => Poll::Pending,
        }
    }

    /// Whether the reply has the name as it was sent; some have no name at all, and no data.
    fn is_spelled_in(&self, reply: &[u8]) -> bool {
        let Some(spelled) = &self.spelled else { return true };
        reply[4..6] == [0, 0] || reply.len() == HEADER || reply[HEADER..].starts_with(spelled)
    }

    /// The reply with the name in lower case, which names in its records may point to.
    fn in_lower_case(&self, reply: &[u8]) -> Vec<u8> {
        let mut reply = reply.to_vec();
        if let Some(spelled) = &self.spelled
            && reply[HEADER..].starts_with(spelled)
        {
            reply[HEADER..HEADER + spelled.len()].copy_from_slice(self.question.name());
        }
        reply
    }
}

/// The reply, `None` for one that was truncated or has the name in another case; or what the network
/// said instead.
pub(super) type Arrival = Result<Option<Reply>, io::ErrorKind>;

/// Takes a question off its socket when nobody waits for the reply any more.
pub(super) struct Registered<'p> {
    port: &'p Port,
    pub(super) id: u16,
}

impl Registered<'_> {
    /// Waits until something arrives.
    pub(super) async fn arrival(&self) -> Arrival {
        let poll = |context: &mut Context<'_>| match self.port.waiting.borrow_mut().get_mut(&self.id) {
            Some(asked) => asked.poll(context),
            // It is there until this is dropped.
            None => Poll::Ready(Ok(None)),
        };
        poll_fn(poll).await
    }
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

impl Port {
    pub(super) async fn open(
        server: SocketAddr,
        inbox: &Inbox,
        clock: Clock,
        late: Rc<dyn Fn(Moment)>,
    ) -> io::Result<Rc<Self>> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(server)?;
        let socket = Rc::new(Socket::new(socket)?);
        Ok(Rc::new_cyclic(|port| Self {
            socket: Rc::clone(&socket),
            waiting: RefCell::default(),
            outbox: RefCell::new(Outbox::new()),
            posted: RefCell::default(),
            opened: Instant::now(),
            asked: Cell::new(0),
            late,
            reader: spawn_local(read(socket, Weak::clone(port), Rc::clone(inbox), clock)).abort_handle(),
        }))
    }

    /// Asks once, and waits as [`super::Ports::ask`] says.
    pub(super) async fn ask(
        self: Rc<Self>,
        question: &Question,
        random_case: bool,
        sent: impl FnOnce(),
    ) -> Result<Option<Reply>, ExchangeError> {
        let spelled = random_case.then(|| in_random_case(question.name()));
        let registered = self.register(question, spelled.clone());
        if self.post(question, registered.id, spelled.as_deref()) {
            // Behind all tasks that are ready, whose questions go along.
            spawn_local(send(Rc::clone(&self)));
        }
        sent();
        registered.arrival().await.map_err(|kind| ExchangeError::Network(kind.into()))
    }

    pub(super) fn is_worn(&self, now: Instant) -> bool {
        self.asked.get() >= QUESTIONS_PER_SOCKET || now.duration_since(self.opened) >= SOCKET_AGE
    }

    /// Enters a question under an ID that no other question on this socket has.
    pub(super) fn register(&self, question: &Question, spelled: Option<Box<[u8]>>) -> Registered<'_> {
        self.asked.set(self.asked.get() + 1);
        let mut waiting = self.waiting.borrow_mut();
        // A socket takes at most QUESTIONS_PER_SOCKET, so that a free ID is found at once.
        let id = std::iter::repeat_with(|| rand::rng().random()).find(|id| !waiting.contains_key(id)).unwrap_or(0);
        waiting.insert(id, Waiting { question: question.clone(), spelled, state: State::Asked(None) });
        Registered { port: self, id }
    }

    /// Lays a query out to be sent, and says whether it is the first.
    fn post(&self, question: &Question, id: u16, spelled: Option<&[u8]>) -> bool {
        self.posted.borrow_mut().push(id);
        self.outbox.borrow_mut().push(None, |octets| {
            let name_at = octets.len() + HEADER;
            append_upstream_query(question, id, MAX_UDP_PAYLOAD, octets);
            if let Some(spelled) = spelled {
                octets[name_at..name_at + spelled.len()].copy_from_slice(spelled);
            }
        })
    }

    /// Whether what is posted now leaves with others.
    pub(super) fn is_filling(&self) -> bool {
        (1..BATCH).contains(&self.outbox.borrow().len())
    }

    /// Gives a packet to the question it replies to, if there is one.
    pub(super) fn deliver(&self, packet: &[u8], arrived: Moment) {
        let Some(id) = packet.first_chunk().map(|id| u16::from_be_bytes(*id)) else { return };
        let mut waiting = self.waiting.borrow_mut();
        let Some(asked) = waiting.get_mut(&id) else {
            // Only the server is heard on a connected socket.
            if Header::read(packet).is_ok_and(Header::is_response) {
                (self.late)(arrived);
            }
            return;
        };
        let reply = match classify(packet, id, &asked.question) {
            // What fills all the room may have been longer.
            Match::Reply if packet.len() < PACKET && asked.is_spelled_in(packet) => Some(asked.in_lower_case(packet)),
            Match::Reply | Match::Truncated => None,
            Match::Foreign => return,
        };
        asked.arrived(Ok(reply.map(|octets| Reply { octets, arrived })));
    }

    /// Nobody who waits gets a reply, but for those whose question has not been sent yet.
    fn fail_sent(&self, kind: io::ErrorKind) {
        let (mut waiting, posted) = (self.waiting.borrow_mut(), self.posted.borrow());
        let sent = waiting.iter_mut().filter(|(id, _)| !posted.contains(id));
        sent.for_each(|(_, asked)| asked.arrived(Err(kind)));
    }
}

/// Sends what has been posted.
async fn send(port: Rc<Port>) {
    let mut refused = false;
    loop {
        let sent = port.outbox.borrow_mut().send(port.socket.as_fd());
        let Err(error) = sent else { break };
        match error.kind() {
            io::ErrorKind::WouldBlock => {
                if port.socket.room().await.is_err() {
                    break;
                }
            }
            // The error of an earlier packet, reported late; this one has not been sent yet.
            kind @ io::ErrorKind::ConnectionRefused if !refused => {
                refused = true;
                port.fail_sent(kind);
            }
            // What cannot be sent fails with all others, and is asked of somebody else.
            kind => {
                port.outbox.borrow_mut().clear();
                port.posted.borrow_mut().clear();
                port.fail_sent(kind);
            }
        }
    }
    port.posted.borrow_mut().clear();
}

/// Reads replies until the port is gone.
async fn read(socket: Rc<Socket>, port: Weak<Port>, inbox: Inbox, clock: Clock) {
    loop {
        let arrival = socket.arrival().await;
        let Some(port) = port.upgrade() else { return };
        let mut batch = inbox.borrow_mut();
        let received = arrival.and_then(|arrival| arrival.receive(&mut batch));
        let now = clock.now();
        match received {
            Ok(received) => (0..received).for_each(|index| port.deliver(batch.packet(index).0, now)),
            // That is no reply, but to be read like one.
            Err(error) => port.fail_sent(error.kind()),
        }
    }
}
