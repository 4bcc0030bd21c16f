//! One connection to a server: questions go out one behind the other, replies come in any order
//! (RFC 7766, sections 6.2.1.1 and 7). A question is put on it under an ID that no other has there,
//! and gets its reply, or is told how the connection ended.

mod calls;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf, split};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::link::{Calls, Link, Opened, Opening, Stream};
use super::{Failure, Tls};
use crate::dns::Question;
use crate::dns::stream_query::{Carrier, idle_limit, write_stream_query};
use crate::upstream::matching::{Match, classify};

/// How long a connection may be idle unless the server says otherwise.
const IDLE: Duration = Duration::from_secs(10);
/// The longest that a server's word on that is taken for.
const MAX_IDLE: Duration = Duration::from_secs(120);
/// After so long a connection takes no more questions, and up to [`AGE_JITTER`] later: a ClusterIP
/// stays with the pod that it chose for a connection.
const AGE: Duration = Duration::from_secs(240);
const AGE_JITTER: Duration = Duration::from_secs(120);
/// How long opening may take; nobody waits longer for an answer.
const OPENING: Duration = Duration::from_secs(4);
/// How long the end of a connection may take to be said.
const CLOSING: Duration = Duration::from_secs(1);
/// Nothing comes for so long while questions wait: new ones had better go elsewhere. Less than what
/// whoever asks waits until it sends a question again, so that this goes elsewhere, too.
const QUIET: Duration = Duration::from_millis(300);
/// Nothing comes for so long: it may have to make room for another.
pub(super) const STALL: Duration = Duration::from_secs(1);
/// Octets that are read at once.
const READ_BUFFER: usize = 8 * 1024;

/// A connection that is being opened, is open, or has ended. It lives as long as its task.
pub(super) struct Connection {
    state: watch::Sender<State>,
    /// Of a link that has them, while it is open.
    calls: RefCell<Option<Rc<dyn Calls>>>,
    /// For one over TLS that has been opened.
    tls: OnceCell<(SocketAddr, Arc<Tls>)>,
    waiting: RefCell<HashMap<u16, Waiting>>,
    /// Messages with their lengths, to be written.
    outgoing: RefCell<Vec<u8>>,
    to_write: Notify,
    /// Something has changed for [`Connection::idle`].
    eased: Notify,
    /// Told to end.
    dismissed: Notify,
    /// Questions that have a place on it, sent or not.
    load: Cell<usize>,
    asked: Cell<u32>,
    answered: Cell<u32>,
    /// The most questions it takes in its life.
    quota: u32,
    carrier: Carrier,
    used: Cell<Instant>,
    /// Since when nothing has come that was waited for.
    quiet_since: Cell<Instant>,
    idle_limit: Cell<Duration>,
    /// When it takes no more questions.
    retires: Cell<Instant>,
}

#[derive(Clone, Debug)]
enum State {
    Opening,
    Open,
    Ended(Failure),
}

struct Waiting {
    question: Question,
    reply: oneshot::Sender<Vec<u8>>,
}

/// A question's place on a connection, given back when dropped.
pub(super) struct Place {
    connection: Rc<Connection>,
}

/// Takes a question off its connection when nobody waits for the reply any more.
struct Registered<'c> {
    connection: &'c Connection,
    id: u16,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.connection.waiting.borrow_mut().remove(&self.id);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let connection = &self.connection;
        if connection.is_quiet() {
            // Given up: whoever has gone at the far end does not say so over QUIC, nor through a
            // path that has forgotten us.
            connection.retires.set(Instant::now());
        }
        connection.load.set(connection.load.get() - 1);
        if connection.load.get() == 0 && connection.is_worn() && connection.is_opening() {
            // It would stand in the way of one that may open by now.
            connection.dismiss();
        }
        connection.used.set(Instant::now());
        connection.eased.notify_one();
    }
}

