//! What RDATA is made of, type by type: names that have to be decompressed, and lengths that have to
//! be true.

use super::RecordType;

/// A part of RDATA.
pub(super) enum Field {
    Octets(usize),
    CharacterString,
    /// At least one.
    CharacterStrings,
    Name,
    /// Keys, lengths and values (RFC 9460, section 2.2).
    Parameters,
    /// Windows, lengths and bits (RFC 4034, section 4.1.2).
    TypeBitmaps,
    Rest,
}

/// The shape of the types whose names a sender may have compressed (RFC 1035, and the list of
/// RFC 3597, section 4), and of others as far as lengths in them, or a least length, can be wrong:
/// clients trust those.
pub(super) fn shape(rtype: RecordType) -> &'static [Field] {
    use Field::{CharacterString, CharacterStrings, Name, Octets, Parameters, Rest, TypeBitmaps};
    match rtype {
        RecordType::A => &[Octets(4)],
        RecordType::AAAA => &[Octets(16)],
        RecordType::NS
        | RecordType::CNAME
        | RecordType::PTR
        | RecordType::DNAME
        | RecordType::MB
        | RecordType::MD
        | RecordType::MF
        | RecordType::MG
        | RecordType::MR => &[Name],
        RecordType::SOA => &[Name, Name, Octets(20)],
        RecordType::MINFO | RecordType::RP => &[Name, Name],
        RecordType::MX | RecordType::AFSDB | RecordType::RT | RecordType::KX => &[Octets(2), Name],
        RecordType::PX => &[Octets(2), Name, Name],
        RecordType::SRV => &[Octets(6), Name],
        RecordType::NAPTR => &[Octets(4), CharacterString, CharacterString, CharacterString, Name],
        RecordType::SIG | RecordType::RRSIG => &[Octets(18), Name, Rest],
        RecordType::NXT => &[Name, Rest],
        RecordType::NSEC => &[Name, TypeBitmaps],
        RecordType::TXT | RecordType::SPF => &[CharacterStrings],
        RecordType::HINFO => &[CharacterString, CharacterString],
        RecordType::CAA => &[Octets(1), CharacterString, Rest],
        RecordType::SVCB | RecordType::HTTPS => &[Octets(2), Name, Parameters],
        RecordType::NSEC3 => &[Octets(4), CharacterString, CharacterString, TypeBitmaps],
        RecordType::NSEC3PARAM => &[Octets(4), CharacterString],
        RecordType::KEY
        | RecordType::DNSKEY
        | RecordType::CDNSKEY
        | RecordType::DS
        | RecordType::CDS
        | RecordType::URI => &[Octets(4), Rest],
        RecordType::TLSA | RecordType::SMIMEA => &[Octets(3), Rest],
        RecordType::SSHFP => &[Octets(2), Rest],
        _ => &[Rest],
    }
}
