//! Servers that do not understand EDNS: asked once more without, and remembered.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{Exchange, ExchangeError, Exchanged, Reply, Server, Way};
use crate::dns::kept::full_rcode;
use crate::dns::message::{Header, Message};
use crate::dns::{Moment, Question, Rcode};

/// How long a server is asked without EDNS before it is tried with it again: it may have been
/// updated, and without EDNS there is no DNSSEC.
const MEMORY: Duration = Duration::from_secs(300);

/// How often a question is sent to one server over one transport (RFC 9520, section 3.1), with EDNS
/// or without.
pub const MAX_SENDS: u32 = 3;

/// How one question has fared with one server so far.
#[derive(Debug, Default)]
pub struct Tries {
    sent: Cell<u32>,
    /// The server rejects EDNS with this question.
    plain: Cell<bool>,
}

impl Tries {
    /// How often it has been sent.
    pub fn sent(&self) -> u32 {
        self.sent.get()
    }

    /// It is sent once more.
    pub fn note(&self) {
        self.sent.set(self.sent.get() + 1);
    }
}

/// Until when a server is asked without EDNS, in milliseconds since the origin.
#[derive(Debug, Default)]
pub(super) struct EdnsMemory(AtomicU64);

impl EdnsMemory {
    fn is_plain(&self, now: Moment) -> bool {
        milliseconds(now) < self.0.load(Relaxed)
    }

    fn is_empty(&self) -> bool {
        self.0.load(Relaxed) == 0
    }

    fn remember(&self, now: Moment) {
        self.0.store(milliseconds(now + MEMORY), Relaxed);
    }
}

fn milliseconds(moment: Moment) -> u64 {
    u64::try_from(moment.since(Moment::ORIGIN).as_millis()).unwrap_or(u64::MAX)
}

/// Asks with our OPT record; and where the server cannot make anything of that, once more without
/// (RFC 6891, section 7), unless that were one time too many.
///
/// # Errors
/// Those of the exchange; once a reply is there, it is the answer whatever comes of the second.
pub async fn ask(
    exchange: &dyn Exchange,
    server: &Arc<Server>,
    question: &Question,
    way: Way,
    tries: &Tries,
    now: impl Fn() -> Moment,
) -> Result<Reply, ExchangeError> {
    let memory = &server.health.edns;
    if tries.plain.get() || !memory.is_empty() && memory.is_plain(now()) {
        return plainly(exchange, server, question, way).await;
    }
    let reply = exchange.exchange(server, question, way).await?;
    if !rejects_edns(&reply.octets) {
        return Ok(reply);
    }
    server.health.heard(reply.arrived);
    tries.plain.set(true);
    if tries.sent() >= MAX_SENDS {
        return Ok(reply);
    }
    tries.note();
    let Ok(second) = plainly(exchange, server, question, way).await else { return Ok(reply) };
    if Header::read(&second.octets).is_ok_and(|header| !header.is_error()) {
        tracing::debug!(%server, "does not understand EDNS, and is asked without");
        memory.remember(second.arrived);
    }
    Ok(second)
}

/// In a box, for it is seldom needed and every miss would carry it along.
fn plainly<'a>(exchange: &'a dyn Exchange, server: &'a Arc<Server>, question: &Question, way: Way) -> Exchanged<'a> {
    let plain = question.without_edns();
    Box::pin(async move { exchange.exchange(server, &plain, way).await })
}

/// Whether the reply may be one to the OPT record and not to the question: FORMERR of those who do
/// not know it, NOTIMP of some, BADVERS of those who take it for another version.
fn rejects_edns(reply: &[u8]) -> bool {
    let Ok(header) = Header::read(reply) else { return false };
    match Rcode::new(header.rcode_bits().into()) {
        Rcode::FORMERR | Rcode::NOTIMP => true,
        // The low bits of BADVERS; it has no answers.
        Rcode::NOERROR if header.answer_count() == 0 => {
            Message::parse(reply).is_ok_and(|message| full_rcode(&message) == Rcode::BADVERS)
        }
        _ => false,
    }
}