impl Connection {
    /// Starts to open a connection, which questions may be put on at once. At most `quota` of them
    /// in its life; `ended` is told once it has ended.
    pub(super) fn open(opening: Opening, quota: u32, carrier: Carrier, ended: Rc<Notify>) -> Rc<Self> {
        let now = Instant::now();
        let connection = Rc::new(Self {
            state: watch::Sender::new(State::Opening),
            calls: RefCell::default(),
            tls: OnceCell::new(),
            waiting: RefCell::default(),
            outgoing: RefCell::default(),
            to_write: Notify::new(),
            eased: Notify::new(),
            dismissed: Notify::new(),
            load: Cell::new(0),
            asked: Cell::new(0),
            answered: Cell::new(0),
            quota,
            carrier,
            used: Cell::new(now),
            quiet_since: Cell::new(now),
            idle_limit: Cell::new(IDLE),
            retires: Cell::new(now + AGE + AGE_JITTER.mul_f64(rand::rng().random())),
        });
        tokio::task::spawn_local(Rc::clone(&connection).run(opening, ended));
        connection
    }

    /// Takes a place for one question.
    pub(super) fn place(self: &Rc<Self>) -> Place {
        if self.load.get() == 0 {
            self.quiet_since.set(Instant::now());
        }
        self.load.set(self.load.get() + 1);
        self.asked.set(self.asked.get() + 1);
        Place { connection: Rc::clone(self) }
    }

    /// Questions that have a place on it.
    pub(super) fn load(&self) -> usize {
        self.load.get()
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(*self.state.borrow(), State::Ended(_))
    }

    fn is_opening(&self) -> bool {
        matches!(*self.state.borrow(), State::Opening)
    }

    /// Whether it is well enough to be given another question.
    pub(super) fn takes_more(&self) -> bool {
        !self.has_ended() && !self.is_worn() && !self.is_stalled()
    }

    /// Since when nothing has come.
    pub(super) fn quiet_since(&self) -> Instant {
        self.quiet_since.get()
    }

    /// Ends it; its questions are told so.
    pub(super) fn dismiss(&self) {
        self.dismissed.notify_one();
    }

    /// Whether it is to be given no more questions for good, and ends once it has answered those it has.
    pub(super) fn is_worn(&self) -> bool {
        self.asked.get() >= self.quota || Instant::now() >= self.retires.get() || self.idle_limit.get().is_zero()
    }

    /// Whether questions wait on it and nothing has come for a while.
    pub(super) fn is_quiet(&self) -> bool {
        self.load.get() > 0 && self.quiet_since.get().elapsed() >= QUIET
    }

    /// Whether it looks as if nothing would come any more.
    pub(super) fn is_stalled(&self) -> bool {
        self.load.get() > 0 && self.quiet_since.get().elapsed() >= STALL
    }

    async fn run(self: Rc<Self>, opening: Opening, ended: Rc<Notify>) {
        tokio::select! {
            () = self.serve(opening) => {}
            () = self.dismissed.notified() => self.end(Failure::Dismissed),
        }
        ended.notify_one();
    }

    async fn serve(&self, opening: Opening) {
        let opened = timeout(OPENING, opening).await;
        let opened = opened.unwrap_or(Err(Failure::Network(ErrorKind::TimedOut)));
        let Opened { link, permit: _permit, tls } = match opened {
            Ok(opened) => opened,
            Err(failure) => return self.end(failure),
        };
        self.quiet_since.set(Instant::now());
        if let Some(tls) = tls {
            let _ = self.tls.set(tls);
        }
        match link {
            Link::Stream(stream) => self.serve_stream(stream).await,
            Link::Calls { calls, ended } => self.serve_calls(calls, ended).await,
        }
    }

    async fn serve_stream(&self, stream: Box<dyn Stream>) {
        self.state.send_replace(State::Open);
        let (reader, mut writer) = split(stream);
        let mut reading = std::pin::pin!(self.read(reader));
        let broken = tokio::select! {
            read = &mut reading => read.err(),
            _ = self.write(&mut writer) => {
                // What it said before it hung up is still to be read.
                self.retires.set(Instant::now());
                timeout(CLOSING, reading).await.ok().and_then(Result::err)
            }
            () = self.idle() => None,
        };
        let refused = broken.zip(self.tls.get()).and_then(|(error, (server, tls))| tls.failure(*server, &error));
        // However else it ends, what has not been answered may be asked again elsewhere.
        self.end(refused.unwrap_or(Failure::Lost { answered: self.answered.get() }));
        let _ = timeout(CLOSING, writer.shutdown()).await;
    }

    /// The first word on how it ended is the last.
    fn end(&self, failure: Failure) {
        if !self.has_ended() {
            self.state.send_replace(State::Ended(failure));
            self.waiting.borrow_mut().clear();
            self.calls.take();
        }
    }

