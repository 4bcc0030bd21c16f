//! Record types and their mnemonics (IANA, DNS Parameters; RFC 6895, section 3.1).

use std::fmt;

/// A record type, known by mnemonic or only by number (RFC 3597, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordType(u16);

macro_rules! record_types {
    ($($name:ident $text:literal $code:literal),* $(,)?) => {
        impl RecordType {
            $(pub const $name: Self = Self($code);)*
        }

        const MNEMONICS: &[(u16, &str)] = &[$(($code, $text)),*];
    };
}

record_types! {
    A "A" 1, NS "NS" 2, MD "MD" 3, MF "MF" 4, CNAME "CNAME" 5, SOA "SOA" 6, MB "MB" 7, MG "MG" 8,
    MR "MR" 9, NULL "NULL" 10, WKS "WKS" 11, PTR "PTR" 12, HINFO "HINFO" 13, MINFO "MINFO" 14,
    MX "MX" 15, TXT "TXT" 16, RP "RP" 17, AFSDB "AFSDB" 18, RT "RT" 21, SIG "SIG" 24, KEY "KEY" 25,
    PX "PX" 26, AAAA "AAAA" 28, LOC "LOC" 29, NXT "NXT" 30, SRV "SRV" 33, NAPTR "NAPTR" 35,
    KX "KX" 36, CERT "CERT" 37, A6 "A6" 38, DNAME "DNAME" 39, OPT "OPT" 41, APL "APL" 42,
    DS "DS" 43, SSHFP "SSHFP" 44, IPSECKEY "IPSECKEY" 45, RRSIG "RRSIG" 46, NSEC "NSEC" 47,
    DNSKEY "DNSKEY" 48, DHCID "DHCID" 49, NSEC3 "NSEC3" 50, NSEC3PARAM "NSEC3PARAM" 51,
    TLSA "TLSA" 52, SMIMEA "SMIMEA" 53, HIP "HIP" 55, CDS "CDS" 59, CDNSKEY "CDNSKEY" 60,
    OPENPGPKEY "OPENPGPKEY" 61, CSYNC "CSYNC" 62, ZONEMD "ZONEMD" 63, SVCB "SVCB" 64,
    HTTPS "HTTPS" 65, SPF "SPF" 99, NID "NID" 104, L32 "L32" 105, L64 "L64" 106, LP "LP" 107,
    EUI48 "EUI48" 108, EUI64 "EUI64" 109, TKEY "TKEY" 249, TSIG "TSIG" 250, IXFR "IXFR" 251,
    AXFR "AXFR" 252, MAILB "MAILB" 253, MAILA "MAILA" 254, ANY "ANY" 255, URI "URI" 256,
    CAA "CAA" 257,
}

impl RecordType {
    /// The type of this number.
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// The number on the wire.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// Reads a mnemonic or `TYPEnnn` (RFC 3597, section 5), whatever its case.
    pub fn from_mnemonic(text: &str) -> Option<Self> {
        if let Some((code, _)) = MNEMONICS.iter().find(|(_, known)| known.eq_ignore_ascii_case(text)) {
            return Some(Self(*code));
        }
        let (prefix, number) = text.split_at_checked(4)?;
        let digits_only = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        (prefix.eq_ignore_ascii_case("TYPE") && digits_only).then(|| number.parse().ok().map(Self))?
    }

    /// Whether this asks for something that is no stored data: OPT, transfers and the other types
    /// of the range 128 to 255 (RFC 6895, section 3.1), which no record can have.
    pub const fn is_meta(self) -> bool {
        self.0 == Self::OPT.0 || (self.0 >= 128 && self.0 <= 255) || self.0 == 0
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match MNEMONICS.iter().find(|(code, _)| *code == self.0) {
            Some((_, mnemonic)) => f.write_str(mnemonic),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mnemonics_and_numbers_read_back() {
        for code in 0..=u16::MAX {
            let rtype = RecordType::new(code);
            assert_eq!(RecordType::from_mnemonic(&rtype.to_string()), Some(rtype));
        }
        assert_eq!(RecordType::from_mnemonic("aaaa"), Some(RecordType::AAAA));
        for wrong in ["", "TYPE", "TYPE65536", "TYPE-1", "TYPE+1", "ADDRESS", "TYP€"] {
            assert_eq!(RecordType::from_mnemonic(wrong), None, "{wrong}");
        }
    }
}
