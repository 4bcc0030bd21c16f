//! What a packet deserves, told from its octets alone: a second reading of the rules, small enough
//! to be checked against the RFCs by eye, and sharing nothing with the program.

/// The reaction to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// None: no header, or a response.
    Silence,
    /// Exactly this code, and no data.
    Code(u16),
    /// An answer: NOERROR, NXDOMAIN, or SERVFAIL and REFUSED where there is nobody to ask.
    Answer,
}

pub(crate) const FORMERR: Verdict = Verdict::Code(1);
pub(crate) const NOTIMP: Verdict = Verdict::Code(4);
pub(crate) const REFUSED: Verdict = Verdict::Code(5);
pub(crate) const BADVERS: Verdict = Verdict::Code(16);

const OPT: u16 = 41;

/// Octets that are taken from the front; `None` when there are too few.
struct Cursor<'p>(&'p [u8]);

impl<'p> Cursor<'p> {
    fn take(&mut self, count: usize) -> Option<&'p [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2).map(|octets| u16::from(octets[0]) << 8 | u16::from(octets[1]))
    }

    /// Passes over a name of at most 255 octets, and says how long it was.
    fn name(&mut self, pointers: bool) -> Option<usize> {
        let mut length = 0;
        loop {
            let label = usize::from(self.take(1)?[0]);
            length += 1 + label;
            match label {
                0 => return (length <= 255).then_some(length),
                1..=63 => drop(self.take(label)?),
                192.. if pointers => return self.take(1).map(|_| 2),
                _ => return None,
            }
            if length >= 255 {
                return None;
            }
        }
    }
}

pub(crate) fn verdict(packet: &[u8]) -> Verdict {
    if packet.len() < 12 || packet[2] >= 0x80 {
        return Verdict::Silence;
    }
    if packet[2] >> 3 != 0 {
        return NOTIMP;
    }
    let Some((rtype, class, version)) = read(packet) else { return FORMERR };
    match (version, class, rtype) {
        (1.., ..) => BADVERS,
        (0, 1, 251 | 252) => REFUSED,
        (0, 1, 255) => Verdict::Answer,
        (0, 1, 0 | OPT | 128..=254) => NOTIMP,
        (0, 1, _) => Verdict::Answer,
        _ => REFUSED,
    }
}

/// Type and class of the only question, and the EDNS version.
fn read(packet: &[u8]) -> Option<(u16, u16, u8)> {
    let mut rest = Cursor(packet);
    rest.take(4)?;
    let counts = [rest.number()?, rest.number()?, rest.number()?, rest.number()?];
    if counts[..2] != [1, 0] {
        return None;
    }
    rest.name(false)?;
    let (rtype, class) = (rest.number()?, rest.number()?);
    let mut version = None;
    for number in 0..u32::from(counts[2]) + u32::from(counts[3]) {
        let is_root = rest.0.first() == Some(&0);
        rest.name(true)?;
        let (record_type, _, ttl, length) = (rest.number()?, rest.number()?, rest.take(4)?, rest.number()?);
        let mut options = Cursor(rest.take(length.into())?);
        if record_type != OPT {
            continue;
        }
        while !options.0.is_empty() {
            let (_, length) = (options.number()?, options.number()?);
            options.take(length.into())?;
        }
        if !is_root || number < u32::from(counts[2]) || version.replace(ttl[1]).is_some() {
            return None;
        }
    }
    Some((rtype, class, version.unwrap_or(0)))
}

#[test]
fn the_oracle_knows_one_of_each() {
    let query = |tail: &[u8]| [&b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x01a\0"[..], tail].concat();
    let with = |at: usize, octet: u8| {
        let mut packet = query(b"\0\x01\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0");
        packet[11] = 1;
        packet[at] = octet;
        packet
    };
    assert_eq!(verdict(&query(b"\0\x01\0\x01")), Verdict::Answer);
    assert_eq!(verdict(&query(b"\0\x01\0\x01")[..11]), Verdict::Silence);
    assert_eq!(verdict(&query(b"\0\x01\0\x03")), REFUSED);
    assert_eq!(verdict(&query(b"\0\xfc\0\x01")), REFUSED);
    assert_eq!(verdict(&query(b"\0\xfa\0\x01")), NOTIMP);
    assert_eq!(verdict(&query(b"\0\x01\0")), FORMERR);
    assert_eq!(verdict(&with(12, 1)), Verdict::Answer);
    assert_eq!(verdict(&with(2, 0x81)), Verdict::Silence);
    assert_eq!(verdict(&with(2, 0x11)), NOTIMP);
    assert_eq!(verdict(&with(11, 2)), FORMERR);
    assert_eq!(verdict(&with(12, 0xc0)), FORMERR);
    assert_eq!(verdict(&with(25, 1)), BADVERS);
    assert_eq!(verdict(&with(29, 4)), FORMERR);
}
