//! A question in the form that tables and caches are keyed by: equal questions are equal octets.

use super::RecordType;
use super::name::{MAX_NAME, wire_length};
use super::query::CLASS_IN;
use super::stored_answer::TYPE_AND_CLASS;

/// The question in the form that tables and caches are keyed by: the name in lower case, type,
/// class, and the two flags that change what an answer is.
#[derive(Clone)]
pub struct Question {
    bytes: [u8; MAX_NAME + KEY_TAIL],
    name_length: u8,
    /// No part of the key: how an upstream is asked changes nothing about what is asked.
    edns: bool,
}

/// Type, class and flags behind the name.
const KEY_TAIL: usize = TYPE_AND_CLASS + 1;
/// Octets of a name that are lowered together. Whole blocks have room for every name.
const BLOCK: usize = 16;
const _: () = assert!(MAX_NAME.next_multiple_of(BLOCK) <= MAX_NAME + KEY_TAIL);

impl Question {
    /// A question of class IN. `name` must be one that [`wire_length`] accepts; `None` otherwise.
    pub fn new(name: &[u8], rtype: RecordType, dnssec_ok: bool, checking_disabled: bool) -> Option<Self> {
        let length = wire_length(name).filter(|&length| length == name.len())?;
        Some(Self::build(name, length, rtype, CLASS_IN, dnssec_ok, checking_disabled))
    }

    /// The question with this [`Self::key`]; `None` for octets that no question has.
    pub fn of_key(key: &[u8]) -> Option<Self> {
        let (name, tail) = key.split_at_checked(wire_length(key)?)?;
        let [type_high, type_low, class_high, class_low, flags] = *tail else { return None };
        let rtype = RecordType::new(u16::from_be_bytes([type_high, type_low]));
        let class = u16::from_be_bytes([class_high, class_low]);
        let question = Self::build(name, name.len(), rtype, class, flags & 1 != 0, flags & 2 != 0);
        // Upper case and other flags make another key.
        (question.key() == key).then_some(question)
    }

    /// `name` is a whole name of this length.
    // Else it is moved to where it stays once more: a twentieth of a hit.
    #[inline(always)]
    pub(super) fn build(name: &[u8], length: usize, rtype: RecordType, class: u16, dnssec_ok: bool, cd: bool) -> Self {
        let name_length = u8::try_from(length).unwrap_or(u8::MAX);
        // Filled where it stays: it is large to move.
        let mut question = Self { bytes: [0; MAX_NAME + KEY_TAIL], name_length, edns: true };
        question.bytes[..length].copy_from_slice(name);
        // Length octets are at most 63, below 'A': lowering the whole name leaves them alone, and the zeros
        // behind it. By the block, for which the compiler knows how many octets these are.
        let (blocks, _) = question.bytes.as_chunks_mut::<BLOCK>();
        blocks.iter_mut().take(length.div_ceil(BLOCK)).for_each(|block| block.make_ascii_lowercase());
        let tail = &mut question.bytes[length..];
        tail[..2].copy_from_slice(&rtype.code().to_be_bytes());
        tail[2..4].copy_from_slice(&class.to_be_bytes());
        tail[4] = u8::from(dnssec_ok) | u8::from(cd) << 1;
        question
    }

    /// The name in lower-case wire form.
    pub fn name(&self) -> &[u8] {
        &self.bytes[..usize::from(self.name_length)]
    }

    pub fn rtype(&self) -> RecordType {
        RecordType::new(self.tail_u16(0))
    }

    pub fn class(&self) -> u16 {
        self.tail_u16(2)
    }

    /// Whether the client wants DNSSEC records (RFC 3225).
    pub fn dnssec_ok(&self) -> bool {
        self.flags() & 1 != 0
    }

    /// Whether the client asked for data that failed validation, too (RFC 4035, section 3.2.2).
    pub fn checking_disabled(&self) -> bool {
        self.flags() & 2 != 0
    }

    /// The same flags, another name: the next step of a CNAME chain.
    pub fn renamed(&self, name: &super::Name) -> Self {
        let length = name.wire().len();
        Self::build(name.wire(), length, self.rtype(), self.class(), self.dnssec_ok(), self.checking_disabled())
    }

    /// The same question, to be sent without an OPT record, and so without DO.
    pub fn without_edns(&self) -> Self {
        Self { edns: false, ..self.clone() }
    }

    /// Whether it is sent with an OPT record.
    pub fn has_edns(&self) -> bool {
        self.edns
    }

    /// What a denial of `ancestor`, a name above, is kept under: with the same flags, and of type 0,
    /// which nobody can ask for.
    pub fn denial(&self, ancestor: &[u8]) -> Self {
        let rtype = RecordType::new(0);
        Self::build(ancestor, ancestor.len(), rtype, self.class(), self.dnssec_ok(), self.checking_disabled())
    }

    /// Everything above as octets; equal questions, and only they, have equal keys.
    pub fn key(&self) -> &[u8] {
        &self.bytes[..usize::from(self.name_length) + KEY_TAIL]
    }

    fn flags(&self) -> u8 {
        self.bytes[usize::from(self.name_length) + TYPE_AND_CLASS]
    }

    fn tail_u16(&self, at: usize) -> u16 {
        let at = usize::from(self.name_length) + at;
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        super::name::write_text(self.name(), f)?;
        write!(f, " {}", self.rtype())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_length_are_lowered_to_their_end() {
        for length in 1..=62u8 {
            // Up to 253 octets.
            let label = |octet: u8| [&[length][..], &vec![octet; usize::from(length)]].concat();
            let name = |octet: u8| [label(octet), label(octet), label(octet), label(octet), vec![0]].concat();
            let question = Question::new(&name(b'Z'), RecordType::A, false, false).unwrap();
            assert_eq!(question.name(), name(b'z'));
            assert_eq!((question.rtype(), question.class()), (RecordType::A, CLASS_IN));
        }
    }

    #[test]
    fn a_key_gives_its_question_back_and_what_is_none_gives_nothing() {
        let name = b"\x03www\x07example\x00";
        for (dnssec_ok, checking_disabled) in [(false, false), (true, false), (false, true), (true, true)] {
            let question = Question::new(name, RecordType::AAAA, dnssec_ok, checking_disabled).unwrap();
            for question in [question.denial(&name[4..]), question] {
                assert_eq!(Question::of_key(question.key()).unwrap().key(), question.key());
            }
        }
        let key = Question::new(name, RecordType::A, false, false).unwrap().key().to_vec();
        let with = |at: usize, octet: u8| [&key[..at], &[octet], &key[at + 1..]].concat();
        let last = key.len() - 1;
        for wrong in
            [with(1, b'W'), with(last, 4), with(0, 4), with(0, 64), key[..last].to_vec(), key.repeat(2), vec![]]
        {
            assert!(Question::of_key(&wrong).is_none(), "{wrong:?}");
        }
    }
}
