//! An answer as octets that outlive the process, and back.
//!
//! What can be told from the records is not written: where their TTLs stand and which of them rotate.
//! Read back, the records go through the builder one by one, so that an answer that was unpacked is
//! one that could have come from an upstream, whatever the octets were.

use super::{AnswerBuilder, HEADER, Moment, Owner, POINTER_TO_QUESTION, Rcode, RecordType, StoredAnswer};
use crate::dns::Question;
use crate::dns::message::{Malformed, Message};
use crate::dns::query::CLASS_IN;

/// Response code, flags, INFO-CODE and the three counts.
const HEAD: usize = 2 + 1 + 2 + 6;

/// Bits of the flags.
const AUTHORITATIVE: u8 = 1;
const AUTHENTIC: u8 = 1 << 1;
/// There is an INFO-CODE.
const HAS_ERROR: u8 = 1 << 2;

impl StoredAnswer {
    /// Appends it to `out`, without the moment it was stored at. `false`, and nothing appended, for an
    /// answer that was made here: its TTLs stand, or it has a text for people.
    pub fn pack(&self, out: &mut Vec<u8>) -> bool {
        if !self.ages || !self.extra_text.is_empty() {
            return false;
        }
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        out.extend_from_slice(&self.rcode.code().to_be_bytes());
        out.push(
            flag(self.authoritative, AUTHORITATIVE)
                | flag(self.authentic, AUTHENTIC)
                | flag(self.extended_error.is_some(), HAS_ERROR),
        );
        out.extend_from_slice(&self.extended_error.unwrap_or(0).to_be_bytes());
        self.counts.iter().for_each(|count| out.extend_from_slice(&count.to_be_bytes()));
        out.extend_from_slice(self.body());
        true
    }

    /// The answer to `question` that [`Self::pack`] has written, stored at this moment.
    ///
    /// # Errors
    /// [`Malformed`] unless the octets are exactly the records of such an answer.
    pub fn unpack(packed: &[u8], question: &Question, stored_at: Moment) -> Result<Self, Malformed> {
        let (head, body) = packed.split_first_chunk::<HEAD>().ok_or(Malformed)?;
        let [rcode_high, rcode_low, flags, error_high, error_low, counts @ ..] = *head;
        let code = u16::from_be_bytes([rcode_high, rcode_low]);
        let error = u16::from_be_bytes([error_high, error_low]);
        let rcode = Rcode::new(code);
        let has_error = flags & HAS_ERROR != 0;
        if rcode.code() != code || flags & !(AUTHORITATIVE | AUTHENTIC | HAS_ERROR) != 0 || !has_error && error != 0 {
            return Err(Malformed);
        }
        let message = message(question, counts, body);
        let parsed = Message::parse(&message)?;
        if parsed.records.last().map_or(message.len() - body.len(), |last| last.rdata_end) != message.len() {
            return Err(Malformed);
        }
        let mut builder = AnswerBuilder::for_question(rcode, question.name());
        let mut rdata = Vec::new();
        for record in &parsed.records {
            // What stands in an OPT is of one connection, and never kept.
            if record.class != CLASS_IN || record.rtype == RecordType::OPT || record.ttl != record.ttl_field {
                return Err(Malformed);
            }
            rdata.clear();
            parsed.write_rdata(record, &mut rdata)?;
            let owner = parsed.owner(record)?;
            let is_asked = message.get(record.owner_at..record.owner_at + 2) == Some(&POINTER_TO_QUESTION);
            let owner = if is_asked { Owner::Question } else { Owner::Name(owner.wire()) };
            builder.push(record.section, owner, record.rtype, record.ttl, &rdata).map_err(|_| Malformed)?;
        }
        Ok(Self {
            authoritative: flags & AUTHORITATIVE != 0,
            authentic: flags & AUTHENTIC != 0,
            extended_error: has_error.then_some(error),
            ..builder.finish(Some(stored_at))
        })
    }
}

