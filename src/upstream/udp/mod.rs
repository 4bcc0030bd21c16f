//! Questions to one server over a handful of connected UDP sockets.
//!
//! A connected socket hears ICMP errors, so that a dead server is known at once, and takes packets
//! from nobody but the server. Ports come from the kernel's own random choice; each socket is used
//! for a while and then replaced, so that neither an attacker nor a load balancer that pins flows
//! gets used to it.

mod habits;
mod port;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use rand::RngExt;
use tokio::time::Instant;

use super::{ExchangeError, Reply};
use crate::clock::Clock;
use crate::datagram::Batch;
use crate::dns::{Moment, Question};
pub use habits::UdpHabits;
use port::Port;

/// Sockets in use at once: with 16 bits of ID, 19 bits that an attacker has to guess beside the
/// port, which is one of some 28,000.
const SOCKETS: usize = 8;

/// Sockets for one question each, open at once. With more, questions share the others: descriptors
/// are left for clients.
const MOST_SINGLE: usize = 256;

/// Where a worker's replies from all servers are taken in.
pub(super) type Inbox = Rc<RefCell<Batch>>;

/// The sockets towards one server.
pub(super) struct Ports {
    server: SocketAddr,
    habits: UdpHabits,
    /// Held by each socket that is for one question.
    single: Rc<()>,
    sockets: RefCell<Vec<Rc<Port>>>,
    /// The socket whose packets have not been sent yet: those of one turn of the worker leave
    /// together.
    filling: RefCell<Weak<Port>>,
    inbox: Inbox,
    clock: Clock,
    late: Rc<dyn Fn(Moment)>,
}

impl Ports {
    /// `late` is told of replies that come when nobody waits for them any more, and when that was.
    pub(super) fn new(
        server: SocketAddr,
        habits: UdpHabits,
        inbox: Inbox,
        clock: Clock,
        late: impl Fn(Moment) + 'static,
    ) -> Self {
        let (single, sockets, filling) = (Rc::default(), RefCell::default(), RefCell::default());
        Self { server, habits, single, sockets, filling, inbox, clock, late: Rc::new(late) }
    }

    /// Asks once and waits for as long as the caller does. `None`: the reply was truncated. `sent`
    /// is told when the question is on its way.
    pub(super) async fn ask(&self, question: &Question, sent: impl FnOnce()) -> Result<Option<Reply>, ExchangeError> {
        // This holds one itself.
        if self.habits.port_per_query && Rc::strong_count(&self.single) <= MOST_SINGLE {
            let _single = Rc::clone(&self.single);
            return self.open().await?.ask(question, self.habits.random_case, sent).await;
        }
        self.choose().await?.ask(question, self.habits.random_case, sent).await
    }

    /// The socket that is being filled, else a random one.
    async fn choose(&self) -> io::Result<Rc<Port>> {
        if let Some(port) = self.filling.borrow().upgrade().filter(|port| port.is_filling()) {
            return Ok(port);
        }
        let port = self.random().await?;
        *self.filling.borrow_mut() = Rc::downgrade(&port);
        Ok(port)
    }

    /// One of the pool, which fills and renews itself as it is used.
    async fn random(&self) -> io::Result<Rc<Port>> {
        let now = Instant::now();
        self.sockets.borrow_mut().retain(|port| !port.is_worn(now));
        let index = rand::rng().random_range(0..SOCKETS);
        if let Some(port) = self.sockets.borrow().get(index) {
            return Ok(Rc::clone(port));
        }
        let port = self.open().await?;
        self.sockets.borrow_mut().push(Rc::clone(&port));
        Ok(port)
    }

    async fn open(&self) -> io::Result<Rc<Port>> {
        Port::open(self.server, &self.inbox, self.clock, Rc::clone(&self.late)).await
    }
}
