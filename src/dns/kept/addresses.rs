//! The addresses that a reply gives for a name, for our own use.

use std::net::IpAddr;

use super::{Chain, Verdict, full_rcode, is_of, verdict};
use crate::dns::message::{Malformed, Message};
use crate::dns::stored_answer::Section;
use crate::dns::{Question, Rcode, RecordType};

/// The addresses at the end of the CNAME chain, and for how many seconds they hold; none when the
/// name has none. `reply` has been matched to `question`, which is for A or AAAA.
///
/// # Errors
/// [`Malformed`] when the reply is no answer: it cannot be read, is truncated, or says that the
/// server failed.
pub fn addresses(question: &Question, reply: &[u8]) -> Result<(Vec<IpAddr>, u32), Malformed> {
    let message = Message::parse(reply)?;
    let rcode = full_rcode(&message);
    if message.header.is_truncated() || rcode != Rcode::NOERROR && rcode != Rcode::NXDOMAIN {
        return Err(Malformed);
    }
    let chain = Chain::follow(&message, question)?;
    match verdict(&message, &chain, rcode, question)? {
        Verdict::Data => {}
        Verdict::Nodata | Verdict::Nxdomain => return Ok((Vec::new(), 0)),
        Verdict::Incomplete | Verdict::Lame | Verdict::Failure(_) => return Err(Malformed),
    }
    let mut ttl = chain.links.iter().map(|link| link.ttl).min().unwrap_or(u32::MAX);
    let mut found = Vec::new();
    for record in message.section(Section::Answer).filter(|record| is_of(record, question.rtype())) {
        if message.is_owned_by(record, &chain.last) {
            let mut rdata = Vec::new();
            message.write_rdata(record, &mut rdata)?;
            found.push(address(question.rtype(), &rdata)?);
            ttl = ttl.min(record.ttl);
        }
    }
    Ok((found, ttl))
}

fn address(rtype: RecordType, rdata: &[u8]) -> Result<IpAddr, Malformed> {
    match rtype {
        RecordType::A => <[u8; 4]>::try_from(rdata).map(IpAddr::from).map_err(|_| Malformed),
        _ => <[u8; 16]>::try_from(rdata).map(IpAddr::from).map_err(|_| Malformed),
    }
}
