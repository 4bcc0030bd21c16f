//! What is kept of an upstream's reply: the chain from the question to its end, the final RRset or
//! the proof that there is none, and nothing else. All of it is written anew by us.

mod addresses;

use std::borrow::Cow;

use super::message::{Header, Malformed, Message, WireName, WireRecord};
use super::name::{label_count, suffixes};
use super::query::CLASS_IN;
use super::stored_answer::{AnswerBuilder, Owner, Section};
use super::{Moment, Name, Question, Rcode, RecordType, StoredAnswer};

pub use addresses::addresses;

/// How many CNAMEs one reply may chain: longer ones are loops or mischief.
const MAX_CHAIN: usize = 16;
/// How long a negative answer without SOA is kept, in seconds.
const NEGATIVE_TTL_WITHOUT_SOA: u32 = 5;

/// Bounds on how long upstream answers are kept, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TtlRules {
    pub min: u32,
    pub max: u32,
    pub negative_max: u32,
}

/// What a reply says of its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Records of the type asked for.
    Data,
    /// The name exists, the type does not (RFC 2308, section 2.2).
    Nodata,
    /// The name, or the end of its CNAME chain, does not exist.
    Nxdomain,
    /// A CNAME whose target is missing: not to be mistaken for NODATA of the target.
    Incomplete,
    /// A referral: this server does not answer for us.
    Lame,
    /// Any other response code.
    Failure(Rcode),
}

/// A reply, reduced to what is ours to pass on.
#[derive(Debug)]
pub struct Kept {
    pub answer: StoredAnswer,
    pub verdict: Verdict,
    /// Seconds until the first kept record runs out; `None` when it must not be cached.
    pub lifetime: Option<u32>,
}

/// Reduces `reply`, whose ID and question have been matched.
///
/// `authentic` says whether its AD bit is believed; `zone` is the configured zone that was asked
/// for the name, which bounds whose addresses may come along.
///
/// # Errors
/// [`Malformed`] when the reply cannot be read, is truncated (what is missing cannot be told), or
/// cannot be written again within 65,535 octets.
pub fn keep(
    question: &Question,
    reply: &[u8],
    authentic: bool,
    zone: &Name,
    rules: TtlRules,
    now: Moment,
) -> Result<Kept, Malformed> {
    let header = Header::read(reply)?;
    if header.is_error() && header.question_count() == 0 {
        return Ok(Kept::failure(Rcode::new(header.rcode_bits().into())));
    }
    let message = Message::parse(reply)?;
    let rcode = full_rcode(&message);
    if rcode != Rcode::NOERROR && rcode != Rcode::NXDOMAIN {
        return Ok(Kept::failure(rcode));
    }
    // Over TCP, too, a part without the rest is no answer.
    if header.is_truncated() {
        return Err(Malformed);
    }
    let chain = Chain::follow(&message, question)?;
    let verdict = verdict(&message, &chain, rcode, question)?;
    let builder =
        AnswerBuilder::for_question(rcode, question.name()).authentic(authentic && message.header.is_authentic());
    let mut writer = Writer {
        message: &message,
        question: question.name(),
        builder,
        rdata: Vec::new(),
        lowest: u32::MAX,
        expanding: Vec::new(),
    };
    for link in &chain.links {
        writer.rrset(Section::Answer, message.owner(link)?.wire(), link.rtype, |ttl| rules.bounded(ttl))?;
    }
    match verdict {
        Verdict::Data => {
            writer.rrset(Section::Answer, &chain.last, question.rtype(), |ttl| rules.bounded(ttl))?;
            writer.proofs(None, |ttl| rules.bounded(ttl))?;
            writer.target_addresses(question, &chain.last, zone, rules)?;
        }
        Verdict::Nodata | Verdict::Nxdomain => writer.denial(&chain.last, rules)?,
        Verdict::Incomplete => writer.proofs(None, |ttl| rules.bounded(ttl))?,
        Verdict::Lame | Verdict::Failure(_) => {}
    }
    let kept_for = match verdict {
        Verdict::Data => Some(writer.lowest),
        Verdict::Nodata | Verdict::Nxdomain => Some(writer.lowest.min(rules.negative_max)),
        Verdict::Incomplete | Verdict::Lame | Verdict::Failure(_) => None,
    };
    Ok(Kept { answer: writer.builder.finish(Some(now)), verdict, lifetime: kept_for.filter(|&seconds| seconds > 0) })
}

