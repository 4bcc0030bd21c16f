//! Response codes (RFC 6895, section 2.3).

use std::fmt;

/// A response code: 4 bits in the header, 12 with EDNS (RFC 6891, section 6.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rcode(u16);

/// Every code with a mnemonic that a configuration may name.
const MNEMONICS: &[(u16, &str)] = &[
    (0, "NOERROR"),
    (1, "FORMERR"),
    (2, "SERVFAIL"),
    (3, "NXDOMAIN"),
    (4, "NOTIMP"),
    (5, "REFUSED"),
    (6, "YXDOMAIN"),
    (7, "YXRRSET"),
    (8, "NXRRSET"),
    (9, "NOTAUTH"),
    (10, "NOTZONE"),
    (16, "BADVERS"),
];

impl Rcode {
    pub const NOERROR: Self = Self(0);
    pub const FORMERR: Self = Self(1);
    pub const SERVFAIL: Self = Self(2);
    pub const NXDOMAIN: Self = Self(3);
    pub const NOTIMP: Self = Self(4);
    pub const REFUSED: Self = Self(5);
    /// EDNS version not supported (RFC 6891, section 9); needs an OPT record to be carried.
    pub const BADVERS: Self = Self(16);

    /// The code of this number; only the low 12 bits can be sent.
    pub const fn new(code: u16) -> Self {
        Self(code & 0x0fff)
    }

    /// The code a mnemonic names, whatever its case; `None` for what is no mnemonic.
    pub fn from_mnemonic(text: &str) -> Option<Self> {
        let known = MNEMONICS.iter().find(|(_, mnemonic)| mnemonic.eq_ignore_ascii_case(text));
        known.map(|(code, _)| Self(*code))
    }

    /// All 12 bits.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// The low four bits, which stand in the header.
    pub const fn header_bits(self) -> u8 {
        self.0.to_be_bytes()[1] & 0x0f
    }

    /// The high eight bits, which stand in the OPT record.
    pub const fn extended_bits(self) -> u8 {
        (self.0 >> 4).to_be_bytes()[1]
    }
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match MNEMONICS.iter().find(|(code, _)| *code == self.0) {
            Some((_, mnemonic)) => f.write_str(mnemonic),
            None => write!(f, "RCODE{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twelve_bits_are_split_between_header_and_opt() {
        assert_eq!((Rcode::BADVERS.header_bits(), Rcode::BADVERS.extended_bits()), (0, 1));
        assert_eq!((Rcode::REFUSED.header_bits(), Rcode::REFUSED.extended_bits()), (5, 0));
    }

    #[test]
    fn mnemonics_read_back() {
        assert_eq!(Rcode::from_mnemonic("nxdomain"), Some(Rcode::NXDOMAIN));
        assert_eq!(Rcode::from_mnemonic("SUCCESS"), None);
        assert_eq!(Rcode::new(23).to_string(), "RCODE23");
    }
}
