//! The answer that is one `RRset`.

use std::sync::Arc;

use foldhash::{HashSet, HashSetExt};

use crate::dns::stored_answer::{AnswerBuilder, Owner, Section, StoredAnswer, TooLarge};
use crate::dns::{Rcode, RecordType};

/// The records of one type, in the order given, for whatever name is asked.
///
/// # Errors
/// [`TooLarge`] when they do not fit into one message.
pub(super) fn answer(rtype: RecordType, ttl: u32, data: &[&[u8]]) -> Result<Arc<StoredAnswer>, TooLarge> {
    // RFC 2181, section 10.1, RFC 6672, section 2.4, and RFC 1035, section 5.2: one at a name.
    let single = matches!(rtype, RecordType::CNAME | RecordType::DNAME | RecordType::SOA);
    let mut builder = AnswerBuilder::new(Rcode::NOERROR).authoritative();
    let mut seen = HashSet::new();
    let data = if single { data.get(..1).unwrap_or_default() } else { data };
    // RFC 2181, section 5: no record twice. One alone, as most are, needs no set.
    for rdata in data.iter().filter(|rdata| data.len() == 1 || seen.insert(**rdata)) {
        builder.push(Section::Answer, Owner::Question, rtype, ttl, rdata)?;
    }
    Ok(Arc::new(builder.finish(None)))
}
