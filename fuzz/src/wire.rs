//! A second reader of messages, written for its strictness and not from the daemon's: what is
//! sent must lie within its lengths to the last octet. And a reply put together out of octets.

use zerohop::dns::Question;

/// A message taken apart.
#[derive(Clone, Debug)]
pub struct Wire {
    pub id: [u8; 2],
    pub flags: [u8; 2],
    /// The questions as they stand, name, type and class.
    pub questions: Vec<Vec<u8>>,
    /// All records but OPT.
    pub records: Vec<Record>,
    pub opt: Option<Record>,
}

/// A record whose owner is spelled out, and whose RDATA is as it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// 1 to 3, as in the header.
    pub section: usize,
    pub owner: Vec<u8>,
    pub rtype: u16,
    pub class: u16,
    pub ttl: u32,
    pub rdata: Vec<u8>,
}

impl Wire {
    /// Panics where the message is not well-formed, has octets left over or OPT in a wrong place.
    pub fn read(message: &[u8]) -> Self {
        let counts: Vec<u16> = (0..4).map(|index| u16_at(message, 4 + 2 * index)).collect();
        let mut at = 12;
        let mut wire = Self {
            id: [message[0], message[1]],
            flags: [message[2], message[3]],
            questions: Vec::new(),
            records: Vec::new(),
            opt: None,
        };
        for _ in 0..counts[0] {
            let (name, behind) = name(message, at);
            wire.questions.push([&name, &message[behind..behind + 4]].concat());
            at = behind + 4;
        }
        for (section, count) in counts.iter().enumerate().skip(1) {
            for _ in 0..*count {
                let (owner, behind) = name(message, at);
                let rdata_at = behind + 10;
                at = rdata_at + usize::from(u16_at(message, behind + 8));
                let record = Record {
                    section,
                    owner,
                    rtype: u16_at(message, behind),
                    class: u16_at(message, behind + 2),
                    ttl: u32::from(u16_at(message, behind + 4)) << 16 | u32::from(u16_at(message, behind + 6)),
                    rdata: message[rdata_at..at].to_vec(),
                };
                if record.rtype == 41 {
                    assert!(section == 3 && record.owner == [0] && wire.opt.is_none(), "an OPT record out of place");
                    wire.opt = Some(record);
                } else {
                    wire.records.push(record);
                }
            }
        }
        assert_eq!(at, message.len(), "octets behind the last record");
        wire
    }

    /// All twelve bits.
    pub fn rcode(&self) -> u16 {
        let high = self.opt.as_ref().map_or(0, |opt| opt.ttl >> 24);
        u16::try_from(high << 4).unwrap() | u16::from(self.flags[1] & 0x0f)
    }

    pub fn section(&self, section: usize) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.section == section)
    }

    pub fn is_truncated(&self) -> bool {
        self.flags[0] & 0x02 != 0
    }

    /// Panics unless the answer section is one walk from `qname`: aliases, each from where the last
    /// one led to, then records of the type at the end; signatures of what has been passed.
    pub fn assert_answers(&self, qname: &[u8], rtype: u16) {
        let mut here = qname.to_ascii_lowercase();
        let mut passed = vec![here.clone()];
        for record in self.section(1) {
            let owner = record.owner.to_ascii_lowercase();
            assert_eq!(record.class, 1);
            match record.rtype {
                46 if rtype != 46 => {
                    assert!(passed.contains(&owner), "a signature of what is not there: {record:?}");
                    continue;
                }
                39 if rtype != 39 || owner != here => {
                    assert!(owner != here && here.ends_with(&owner), "a DNAME beside the way: {record:?}");
                    passed.push(owner);
                    continue;
                }
                _ => assert_eq!(owner, here, "a record beside the way: {record:?}"),
            }
            if record.rtype == 5 && rtype != 5 {
                here = record.rdata.to_ascii_lowercase();
                passed.push(here.clone());
            } else {
                assert_eq!(record.rtype, rtype, "a type that was not asked for: {record:?}");
            }
        }
    }
}

fn u16_at(message: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([message[at], message[at + 1]])
}

/// The name at `at`, spelled out, and where it ends.
fn name(message: &[u8], at: usize) -> (Vec<u8>, usize) {
    let mut spelled = Vec::new();
    let mut at = at;
    let mut end = None;
    loop {
        let length = usize::from(message[at]);
        if length >= 0xc0 {
            let target = usize::from(u16_at(message, at) & 0x3fff);
            assert!((12..at).contains(&target), "a pointer that does not go backwards");
            end = end.or(Some(at + 2));
            at = target;
            continue;
        }
        assert!(length < 64, "a label of {length}");
        spelled.extend_from_slice(&message[at..=at + length]);
        assert!(spelled.len() <= 255, "a name that is too long");
        at += 1 + length;
        if length == 0 {
            return (spelled, end.unwrap_or(at));
        }
    }
}

/// Octets of [`reply`]'s `from` that are no records.
pub const REPLY_HEAD: usize = 8;

/// A reply that has passed for the answer to `question`: flags and counts of answers, authorities
/// and additionals out of `from`, then its rest as records. TC is as it comes: over TCP it means
/// nothing.
pub fn reply(question: &Question, from: &[u8]) -> Vec<u8> {
    let mut head = [0; REPLY_HEAD];
    let records = from.get(REPLY_HEAD..).unwrap_or_default();
    let given = from.len().min(REPLY_HEAD);
    head[..given].copy_from_slice(&from[..given]);
    // QR, and the opcode of the query.
    let mut reply = vec![0, 7, head[0] & 0x87 | 0x80, head[1], 0, 1];
    reply.extend_from_slice(&head[2..]);
    reply.extend_from_slice(question.name());
    reply.extend_from_slice(&question.rtype().code().to_be_bytes());
    reply.extend_from_slice(&question.class().to_be_bytes());
    reply.extend_from_slice(records);
    reply
}