impl Kept {
    fn failure(rcode: Rcode) -> Self {
        Self { answer: StoredAnswer::bare(rcode, None), verdict: Verdict::Failure(rcode), lifetime: None }
    }
}

impl TtlRules {
    /// A positive TTL within the rules. Zero stays zero: such data is for one use (RFC 1035,
    /// section 3.2.1), whatever the least TTL is set to.
    fn bounded(self, ttl: u32) -> u32 {
        if ttl == 0 { 0 } else { ttl.max(self.min).min(self.max) }
    }
}

/// The response code with the bits that an OPT record carries (RFC 6891, section 6.1.3).
pub fn full_rcode(message: &Message<'_>) -> Rcode {
    let opt = message.section(Section::Additional).find(|record| record.rtype == RecordType::OPT);
    let high = opt.map_or(0, |opt| (opt.ttl_field >> 24) as u16);
    Rcode::new(high << 4 | u16::from(message.header.rcode_bits()))
}

fn verdict(message: &Message<'_>, chain: &Chain<'_>, rcode: Rcode, question: &Question) -> Result<Verdict, Malformed> {
    for record in message.section(Section::Answer) {
        if is_of(record, question.rtype()) && message.is_owned_by(record, &chain.last) {
            // The name does not exist, and here is its data: one of the two is a lie.
            return if rcode == Rcode::NXDOMAIN { Err(Malformed) } else { Ok(Verdict::Data) };
        }
    }
    if rcode == Rcode::NXDOMAIN {
        return Ok(Verdict::Nxdomain);
    }
    if soa_of(message, &chain.last)?.is_some() {
        return Ok(Verdict::Nodata);
    }
    let refers = message.section(Section::Authority).any(|record| is_of(record, RecordType::NS));
    Ok(match (chain.links.is_empty(), refers && !message.header.is_authoritative()) {
        (false, _) => Verdict::Incomplete,
        (true, true) => Verdict::Lame,
        (true, false) => Verdict::Nodata,
    })
}

fn is_of(record: &WireRecord, rtype: RecordType) -> bool {
    record.rtype == rtype && record.class == CLASS_IN
}

/// Whether `ancestor` is `name` or a name above it.
fn covers(ancestor: &WireName, name: &[u8]) -> bool {
    suffixes(name).any(|suffix| suffix.eq_ignore_ascii_case(ancestor.wire()))
}

/// The SOA that speaks for a name: one owned by the name or an ancestor (RFC 2308, section 5).
fn soa_of(message: &Message<'_>, name: &[u8]) -> Result<Option<WireRecord>, Malformed> {
    for record in message.section(Section::Authority) {
        if is_of(record, RecordType::SOA) && covers(&message.owner(record)?, name) {
            return Ok(Some(*record));
        }
    }
    Ok(None)
}

/// The CNAMEs and DNAMEs from the question's name to the name that has, or lacks, the data, in the
/// order they are walked, whatever order the reply has them in.
struct Chain<'q> {
    links: Vec<WireRecord>,
    /// In wire form.
    last: Cow<'q, [u8]>,
}

