//! What needs no zone: questions that are turned away, and the two that have a fixed answer.

use std::sync::Arc;

use super::resolve::{Hold, Resolved};
use super::{Client, Tables};
use crate::dns::extended_error;
use crate::dns::query::CLASS_IN;
use crate::dns::stored_answer::{AnswerBuilder, Owner, Section};
use crate::dns::{Query, Question, Rcode, RecordType, StoredAnswer};
use crate::metrics::{Rejection, Source};

/// RFC 8482, section 4.2, and how long its answer may be kept, in seconds.
const ANY_HINFO: &[u8] = b"\x07RFC8482\x00";
const ANY_TTL: u32 = 3600;

/// Answers that are the same for everybody, made once.
pub(super) struct Gate {
    not_implemented: StoredAnswer,
    bad_version: StoredAnswer,
    not_allowed: StoredAnswer,
    not_supported: StoredAnswer,
    no_zone: StoredAnswer,
    ready: StoredAnswer,
    any: Arc<StoredAnswer>,
    not_asked: Arc<StoredAnswer>,
}

impl Gate {
    pub(super) fn new() -> Self {
        let mut any = AnswerBuilder::new(Rcode::NOERROR);
        // Nine octets always fit.
        let _ = any.push(Section::Answer, Owner::Question, RecordType::HINFO, ANY_TTL, ANY_HINFO);
        Self {
            not_implemented: StoredAnswer::bare(Rcode::NOTIMP, Some(extended_error::NOT_SUPPORTED)),
            bad_version: StoredAnswer::bare(Rcode::BADVERS, Some(extended_error::NOT_SUPPORTED)),
            not_allowed: StoredAnswer::bare(Rcode::REFUSED, Some(extended_error::PROHIBITED)),
            not_supported: StoredAnswer::bare(Rcode::REFUSED, Some(extended_error::NOT_SUPPORTED)),
            no_zone: StoredAnswer::bare(Rcode::REFUSED, Some(extended_error::NOT_AUTHORITATIVE)),
            ready: StoredAnswer::bare(Rcode::NOERROR, None),
            any: Arc::new(any.finish(None)),
            not_asked: Arc::new(StoredAnswer::bare(Rcode::REFUSED, Some(extended_error::NOT_AUTHORITATIVE))),
        }
    }

    /// Why a question is turned away before any zone is looked for, and the reply.
    pub(super) fn turns_away(
        &self,
        query: &Query<'_>,
        client: Client,
        tables: &Tables,
    ) -> Option<(Rejection, &StoredAnswer)> {
        if query.opcode() != 0 {
            return Some((Rejection::NotImplemented, &self.not_implemented));
        }
        if query.opt().is_some_and(|opt| opt.version != 0) {
            return Some((Rejection::EdnsVersion, &self.bad_version));
        }
        let question = query.question();
        // The readiness check comes from one of the node's own addresses, whatever clients have.
        if !client.welcome && !tables.allows(client.address) && self.ready(question, tables).is_none() {
            return Some((Rejection::NotAllowed, &self.not_allowed));
        }
        if question.class() != CLASS_IN {
            return Some((Rejection::Class, &self.not_supported));
        }
        match question.rtype() {
            RecordType::AXFR | RecordType::IXFR => Some((Rejection::Transfer, &self.not_supported)),
            RecordType::ANY => None,
            meta if meta.is_meta() => Some((Rejection::NotImplemented, &self.not_implemented)),
            _ => None,
        }
    }

    /// Whether this is the readiness check's own question, and its answer.
    pub(super) fn ready(&self, question: &Question, tables: &Tables) -> Option<&StoredAnswer> {
        (question.name() == tables.ready.wire()).then_some(&self.ready)
    }

    /// The smallest answer to ANY (RFC 8482).
    pub(super) fn minimal_any(&self, question: &Question) -> Option<Resolved> {
        (question.rtype() == RecordType::ANY).then(|| Resolved {
            answer: Arc::clone(&self.any),
            hold: Hold::Tables,
            source: Source::Local,
        })
    }

    /// REFUSED: the name is in no zone.
    pub(super) fn no_zone(&self) -> &StoredAnswer {
        &self.no_zone
    }

    /// REFUSED: it is not known here, and nobody is to be asked.
    pub(super) fn not_asked(&self) -> Resolved {
        Resolved { answer: Arc::clone(&self.not_asked), hold: Hold::Never, source: Source::Failure }
    }
}