    /// A reply has come.
    fn answered(&self) {
        self.quiet_since.set(Instant::now());
        self.answered.set(self.answered.get() + 1);
    }

    /// Reads until it cannot any more.
    async fn read(&self, reader: ReadHalf<Box<dyn Stream>>) -> io::Result<Infallible> {
        let mut reader = BufReader::with_capacity(READ_BUFFER, reader);
        loop {
            let length = reader.read_u16().await?;
            let mut message = vec![0; usize::from(length)];
            reader.read_exact(&mut message).await?;
            self.deliver(message);
            if let Some((server, tls)) = self.tls.get().filter(|_| self.answered.get() == 1) {
                tls.works(*server);
            }
        }
    }

    /// Gives a message to the question it replies to, if there is one.
    fn deliver(&self, message: Vec<u8>) {
        let Some(id) = message.first_chunk().map(|id| u16::from_be_bytes(*id)) else { return };
        let mut waiting = self.waiting.borrow_mut();
        let Some(asked) = waiting.get(&id) else { return };
        // One that is truncated all the same is useless, and that is the caller's to say.
        if classify(&message, id, &asked.question) == Match::Foreign {
            return;
        }
        self.answered();
        if let Some(limit) = idle_limit(&message) {
            self.idle_limit.set(limit.min(MAX_IDLE));
        }
        if let Some(asked) = waiting.remove(&id) {
            let _ = asked.reply.send(message);
        }
    }

    async fn write(&self, writer: &mut WriteHalf<Box<dyn Stream>>) -> io::Result<()> {
        loop {
            let octets = self.outgoing.take();
            if octets.is_empty() {
                self.to_write.notified().await;
                continue;
            }
            // Whole messages in one write: some servers take a length alone in a segment for a
            // broken client.
            writer.write_all(&octets).await?;
            writer.flush().await?;
        }
    }

    /// Returns when the connection has been of no use for long enough, or takes no more questions
    /// and has answered all.
    async fn idle(&self) {
        loop {
            let limit = if self.is_worn() { Duration::ZERO } else { self.idle_limit.get() };
            let until = (self.used.get() + limit).min(self.retires.get());
            if self.load.get() > 0 {
                self.eased.notified().await;
            } else if Instant::now() >= until {
                return;
            } else {
                let _ = timeout(until.saturating_duration_since(Instant::now()), self.eased.notified()).await;
            }
        }
    }

    /// Enters a question under a free ID: places are fewer than IDs by far, see [`super::pool`].
    fn register(&self, question: &Question, reply: oneshot::Sender<Vec<u8>>) -> Registered<'_> {
        let mut waiting = self.waiting.borrow_mut();
        let id = std::iter::repeat_with(|| rand::rng().random()).find(|id| !waiting.contains_key(id)).unwrap_or(0);
        waiting.insert(id, Waiting { question: question.clone(), reply });
        Registered { connection: self, id }
    }

    fn failure(&self) -> Failure {
        match &*self.state.borrow() {
            State::Ended(failure) => failure.clone(),
            State::Opening | State::Open => Failure::Lost { answered: self.answered.get() },
        }
    }
}

impl Place {
    /// Sends the question and waits for the reply, for as long as the caller does. `sent` is told
    /// when it is on its way.
    pub(super) async fn ask(&self, question: &Question, sent: impl FnOnce()) -> Result<Vec<u8>, Failure> {
        let connection = &*self.connection;
        let opened = connection.state.subscribe().wait_for(|state| !matches!(state, State::Opening)).await.is_ok();
        if !opened || connection.has_ended() {
            return Err(connection.failure());
        }
        let calls = connection.calls.borrow().clone();
        if let Some(calls) = calls {
            sent();
            return connection.call(&*calls, question).await;
        }
        let (reply, arrival) = oneshot::channel();
        let registered = connection.register(question, reply);
        let query = write_stream_query(question, registered.id, connection.carrier);
        let length = u16::try_from(query.len()).unwrap_or(u16::MAX);
        {
            let mut outgoing = connection.outgoing.borrow_mut();
            outgoing.extend_from_slice(&length.to_be_bytes());
            outgoing.extend_from_slice(&query);
        }
        connection.to_write.notify_one();
        sent();
        arrival.await.map_err(|_| connection.failure())
    }
}