impl<'q> Chain<'q> {
    fn follow(message: &Message<'_>, question: &'q Question) -> Result<Self, Malformed> {
        let mut last = Cow::Borrowed(question.name());
        let mut links: Vec<WireRecord> = Vec::new();
        if question.rtype() == RecordType::CNAME || question.rtype() == RecordType::ANY {
            return Ok(Self { links, last });
        }
        while let Some(cname) = find_cname(message, &last) {
            if links.len() >= MAX_CHAIN || links.iter().any(|link| link.owner_at == cname.owner_at) {
                return Err(Malformed);
            }
            // RFC 6672, section 3.3: the DNAME that the CNAME was made from goes before it.
            if let Some(dname) = find_dname(message, &last)? {
                links.push(dname);
            }
            links.push(cname);
            let mut target = Vec::new();
            message.write_rdata(&cname, &mut target)?;
            last = Cow::Owned(target);
        }
        // RFC 6672, section 3.1: the CNAME that it makes comes with it. Without, the end of the
        // chain is not known, and must not be taken for a denial.
        if find_dname(message, &last)?.is_some() { Err(Malformed) } else { Ok(Self { links, last }) }
    }
}

fn find_cname(message: &Message<'_>, name: &[u8]) -> Option<WireRecord> {
    let is_there = |record: &&WireRecord| is_of(record, RecordType::CNAME) && message.is_owned_by(record, name);
    message.section(Section::Answer).find(is_there).copied()
}

fn find_dname(message: &Message<'_>, name: &[u8]) -> Result<Option<WireRecord>, Malformed> {
    for record in message.section(Section::Answer) {
        if is_of(record, RecordType::DNAME) {
            let owner = message.owner(record)?;
            if covers(&owner, name) && !message.is_owned_by(record, name) {
                return Ok(Some(*record));
            }
        }
    }
    Ok(None)
}

/// Copies chosen records into a stored answer and notes the lowest TTL it wrote.
struct Writer<'m> {
    message: &'m Message<'m>,
    /// The question's name.
    question: &'m [u8],
    builder: AnswerBuilder<'m>,
    rdata: Vec<u8>,
    lowest: u32,
    /// Signed zones that answered out of a wildcard.
    expanding: Vec<WireName>,
}

