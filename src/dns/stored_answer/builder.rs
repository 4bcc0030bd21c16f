//! Puts answers together.

use super::{
    HEADER, Moment, OPT_LENGTH, Owner, POINTER_TO_QUESTION, Rcode, RecordType, Rotating, Section, StoredAnswer,
    TYPE_AND_CLASS, TooLarge,
};
use crate::dns::name::{MAX_LABEL, MAX_NAME, suffixes, wire_length};

/// The furthest octet that a compression pointer reaches.
const MAX_POINTER: usize = 0x3fff;
/// A record without its RDATA, whose owner is a pointer, as it nearly always is.
const POINTED_RECORD: usize = 12;
/// How many names a builder remembers to point at: enough for any sane CNAME chain, and a bound on
/// the work that a hostile reply can cause.
const MAX_REMEMBERED_NAMES: usize = 16;

/// Puts a [`StoredAnswer`] together, record by record, in section order.
#[derive(Debug)]
pub struct AnswerBuilder<'q> {
    answer: StoredAnswer,
    body: Vec<u8>,
    /// The question's name, where pointers may go to its tail; without it the answer fits any
    /// question, and other names are spelled out.
    question: Option<&'q [u8]>,
    remembered: Vec<Remembered>,
    run: Option<Rotating>,
}

/// A name in the body that later owners may point at.
#[derive(Debug)]
struct Remembered {
    /// Offset in the message.
    at: usize,
    name: Box<[u8]>,
    /// Octets of `name` that stand there as labels; what follows them is a pointer.
    spelled: usize,
}

impl<'q> AnswerBuilder<'q> {
    /// An answer for whatever name is asked: a record that wildcards share, or a denial.
    pub fn new(rcode: Rcode) -> Self {
        let answer = StoredAnswer {
            rcode,
            authoritative: false,
            authentic: false,
            counts: [0; 3],
            ages: false,
            stored_at: Moment::ORIGIN,
            octets: Box::default(),
            rotating: None,
            extended_error: None,
            extra_text: "",
        };
        Self { answer, body: Vec::new(), question: None, remembered: Vec::new(), run: None }
    }

    /// An answer that will only ever be written behind a question of this name, whatever its case.
    pub fn for_question(rcode: Rcode, qname: &'q [u8]) -> Self {
        Self { question: Some(qname), ..Self::new(rcode) }
    }

    /// Sets AA: the answer is from local data.
    pub fn authoritative(mut self) -> Self {
        self.answer.authoritative = true;
        self
    }

    /// Sets AD for clients that ask for it: a trusted upstream vouched for the data.
    pub fn authentic(mut self, authentic: bool) -> Self {
        self.answer.authentic = authentic;
        self
    }

    /// Adds one record of class IN. Sections must come in order; `rdata` has no compressed names.
    ///
    /// # Errors
    /// [`TooLarge`] when the message would pass 65,535 octets.
    pub fn push(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        rtype: RecordType,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), TooLarge> {
        let start = self.body.len();
        self.body.reserve(POINTED_RECORD + rdata.len() + size_of::<u16>());
        self.push_owner(owner);
        self.body.extend_from_slice(&rtype.code().to_be_bytes());
        self.body.extend_from_slice(&1u16.to_be_bytes());
        let ttl_at = self.body.len();
        self.body.extend_from_slice(&ttl.to_be_bytes());
        self.body.extend_from_slice(&u16::try_from(rdata.len()).map_err(|_| TooLarge)?.to_be_bytes());
        let rdata_at = self.body.len();
        self.body.extend_from_slice(rdata);
        if self.message_length() > usize::from(u16::MAX) {
            return Err(TooLarge);
        }
        self.answer.counts[section as usize] += 1;
        self.extend_run(section, rtype, start, ttl_at);
        if let Some(target) = target_name(rtype, rdata) {
            self.remember(rdata_at + target, &rdata[target..], rdata.len() - target);
        }
        Ok(())
    }

