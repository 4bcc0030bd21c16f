//! Connections (RFC 7766), over TLS or without: pipelined questions, answers in the order they are
//! found, and an end to whoever holds a connection without using it.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::bind::{BACKLOG, is_welcoming};
use super::context::{Context, Limits};
use super::framing::{self, Frames, PREFIX, framed};
use super::post::{Need, Service};
use super::tls;
use crate::dns::Protocol;
use crate::handler::{Client, Deferred, Handled, Waiting};
use crate::metrics::Place;

/// Questions of one connection that may wait for upstreams at once; then reading stops.
const PIPELINED: usize = 128;
/// How long to wait after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// When so many octets of replies are there, they are written before another question is handled.
const WRITE: usize = 1 << 16;
/// Octets read at once.
const READ: usize = 4096;
/// Room for a reply of any length and its prefix.
const REPLY: usize = PREFIX + u16::MAX as usize;

/// Accepts connections, over TLS if there is an acceptor, until the service is over; then those that the
/// kernel has taken in by then, for what they have asked already.
///
/// # Errors
/// When the runtime cannot watch the socket.
pub(super) async fn serve(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    need: Need,
    mut service: Service,
    context: Rc<Context>,
) -> io::Result<()> {
    let way =
        Way { welcome: is_welcoming(listener.local_addr()?.ip()), acceptor, need, service: service.clone(), context };
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let accepted = tokio::select! {
            biased;
            () = service.over() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => way.take_in(stream, peer.ip()),
            // The connection is gone already, or descriptors have run out: either way the next may
            // be fine, and a short breath keeps the second from spinning.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
    // The runtime may not have heard of them yet.
    let listener = listener.into_std()?;
    for _ in 0..BACKLOG {
        let Ok((stream, peer)) = listener.accept() else { break };
        stream.set_nonblocking(true)?;
        way.take_in(TcpStream::from_std(stream)?, peer.ip());
    }
    Ok(())
}

/// Where connections come in, and what they are told of.
struct Way {
    welcome: bool,
    acceptor: Option<TlsAcceptor>,
    need: Need,
    service: Service,
    context: Rc<Context>,
}

impl Way {
    /// Serves a connection if there is room for it.
    fn take_in(&self, stream: TcpStream, address: IpAddr) {
        let context = &self.context;
        let Some(permit) = context.connections.permit() else { return context.series.tcp_refused() };
        context.series.tcp_accepted();
        let limits = context.limits.get();
        let keepalive = u16::try_from(limits.tcp_idle.as_millis() / 100).ok();
        let protocol = if self.acceptor.is_some() { Protocol::Tls } else { Protocol::Tcp };
        let client = Client { address, protocol, welcome: self.welcome, keepalive };
        let (service, need) = (self.service.clone(), self.need.clone());
        let terms = Terms { limits, service, _permit: permit, _need: need };
        context.spawn(attend(stream, self.acceptor.clone(), client, terms, Rc::clone(context)));
    }
}

/// Serves one connection to its end.
async fn attend(
    mut stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    client: Client,
    mut terms: Terms,
    context: Rc<Context>,
) {
    // Small answers must not wait for the acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    match acceptor {
        None => {
            let (reader, writer) = stream.split();
            Connection::serve(reader, writer, client, terms, context).await;
        }
        Some(acceptor) => {
            let Terms { service, limits, .. } = &mut terms;
            if let Some(stream) = Box::pin(tls::accept(acceptor, stream, service, *limits, &context)).await {
                let (reader, writer) = split(stream);
                // Apart, so that connections without TLS need no room for it.
                Box::pin(Connection::serve(reader, writer, client, terms, context)).await;
            }
        }
    }
}

/// What a connection has from when it began to its end.
struct Terms {
    limits: Limits,
    service: Service,
    _permit: Place,
    _need: Need,
}

struct Connection {
    client: Client,
    limits: Limits,
    context: Rc<Context>,
    frames: Frames,
    /// When the first octet of a message came that is not whole yet.
    message_began: Option<Instant>,
    /// When there was last something to do.
    last_used: Instant,
    waiting: usize,
    replies: UnboundedSender<Reply>,
}

/// A reply that came later, and its place among those that wait, which it keeps until it is written.
type Reply = (Vec<u8>, Waiting);

/// What ended a wait.
enum Event {
    Read(io::Result<usize>),
    Reply(Reply),
    TooLate,
    Stop,
}

