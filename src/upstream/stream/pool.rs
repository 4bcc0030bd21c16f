//! The connections of one worker to one server: [`MOST`] that take questions, and a question that
//! one of them loses is asked again on another.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::Failure;
use super::connection::{Connection, Place, STALL};
use super::link::Opening;
use crate::dns::Question;
use crate::dns::stream_query::Carrier;
use crate::metrics::WorkerSeries;
use crate::upstream::ExchangeError;

/// Connections at once that take questions (RFC 7766, section 6.2.2, asks for as few as will do).
const MOST: usize = 4;
/// Connections at once with those that only finish what they have. A server that answers slowly, and
/// few questions on each, would else have all others wait.
const MOST_WITH_WORN: usize = 2 * MOST;
/// Questions on a connection before another is opened. All that may wait in a worker are a few
/// thousand, so that IDs never run short.
const COMFORT: usize = 32;
/// How often a question is asked again whatever happened, so that it is sent three times at most
/// (RFC 9520, section 3.1).
const LOSSES: u32 = 2;
/// How often if the server has answered others since it was asked: it is alive.
const LOSSES_ALIVE: u32 = 6;

/// How long a server that is not who it must be is not tried again: a handshake costs both sides
/// more than an answer.
const DISTRUST: Duration = Duration::from_secs(1);

/// The connections to one server.
pub(crate) struct Pool {
    connect: Box<dyn Fn() -> Opening>,
    carrier: Carrier,
    series: Arc<WorkerSeries>,
    connections: RefCell<Vec<Rc<Connection>>>,
    /// Replies so far.
    replies: Cell<u64>,
    /// After how many replies, at least, the server last closed a connection with questions on it,
    /// and when.
    lost: Cell<Option<(u32, Instant)>>,
    /// Why there was no TLS with the server, and when.
    distrusted: RefCell<Option<(Rc<str>, Instant)>>,
    /// A connection has ended.
    ended: Rc<Notify>,
}

impl Pool {
    /// `series` are told of questions that have to wait for a connection.
    pub(crate) fn new(connect: impl Fn() -> Opening + 'static, carrier: Carrier, series: Arc<WorkerSeries>) -> Self {
        Self {
            connect: Box::new(connect),
            carrier,
            series,
            connections: RefCell::default(),
            replies: Cell::default(),
            lost: Cell::default(),
            distrusted: RefCell::default(),
            ended: Rc::default(),
        }
    }

    /// Asks and waits for as long as the caller does. `sent` is told each time that the question is
    /// on its way.
    pub(crate) async fn ask(&self, question: &Question, sent: impl Fn()) -> Result<Vec<u8>, ExchangeError> {
        if let Some((cause, at)) = &*self.distrusted.borrow()
            && at.elapsed() < DISTRUST
        {
            return Err(Failure::Tls(Rc::clone(cause)).into());
        }
        let before = self.replies.get();
        let mut losses = 0;
        loop {
            match self.place().await.ask(question, &sent).await {
                Ok(reply) => {
                    self.replies.set(self.replies.get() + 1);
                    return Ok(reply);
                }
                // The one that lost it may have answered others, or another connection meanwhile.
                Err(Failure::Lost { answered })
                    if losses < LOSSES || (answered > 0 || self.replies.get() > before) && losses < LOSSES_ALIVE =>
                {
                    losses += 1;
                    if (1..self.quota()).contains(&answered) {
                        self.lost.set(Some((answered, Instant::now())));
                    }
                }
                Err(Failure::Dismissed) if losses < LOSSES => losses += 1,
                Err(failure) => {
                    if let Failure::Tls(cause) = &failure {
                        *self.distrusted.borrow_mut() = Some((Rc::clone(cause), Instant::now()));
                    }
                    return Err(failure.into());
                }
            }
        }
    }

    /// Questions that a connection is given in its life: a server that closes with questions
    /// unanswered is sent no more on the next one than it answered. That doubles each second, since
    /// it may have been a restart.
    fn quota(&self) -> u32 {
        let Some((answered, at)) = self.lost.get() else { return u32::MAX };
        let seconds = at.elapsed().as_secs().min(u64::from(u32::BITS));
        u32::try_from(u64::from(answered) << seconds).unwrap_or(u32::MAX)
    }

    /// Closes the connections that nobody waits on.
    pub(crate) fn close_idle(&self) {
        self.connections.borrow().iter().filter(|connection| connection.load() == 0).for_each(|c| c.dismiss());
    }

    async fn place(&self) -> Place {
        if let Some(place) = self.try_place() {
            return place;
        }
        self.series.upstream_connections_full();
        loop {
            // Whether one has ended or one is silent by now.
            let _ = timeout(STALL, self.ended.notified()).await;
            if let Some(place) = self.try_place() {
                // There may be room for whoever waits next.
                self.ended.notify_one();
                return place;
            }
        }
    }

    /// A place on the first connection that is lively and has room in comfort, so that those behind
    /// it become idle and end; else on a new one; else on the one that has the fewest questions.
    /// `None` while as many as there may be are finishing what they have.
    fn try_place(&self) -> Option<Place> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.has_ended());
        let usable = || connections.iter().filter(|connection| connection.takes_more());
        if let Some(connection) = usable().find(|connection| connection.load() < COMFORT && !connection.is_quiet()) {
            return Some(connection.place());
        }
        let taking = connections.iter().filter(|connection| !connection.is_worn()).count();
        if taking >= MOST || connections.len() >= MOST_WITH_WORN {
            if let Some(connection) = usable().min_by_key(|connection| (connection.is_quiet(), connection.load())) {
                return Some(connection.place());
            }
            let silent = (0..connections.len()).filter(|&index| connections[index].is_stalled());
            let index = silent.min_by_key(|&index| connections[index].quiet_since())?;
            // Its questions are asked again elsewhere.
            connections.swap_remove(index).dismiss();
        }
        let opening = (self.connect)();
        let connection = Connection::open(opening, self.quota(), self.carrier, Rc::clone(&self.ended));
        let place = connection.place();
        connections.push(connection);
        Some(place)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.connections.borrow().iter().for_each(|connection| connection.dismiss());
    }
}