    /// The finished answer. With `stored_at` its TTLs count down from then; without, they stand.
    pub fn finish(mut self, stored_at: Option<Moment>) -> StoredAnswer {
        let (records, end) = (self.answer.records(), self.body.len());
        self.body.reserve_exact(records * size_of::<u16>());
        let mut at = 0;
        for _ in 0..records {
            let ttl_at = owner_end(&self.body, at) + TYPE_AND_CLASS;
            let rdlength = u16::from_be_bytes([self.body[ttl_at + 4], self.body[ttl_at + 5]]);
            at = ttl_at + 6 + usize::from(rdlength);
            // All of it is less than a message.
            self.body.extend_from_slice(&u16::try_from(ttl_at).unwrap_or(u16::MAX).to_be_bytes());
        }
        debug_assert_eq!(at, end);
        StoredAnswer {
            octets: self.body.into(),
            rotating: self.run.filter(|run| run.count > 1),
            ages: stored_at.is_some(),
            stored_at: stored_at.unwrap_or(Moment::ORIGIN),
            ..self.answer
        }
    }

    /// The octets of the longest reply with this body: behind the longest question if it fits any,
    /// with an OPT record.
    fn message_length(&self) -> usize {
        let name = self.question.map_or(MAX_NAME, <[u8]>::len);
        HEADER + name + TYPE_AND_CLASS + self.body.len() + OPT_LENGTH
    }

    fn push_owner(&mut self, owner: Owner<'_>) {
        let name = match owner {
            Owner::Question => return self.body.extend_from_slice(&POINTER_TO_QUESTION),
            Owner::Name(name) => name,
        };
        let at = self.body.len();
        for suffix in suffixes(name) {
            if let Some(target) = self.find(suffix) {
                self.body.extend_from_slice(&(0xc000 | target).to_be_bytes());
                self.remember(at, name, name.len() - suffix.len());
                return;
            }
            let label = usize::from(suffix[0]);
            self.body.extend_from_slice(&suffix[..=label]);
        }
        self.remember(at, name, name.len());
    }

    /// Where in the message `name` stands already.
    fn find(&self, name: &[u8]) -> Option<u16> {
        if name == [0] {
            return None;
        }
        let question = self.question.map(|question| (HEADER, question, question.len()));
        let remembered = self.remembered.iter().map(|known| (known.at, &*known.name, known.spelled));
        question.into_iter().chain(remembered).find_map(|(at, known, spelled)| {
            let skipped = known.len().checked_sub(name.len())?;
            let stands_here = skipped < spelled
                && known[skipped..].eq_ignore_ascii_case(name)
                // What looks like labels may be a part of one.
                && suffixes(known).any(|suffix| suffix.len() == name.len());
            u16::try_from(at + skipped).ok().filter(|&target| stands_here && usize::from(target) <= MAX_POINTER)
        })
    }

    fn remember(&mut self, body_at: usize, name: &[u8], spelled: usize) {
        let Some(question) = self.question else { return };
        let at = HEADER + question.len() + TYPE_AND_CLASS + body_at;
        if spelled > 0 && at <= MAX_POINTER && self.remembered.len() < MAX_REMEMBERED_NAMES {
            self.remembered.push(Remembered { at, name: name.into(), spelled });
        }
    }

    fn extend_run(&mut self, section: Section, rtype: RecordType, start: usize, ttl_at: usize) {
        if section != Section::Answer || !matches!(rtype, RecordType::A | RecordType::AAAA) {
            return;
        }
        let owner_and_type = &self.body[start..ttl_at];
        let (Ok(start), Ok(length)) = (u16::try_from(start), u16::try_from(self.body.len() - start)) else { return };
        match &mut self.run {
            None => self.run = Some(Rotating { start, record_length: length, count: 1 }),
            // Only records that begin alike can change places without moving anything else: a long
            // owner and an A make the octets of a pointer and an AAAA.
            Some(run)
                if run.record_length == length
                    && run.end() == usize::from(start)
                    && self.body[usize::from(run.start)..].starts_with(owner_and_type) =>
            {
                run.count += 1;
            }
            Some(_) => {}
        }
    }
}

/// Where the owner name ends that begins here, of labels or a pointer behind some.
fn owner_end(body: &[u8], mut at: usize) -> usize {
    loop {
        match usize::from(body[at]) {
            0 => return at + 1,
            length @ 1..=MAX_LABEL => at += 1 + length,
            _ => return at + 2,
        }
    }
}