impl Connection {
    async fn serve<R, W>(reader: R, writer: W, client: Client, mut terms: Terms, context: Rc<Context>)
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let (replies, mut arriving) = unbounded_channel();
        let series = Arc::clone(&context.series);
        let connection = Self {
            client,
            limits: terms.limits,
            context,
            frames: Frames::with_capacity(READ),
            message_began: None,
            last_used: Instant::now(),
            waiting: 0,
            replies,
        };
        // An error means that the client is gone.
        if connection.run(reader, writer, &mut arriving, &mut terms.service).await.is_err() {
            while arriving.try_recv().is_ok() {
                series.not_sent(1);
            }
        }
    }

    async fn run<R, W>(
        mut self,
        mut reader: R,
        mut writer: W,
        arriving: &mut UnboundedReceiver<Reply>,
        service: &mut Service,
    ) -> io::Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut reading = true;
        loop {
            while self.may_handle() {
                let output = self.handle_messages();
                self.write(&mut writer, &output).await?;
            }
            if !reading && self.waiting == 0 {
                break;
            }
            let deadline = self.deadline();
            let event = tokio::select! {
                biased;
                Some(reply) = arriving.recv() => Event::Reply(reply),
                read = reader.read_buf(self.frames.incoming()), if reading && !self.is_full() => Event::Read(read),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if reading && deadline.is_some() => Event::TooLate,
                () = service.over(), if reading => Event::Stop,
            };
            match event {
                Event::Reply((mut output, place)) => {
                    let mut places = vec![place];
                    // While nothing was read, the client could not be late.
                    if self.is_full() && self.message_began.is_some() {
                        self.message_began = Some(Instant::now());
                    }
                    self.waiting -= 1;
                    while output.len() < WRITE {
                        let Ok((reply, place)) = arriving.try_recv() else { break };
                        output.extend_from_slice(&reply);
                        places.push(place);
                        self.waiting -= 1;
                    }
                    self.write(&mut writer, &output).await?;
                }
                // The client has said all it has to say, and may still be listening.
                Event::Read(Ok(0)) | Event::Stop => reading = false,
                // As many do over TLS, without the alert that should go before the end.
                Event::Read(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => reading = false,
                Event::Read(read) => {
                    read?;
                    if !self.frames.has_message() {
                        self.message_began.get_or_insert_with(Instant::now);
                    }
                }
                Event::TooLate => {
                    self.context.series.tcp_timed_out();
                    reading = false;
                }
            }
        }
        // Over TLS there is something to be written still.
        timeout(self.limits.tcp_read, writer.shutdown()).await?
    }

    /// So many questions wait for upstreams that no more are read.
    fn is_full(&self) -> bool {
        self.waiting >= PIPELINED
    }

    /// Until when the client has to send something; for ever while it waits for us.
    fn deadline(&self) -> Option<Instant> {
        let limits = &self.limits;
        match self.message_began {
            _ if self.is_full() => None,
            Some(began) => Some(began + limits.tcp_read),
            None if self.waiting > 0 => None,
            None => Some(self.last_used + limits.tcp_idle),
        }
    }

    /// Whether there is a whole message, and leave to handle it.
    fn may_handle(&self) -> bool {
        !self.is_full() && self.frames.has_message()
    }

    /// Runs the line over whole messages, as many as may wait and until their replies are worth a
    /// write; returns the replies that are there at once.
    fn handle_messages(&mut self) -> Vec<u8> {
        let context = Rc::clone(&self.context);
        let mut output = Vec::new();
        let mut reply = context.reply_buffer.borrow_mut();
        reply.resize(REPLY, 0);
        while output.len() < WRITE && !self.is_full() {
            let Some(message) = self.frames.next_message() else { break };
            let now = context.clock.now();
            let handled = context.handler.borrow_mut().handle(message, self.client, now, &mut reply[PREFIX..]);
            match handled {
                Handled::Replied(length) => output.extend_from_slice(framed(&mut reply, length)),
                Handled::Deferred(deferred) => {
                    self.waiting += 1;
                    if self.is_full() {
                        self.context.series.tcp_filled();
                    }
                    self.reply_later(deferred);
                }
                Handled::Dropped => {}
            }
            self.last_used = Instant::now();
            self.message_began = None;
        }
        if self.frames.has_rest() && !self.frames.has_message() {
            self.message_began.get_or_insert_with(Instant::now);
        }
        output
    }

    fn reply_later(&self, deferred: Box<Deferred>) {
        let (replies, context) = (self.replies.clone(), Rc::clone(&self.context));
        self.context.spawn(async move {
            let outcome = deferred.resolve().await;
            let mut reply = context.reply_buffer.borrow_mut();
            reply.resize(REPLY, 0);
            let now = context.clock.now();
            let length = context.handler.borrow_mut().finish(&deferred, &outcome, now, &mut reply[PREFIX..]);
            // The connection may be gone by now.
            if replies.send((framed(&mut reply, length).to_vec(), deferred.into_place())).is_err() {
                context.series.not_sent(1);
            }
        });
    }

    async fn write(&mut self, writer: &mut (impl AsyncWrite + Unpin), output: &[u8]) -> io::Result<()> {
        if output.is_empty() {
            return Ok(());
        }
        self.last_used = Instant::now();
        // A client that does not read what it asked for is not waited for.
        let writing = async {
            writer.write_all(output).await?;
            writer.flush().await
        };
        let written = match timeout(self.limits.tcp_read, writing).await {
            Ok(written) => written,
            Err(_) => {
                self.context.series.tcp_timed_out();
                Err(io::ErrorKind::TimedOut.into())
            }
        };
        if written.is_err() {
            self.context.series.not_sent(framing::count(output));
        }
        written
    }
}