/// The records behind their question, as they would be on the wire.
fn message(question: &Question, counts: [u8; 6], body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + question.name().len() + 4 + body.len());
    message.extend_from_slice(&[0, 0, 0, 0, 0, 1]);
    message.extend_from_slice(&counts);
    message.extend_from_slice(question.name());
    message.extend_from_slice(&question.rtype().code().to_be_bytes());
    message.extend_from_slice(&question.class().to_be_bytes());
    message.extend_from_slice(body);
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::kept::keep;
    use crate::dns::stored_answer::Section;
    use crate::dns::{Name, TtlRules};
    use proptest::collection::vec;
    use proptest::prelude::*;

    const QNAME: &[u8] = b"\x03www\x07example\x00";

    fn question() -> Question {
        Question::new(QNAME, RecordType::A, false, false).unwrap()
    }

    /// A CNAME out of the name, so many addresses behind it, and a SOA of the name above.
    fn answer(addresses: u8) -> StoredAnswer {
        let target = b"\x01t\x07example\x00";
        let mut builder = AnswerBuilder::for_question(Rcode::NOERROR, QNAME).authentic(true);
        builder.push(Section::Answer, Owner::Question, RecordType::CNAME, 60, target).unwrap();
        for last in 0..addresses {
            builder.push(Section::Answer, Owner::Name(target), RecordType::A, 300, &[10, 0, 0, last]).unwrap();
        }
        builder.push(Section::Authority, Owner::Name(b"\x07EXAMPLE\x00"), RecordType::TXT, 5, b"\x01x").unwrap();
        StoredAnswer { extended_error: Some(3), ..builder.finish(Some(Moment::ORIGIN)) }
    }

    fn packed(answer: &StoredAnswer) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(answer.pack(&mut out));
        out
    }

    #[test]
    fn what_was_packed_is_the_same_again() {
        let at = Moment::ORIGIN + std::time::Duration::from_secs(7);
        for addresses in [0, 1, 2, 30] {
            let answer = answer(addresses);
            let again = StoredAnswer::unpack(&packed(&answer), &question(), at).unwrap();
            assert_eq!((again.body(), again.counts), (answer.body(), answer.counts));
            assert_eq!(again.ttls().collect::<Vec<_>>(), answer.ttls().collect::<Vec<_>>());
            let run = |answer: &StoredAnswer| answer.rotating.map(|run| (run.start, run.record_length, run.count));
            assert_eq!(run(&again), run(&answer));
            assert_eq!((again.rcode, again.authoritative, again.authentic), (answer.rcode, false, true));
            assert_eq!((again.extended_error, again.stored_at()), (Some(3), Some(at)));
            assert_eq!(packed(&again), packed(&answer));
        }
    }

    #[test]
    fn what_was_made_here_is_not_packed() {
        let mut out = Vec::new();
        assert!(!StoredAnswer::bare(Rcode::NXDOMAIN, None).pack(&mut out));
        let worded = StoredAnswer { extra_text: "full", ..answer(1) };
        assert!(!worded.pack(&mut out) && out.is_empty());
    }

    #[test]
    fn each_part_that_is_wrong_is_refused() {
        let good = packed(&answer(2));
        let first_ttl = HEAD + 2 + 4;
        let wrong = |at: usize, octet: u8| {
            let mut packed = good.clone();
            packed[at] = octet;
            StoredAnswer::unpack(&packed, &question(), Moment::ORIGIN)
        };
        assert!(wrong(0, 0x00).is_ok());
        let cases = [
            ("a response code of 13 bits", 0, 0x10),
            ("an unknown flag", 2, 8),
            ("an INFO-CODE that is not there", 2, 0),
            ("a record too few", 6, 2),
            ("a record too many", 6, 4),
            ("a pointer to nowhere", HEAD, 0xff),
            ("an OPT", HEAD + 3, 41),
            ("another class", HEAD + 5, 3),
            ("a TTL with its top bit set", first_ttl, 0x80),
            ("longer RDATA", first_ttl + 5, 12),
        ];
        for (what, at, octet) in cases {
            assert!(wrong(at, octet).is_err(), "{what}");
        }
        assert!((0..good.len()).all(|end| StoredAnswer::unpack(&good[..end], &question(), Moment::ORIGIN).is_err()));
        let longer = [&good[..], &[0]].concat();
        assert!(StoredAnswer::unpack(&longer, &question(), Moment::ORIGIN).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn octets_are_refused_or_pack_the_same_from_then_on(octets in vec(any::<u8>(), 0..200), near in any::<bool>()) {
            let mut octets = octets;
            if near {
                // Near enough to a good one to come past the first checks.
                let mut good = packed(&answer(3));
                for pair in octets.chunks_exact(2) {
                    let at = usize::from(pair[0]) % good.len();
                    good[at] = pair[1];
                }
                octets = good;
            }
            if let Ok(answer) = StoredAnswer::unpack(&octets, &question(), Moment::ORIGIN) {
                let once = packed(&answer);
                let again = StoredAnswer::unpack(&once, &question(), Moment::ORIGIN).unwrap();
                prop_assert_eq!(once, packed(&again));
            }
        }
    }

    #[test]
    fn what_is_kept_of_a_reply_survives() {
        let rules = TtlRules { min: 0, max: 86_400, negative_max: 3600 };
        let mut reply = vec![0, 1, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
        reply.extend_from_slice(QNAME);
        reply.extend_from_slice(&[0, 1, 0, 1]);
        for last in [1, 2] {
            reply.extend_from_slice(&[0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 10, 0, 0, last]);
        }
        let kept = keep(&question(), &reply, false, &Name::root(), rules, Moment::ORIGIN).unwrap().answer;
        let again = StoredAnswer::unpack(&packed(&kept), &question(), Moment::ORIGIN).unwrap();
        assert_eq!((again.octets, again.counts), (kept.octets, kept.counts));
    }
}