impl Writer<'_> {
    fn push(&mut self, record: &WireRecord, section: Section, ttl: u32) -> Result<(), Malformed> {
        self.read_rdata(record)?;
        self.lowest = self.lowest.min(ttl);
        let pushed = if self.message.is_owned_by(record, self.question) {
            self.builder.push(section, Owner::Question, record.rtype, ttl, &self.rdata)
        } else {
            let owner = self.message.owner(record)?;
            self.builder.push(section, Owner::Name(owner.wire()), record.rtype, ttl, &self.rdata)
        };
        pushed.map_err(|_| Malformed)
    }

    fn read_rdata(&mut self, record: &WireRecord) -> Result<&[u8], Malformed> {
        self.rdata.clear();
        self.message.write_rdata(record, &mut self.rdata)?;
        Ok(&self.rdata)
    }

    /// The RRset of `name` and type, then its signatures, all with the lowest TTL among them
    /// (RFC 2181, section 5.2) as `bound` leaves it.
    fn rrset(
        &mut self,
        section: Section,
        name: &[u8],
        rtype: RecordType,
        bound: impl Fn(u32) -> u32,
    ) -> Result<(), Malformed> {
        let message = self.message;
        let owned = |record: &&WireRecord| record.class == CLASS_IN && message.is_owned_by(record, name);
        let mut signatures = Vec::new();
        for record in message.section(section).filter(|record| record.rtype == RecordType::RRSIG).filter(owned) {
            // Of somebody who asks for signatures they are the members.
            if rtype != RecordType::RRSIG && self.covered_type(record)? == rtype {
                signatures.push(record);
            }
        }
        // RFC 2181, section 10.1: a name has one CNAME; RFC 6672, section 2.4: and one DNAME.
        let is_single = matches!(rtype, RecordType::CNAME | RecordType::DNAME | RecordType::SOA);
        let members = message.section(section).filter(|record| record.rtype == rtype).filter(owned);
        let members = members.take(if is_single { 1 } else { usize::MAX });
        if section == Section::Answer {
            for signature in &signatures {
                let zone = self.expanding_zone(signature, name)?;
                self.expanding.extend(zone);
            }
        }
        let mut all = members.chain(signatures.iter().copied());
        let lowest = all.clone().map(|record| record.ttl).min().unwrap_or(0);
        all.try_for_each(|record| self.push(record, section, bound(lowest)))
    }

    /// The type that an RRSIG covers (RFC 4034, section 3.1.1).
    fn covered_type(&mut self, record: &WireRecord) -> Result<RecordType, Malformed> {
        let code = self.read_rdata(record)?.first_chunk().ok_or(Malformed)?;
        Ok(RecordType::new(u16::from_be_bytes(*code)))
    }

    /// The SOA that bounds the denial, and the records that prove it.
    /// Their TTL is the lower of SOA TTL and SOA MINIMUM (RFC 2308, section 5), capped.
    fn denial(&mut self, name: &[u8], rules: TtlRules) -> Result<(), Malformed> {
        let message = self.message;
        let Some(soa) = soa_of(message, name)? else {
            self.lowest = self.lowest.min(NEGATIVE_TTL_WITHOUT_SOA);
            return Ok(());
        };
        let apex = message.owner(&soa)?;
        let minimum = self.read_rdata(&soa)?.last_chunk().map(|field| u32::from_be_bytes(*field)).ok_or(Malformed)?;
        let ttl = soa.ttl.min(minimum).min(rules.negative_max);
        self.rrset(Section::Authority, apex.wire(), RecordType::SOA, |lowest| lowest.min(ttl))?;
        self.proofs(Some(&apex), |lowest| lowest.min(ttl))
    }

    /// The zone whose signature this is, if it is one over a wildcard (RFC 4034, section 3.1.3).
    fn expanding_zone(&mut self, signature: &WireRecord, name: &[u8]) -> Result<Option<WireName>, Malformed> {
        let rdata = self.read_rdata(signature)?;
        let labels = usize::from(*rdata.get(3).ok_or(Malformed)?);
        let (zone, _) = WireName::read(rdata.get(18..).ok_or(Malformed)?, 0)?;
        Ok((labels < label_count(name) && covers(&zone, name)).then_some(zone))
    }

    /// The NSEC and NSEC3 records of the zone that denies, and of zones that expanded a wildcard:
    /// those have to prove that there is nothing closer (RFC 4035, section 3.1.3.3).
    fn proofs(&mut self, denying: Option<&WireName>, bound: impl Fn(u32) -> u32) -> Result<(), Malformed> {
        let message = self.message;
        for record in message.section(Section::Authority) {
            let covered = match record.rtype {
                RecordType::RRSIG => self.covered_type(record)?,
                other => other,
            };
            if !matches!(covered, RecordType::NSEC | RecordType::NSEC3) || record.class != CLASS_IN {
                continue;
            }
            let owner = message.owner(record)?;
            if denying.into_iter().chain(&self.expanding).any(|zone| covers(zone, owner.wire())) {
                self.push(record, Section::Authority, bound(record.ttl))?;
            }
        }
        Ok(())
    }

    /// Addresses of what SRV, MX and SVCB records point at, where they lie within `zone`.
    fn target_addresses(
        &mut self,
        question: &Question,
        name: &[u8],
        zone: &Name,
        rules: TtlRules,
    ) -> Result<(), Malformed> {
        let target_at = match question.rtype() {
            RecordType::MX | RecordType::SVCB | RecordType::HTTPS => 2,
            RecordType::SRV => 6,
            _ => return Ok(()),
        };
        let message = self.message;
        let mut targets = Vec::new();
        for record in message.section(Section::Answer) {
            if is_of(record, question.rtype()) && message.is_owned_by(record, name) {
                let rdata = self.read_rdata(record)?;
                targets.push(rdata.get(target_at..).unwrap_or_default().to_ascii_lowercase());
            }
        }
        for record in message.section(Section::Additional) {
            if !is_of(record, RecordType::A) && !is_of(record, RecordType::AAAA) {
                continue;
            }
            let owner = message.owner(record)?.wire().to_ascii_lowercase();
            let wanted = targets.iter().any(|target| target.starts_with(&owner));
            if wanted && suffixes(&owner).any(|suffix| suffix == zone.wire()) {
                self.push(record, Section::Additional, rules.bounded(record.ttl))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