/// Where in the RDATA a name stands that records behind it are likely to belong to.
fn target_name(rtype: RecordType, rdata: &[u8]) -> Option<usize> {
    let at = match rtype {
        RecordType::CNAME | RecordType::DNAME => 0,
        RecordType::MX => 2,
        RecordType::SRV => 6,
        _ => return None,
    };
    (wire_length(rdata.get(at..)?)? == rdata.len() - at).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QNAME: &[u8] = b"\x03www\x07example\x00";
    fn record_end(answer: &StoredAnswer, index: usize) -> usize {
        answer.end_of(answer.ttls().nth(index).unwrap())
    }

    const TARGET: &[u8] = b"\x04host\x05other\x00";

    #[test]
    fn owners_point_at_the_question_and_at_cname_targets() {
        let mut builder = AnswerBuilder::for_question(Rcode::NOERROR, QNAME);
        builder.push(Section::Answer, Owner::Name(QNAME), RecordType::CNAME, 60, TARGET).unwrap();
        builder.push(Section::Answer, Owner::Name(TARGET), RecordType::A, 60, &[10, 0, 0, 1]).unwrap();
        builder.push(Section::Authority, Owner::Name(b"\x07EXAMPLE\x00"), RecordType::TXT, 60, b"\x01x").unwrap();
        let answer = builder.finish(None);
        assert_eq!(answer.body()[..2], [0xc0, 12]);
        let second = record_end(&answer, 0);
        // 12 of header, 13 of name, 4 of type and class, 12 up to the first RDATA.
        assert_eq!(answer.body()[second..second + 2], [0xc0, 41]);
        let third = record_end(&answer, 1);
        assert_eq!(answer.body()[third..third + 2], [0xc0, 16]);
        assert_eq!(answer.counts, [2, 1, 0]);
    }

    #[test]
    fn an_answer_for_any_question_spells_its_names() {
        let mut builder = AnswerBuilder::new(Rcode::NXDOMAIN).authoritative();
        builder.push(Section::Authority, Owner::Name(b"\x07example\x00"), RecordType::TXT, 5, b"\x01x").unwrap();
        builder.push(Section::Authority, Owner::Name(b"\x07example\x00"), RecordType::TXT, 5, b"\x01y").unwrap();
        let answer = builder.finish(None);
        assert_eq!(&answer.body()[..9], b"\x07example\x00");
        assert_eq!(&answer.body()[record_end(&answer, 0)..][..9], b"\x07example\x00");
    }

    #[test]
    fn only_a_run_of_equal_addresses_rotates() {
        let mut builder = AnswerBuilder::new(Rcode::NOERROR);
        builder.push(Section::Answer, Owner::Question, RecordType::TXT, 5, b"\x01x").unwrap();
        for last in 1..=3 {
            builder.push(Section::Answer, Owner::Question, RecordType::A, 5, &[10, 0, 0, last]).unwrap();
        }
        let run = builder.finish(None).rotating.unwrap();
        assert_eq!((run.start, run.record_length, run.count), (14, 16, 3));
        // Eleven octets of label and a pointer to the rest make up for what an A is shorter.
        let owner = [b"\x0babcdefghijk", QNAME].concat();
        let mut mixed = AnswerBuilder::for_question(Rcode::NOERROR, QNAME);
        mixed.push(Section::Answer, Owner::Name(&owner), RecordType::A, 5, &[10, 0, 0, 1]).unwrap();
        mixed.push(Section::Answer, Owner::Name(&owner), RecordType::AAAA, 5, &[0; 16]).unwrap();
        assert_eq!(mixed.body.len(), 2 * 28);
        assert!(mixed.finish(None).rotating.is_none());
        let mut single = AnswerBuilder::new(Rcode::NOERROR);
        single.push(Section::Answer, Owner::Question, RecordType::A, 5, &[10, 0, 0, 1]).unwrap();
        assert!(single.finish(None).rotating.is_none());
    }

    #[test]
    fn what_cannot_be_sent_is_not_built() {
        // 12 of header, 13 of name, 4 of type and class, 11 of OPT, 12 in front of the RDATA.
        for (length, fits) in [(65_483, true), (65_484, false)] {
            let mut builder = AnswerBuilder::for_question(Rcode::NOERROR, QNAME);
            let pushed = builder.push(Section::Answer, Owner::Name(QNAME), RecordType::NULL, 5, &vec![0; length]);
            assert_eq!(pushed.is_ok(), fits, "{length}");
        }
        let mut any = AnswerBuilder::new(Rcode::NOERROR);
        assert_eq!(any.push(Section::Answer, Owner::Question, RecordType::NULL, 5, &[0; 65_483]), Err(TooLarge));
    }
}
