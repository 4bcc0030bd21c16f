//! RDATA from presentation format to the wire: a table of fields for the types whose RDATA is a
//! plain row of them, hickory for those with a syntax of their own, RFC 3597 for all.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::{RData, RecordType as HickoryType};
use hickory_proto::serialize::binary::{BinDecoder, BinEncodable, BinEncoder, Restrict};

use super::presentation::{Token, entries};
use super::{Name, RecordType, message, name};

/// The longest RDATA (RFC 1035, section 3.2.1).
const MAX_RDATA: usize = 65_535;
/// The longest character-string (RFC 1035, section 3.3).
const MAX_STRING: usize = 255;

/// One field of RDATA.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Ipv4,
    Ipv6,
    Name,
    U8,
    U16,
    U32,
    /// 32 bits of seconds, units allowed.
    Seconds,
    /// One character-string.
    Text,
    /// One character-string of letters and digits (RFC 8659, section 4.1.1).
    Tag,
    /// One character-string of letters and digits, or an empty one (RFC 3403, section 4.1).
    Flags,
    /// One or more character-strings, up to the end.
    Texts,
    /// One token without a length octet, up to the end.
    Octets,
    /// One or more octets in hexadecimal, blanks allowed, up to the end.
    Hex,
    /// `SvcParams` (RFC 9460, section 2.1), up to the end.
    Parameters,
}

use Field::{Flags, Hex, Ipv4, Ipv6, Octets, Parameters, Seconds, Tag, Text, Texts, U8, U16, U32};

/// Types, how their RDATA is written, and its fields.
type Shape = (&'static [RecordType], &'static str, &'static [Field]);

const SHAPES: &[Shape] = &[
    (&[RecordType::A], "address", &[Ipv4]),
    (&[RecordType::AAAA], "address", &[Ipv6]),
    (
        &[
            RecordType::NS,
            RecordType::CNAME,
            RecordType::PTR,
            RecordType::DNAME,
            RecordType::MD,
            RecordType::MF,
            RecordType::MB,
            RecordType::MG,
            RecordType::MR,
        ],
        "name",
        &[Field::Name],
    ),
    (
        &[RecordType::SOA],
        "mname rname serial refresh retry expire minimum",
        &[Field::Name, Field::Name, U32, Seconds, Seconds, Seconds, Seconds],
    ),
    (&[RecordType::HINFO], "cpu os", &[Text, Text]),
    (&[RecordType::MINFO, RecordType::RP], "mailbox name", &[Field::Name, Field::Name]),
    (&[RecordType::MX, RecordType::KX, RecordType::RT, RecordType::LP], "preference name", &[U16, Field::Name]),
    (&[RecordType::AFSDB], "subtype name", &[U16, Field::Name]),
    (&[RecordType::PX], "preference map822 mapx400", &[U16, Field::Name, Field::Name]),
    (&[RecordType::TXT, RecordType::SPF], "\"text\" …", &[Texts]),
    (&[RecordType::SRV], "priority weight port target", &[U16, U16, U16, Field::Name]),
    (
        &[RecordType::NAPTR],
        "order preference \"flags\" \"service\" \"regexp\" replacement",
        &[U16, U16, Flags, Text, Text, Field::Name],
    ),
    (&[RecordType::DS, RecordType::CDS], "key-tag algorithm digest-type hex", &[U16, U8, U8, Hex]),
    (&[RecordType::SSHFP], "algorithm type hex", &[U8, U8, Hex]),
    (&[RecordType::TLSA, RecordType::SMIMEA], "usage selector matching-type hex", &[U8, U8, U8, Hex]),
    (&[RecordType::URI], "priority weight \"uri\"", &[U16, U16, Octets]),
    (&[RecordType::CAA], "flags tag \"value\"", &[U8, Tag, Octets]),
    (&[RecordType::SVCB, RecordType::HTTPS], "priority target key=value …", &[U16, Field::Name, Parameters]),
];

/// What is wrong with RDATA, and at which of its tokens (or behind the last).
pub(super) struct RdataFault {
    pub(super) token: usize,
    pub(super) problem: String,
    pub(super) remedy: String,
}

/// Reads presentation RDATA into uncompressed wire form, at most 65,535 octets. Names without a
/// final dot stand below `origin`. The error says what is wrong and what is expected.
pub fn parse_rdata(rtype: RecordType, text: &str, origin: &Name) -> Result<Box<[u8]>, String> {
    let mut tokens = Vec::new();
    for entry in entries(text) {
        if !tokens.is_empty() {
            return Err("the data goes over its line; put parentheses round it".to_owned());
        }
        tokens = entry.map_err(|fault| format!("{}; {}", fault.problem, fault.remedy))?.tokens;
    }
    from_tokens(rtype, &tokens, origin).map_err(|fault| format!("{}; {}", fault.problem, fault.remedy))
}

/// As [`parse_rdata`], from tokens.
pub(super) fn from_tokens(rtype: RecordType, tokens: &[Token<'_>], origin: &Name) -> Result<Box<[u8]>, RdataFault> {
    let rdata = match tokens.split_first() {
        Some((first, rest)) if !first.quoted && first.raw == r"\#" => generic(rtype, rest)?,
        _ => match shape(rtype) {
            Some(shape) => Reader { rtype, shape, tokens, at: 0, origin, rdata: Vec::new() }.read()?,
            None => by_hickory(rtype, tokens)?,
        },
    };
    if rdata.len() > MAX_RDATA {
        let problem = format!("the data has {} octets, at most {MAX_RDATA} fit into a record", rdata.len());
        return Err(RdataFault { token: 0, problem, remedy: "split it into several records".to_owned() });
    }
    Ok(rdata.into())
}

fn shape(rtype: RecordType) -> Option<&'static Shape> {
    SHAPES.iter().find(|(types, ..)| types.contains(&rtype))
}

struct Reader<'r, 't> {
    rtype: RecordType,
    shape: &'static Shape,
    tokens: &'r [Token<'t>],
    at: usize,
    origin: &'r Name,
    rdata: Vec<u8>,
}

impl Reader<'_, '_> {
    fn read(mut self) -> Result<Vec<u8>, RdataFault> {
        for &field in self.shape.2 {
            self.field(field).map_err(|problem| self.fault(problem))?;
        }
        match self.tokens.get(self.at) {
            Some(token) => Err(self.fault(format!("{:?} is one value too many", token.raw))),
            None => Ok(self.rdata),
        }
    }

    fn fault(&self, problem: String) -> RdataFault {
        let (_, usage, _) = self.shape;
        RdataFault { token: self.at, problem, remedy: format!("write `{} {usage}`", self.rtype) }
    }

    fn field(&mut self, field: Field) -> Result<(), String> {
        if field == Parameters {
            let parameters = parameters(self.rtype, &self.tokens[self.at..])?;
            self.rdata.extend(parameters);
            self.at = self.tokens.len();
            return Ok(());
        }
        let Some(token) = self.tokens.get(self.at) else {
            return Err(if self.at == 0 { "the data is missing".to_owned() } else { "the data ends early".to_owned() });
        };
        let raw = token.raw;
        match field {
            Ipv4 => {
                let address: Ipv4Addr = raw.parse().map_err(|_| format!("{raw:?} is no IPv4 address"))?;
                self.rdata.extend(address.octets());
            }
            Ipv6 => {
                let address: Ipv6Addr = raw.parse().map_err(|_| format!("{raw:?} is no IPv6 address"))?;
                self.rdata.extend(address.octets());
            }
            Field::Name => {
                let name = Name::from_text(raw, self.origin).map_err(|error| format!("{raw:?}: {error}"))?;
                self.rdata.extend(name.wire());
            }
            U8 => self.rdata.push(raw.parse().map_err(|_| format!("{raw:?} is no number of 0 to 255"))?),
            U16 => {
                let number: u16 = raw.parse().map_err(|_| format!("{raw:?} is no number of 0 to 65535"))?;
                self.rdata.extend(number.to_be_bytes());
            }
            U32 => {
                let number: u32 = raw.parse().map_err(|_| format!("{raw:?} is no number of 0 to 4294967295"))?;
                self.rdata.extend(number.to_be_bytes());
            }
            Seconds => {
                let seconds = parse_ttl(raw).ok_or_else(|| format!("{raw:?} is no time such as 3600 or 1h"))?;
                self.rdata.extend(seconds.to_be_bytes());
            }
            Tag if !is_tag(raw.as_bytes()) => return Err(format!("{raw:?} is no tag of letters and digits")),
            Flags if !raw.is_empty() && !is_tag(raw.as_bytes()) => {
                return Err(format!("{raw:?} are no flags: those are letters and digits"));
            }
            Text | Tag | Flags => self.string(token)?,
            Texts => {
                while let Some(token) = self.tokens.get(self.at) {
                    self.string(token)?;
                    self.at += 1;
                }
                return Ok(());
            }
            Octets => self.rdata.extend(token.octets()?),
            Hex => {
                self.rdata.extend(hex(&self.tokens[self.at..])?);
                self.at = self.tokens.len();
                return Ok(());
            }
            Parameters => {}
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self, token: &Token<'_>) -> Result<(), String> {
        let octets = token.octets()?;
        let length = u8::try_from(octets.len()).map_err(|_| {
            let length = octets.len();
            format!("the string has {length} octets, one string holds at most {MAX_STRING}: split it into several")
        })?;
        self.rdata.push(length);
        self.rdata.extend(octets);
        Ok(())
    }
}

/// Seconds, or numbers with the units w, d, h, m and s, as in `1h30m`; `None` if it is no such
/// text or more than 32 bits.
pub(super) fn parse_ttl(text: &str) -> Option<u32> {
    let mut total = 0_u32;
    let mut number: Option<u32> = None;
    for character in text.chars() {
        if let Some(digit) = character.to_digit(10) {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
            continue;
        }
        let unit = match character.to_ascii_lowercase() {
            'w' => 604_800,
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    match number {
        Some(seconds) => total.checked_add(seconds),
        None => (!text.is_empty()).then_some(total),
    }
}

fn is_tag(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(u8::is_ascii_alphanumeric)
}

fn hex(tokens: &[Token<'_>]) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = tokens.iter().flat_map(|token| token.raw.bytes()).collect();
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let octet = |pair: &[u8]| match pair {
        [high, low] => Some(value(*high)? << 4 | value(*low)?),
        _ => None,
    };
    digits.chunks(2).map(octet).collect::<Option<_>>().ok_or_else(|| {
        let text = String::from_utf8_lossy(&digits);
        format!("{text:?} is no even number of hexadecimal digits")
    })
}

/// RFC 3597, section 5: `\# length hex`, for any type; what a type with a known shape gets must
/// have it, or clients would choke on it.
fn generic(rtype: RecordType, tokens: &[Token<'_>]) -> Result<Vec<u8>, RdataFault> {
    let fault = |token, problem| RdataFault { token, problem, remedy: r"write `\# length hex`".to_owned() };
    let Some((length, digits)) = tokens.split_first() else {
        return Err(fault(1, "the length is missing".to_owned()));
    };
    let Ok(length) = length.raw.parse::<u16>() else {
        return Err(fault(1, format!("{:?} is no number of 0 to 65535", length.raw)));
    };
    let rdata = hex(digits).map_err(|problem| fault(2, problem))?;
    if rdata.len() != usize::from(length) {
        return Err(fault(1, format!("the length says {length} octets, but there are {}", rdata.len())));
    }
    match shape(rtype) {
        Some((_, usage, fields)) if !has_shape(&rdata, fields) => Err(RdataFault {
            token: 2,
            problem: format!("these octets are no {rtype} data"),
            remedy: format!("write `{rtype} {usage}`"),
        }),
        None if !message::has_shape(rtype, &rdata) => Err(fault(2, format!("these octets are no {rtype} data"))),
        _ => Ok(rdata),
    }
}

fn has_shape(rdata: &[u8], fields: &[Field]) -> bool {
    let mut rest = rdata;
    for field in fields {
        let string = |rest: &[u8]| rest.first().map(|&length| 1 + usize::from(length));
        let length = match field {
            Ipv4 | U32 | Seconds => Some(4),
            Ipv6 => Some(16),
            U8 => Some(1),
            U16 => Some(2),
            Field::Name => name::wire_length(rest),
            Text => string(rest),
            Flags if rest.first() == Some(&0) => Some(1),
            Tag | Flags => string(rest).filter(|&length| rest.get(1..length).is_some_and(is_tag)),
            Texts => {
                let mut at = 0;
                while at < rest.len() {
                    at += 1 + usize::from(rest[at]);
                }
                (at > 0).then_some(at)
            }
            Hex => (!rest.is_empty()).then_some(rest.len()),
            Octets => Some(rest.len()),
            Parameters => are_parameters(rest).then_some(rest.len()),
        };
        match length.and_then(|length| rest.get(length..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}

/// Whether hickory reads these `SvcParams` behind a priority and a target.
fn are_parameters(wire: &[u8]) -> bool {
    let rdata = [&[0, 1, 0], wire].concat();
    let Ok(length) = u16::try_from(rdata.len()) else { return false };
    RData::read(&mut BinDecoder::new(&rdata), HickoryType::SVCB, Restrict::new(length)).is_ok()
}

/// The wire form of `SvcParams`. Priority and target are left to us: hickory reads names without
/// an origin.
fn parameters(rtype: RecordType, tokens: &[Token<'_>]) -> Result<Vec<u8>, String> {
    let words: Vec<&str> = tokens.iter().map(|token| token.raw).collect();
    let quoted_blank = tokens.iter().find(|token| token.quoted || token.raw.contains(char::is_whitespace));
    if let Some(token) = quoted_blank {
        return Err(format!("{:?} is no parameter such as alpn=h2", token.raw));
    }
    let text = format!("0 . {}", words.join(" "));
    let mut rdata = RData::try_from_str(HickoryType::from(rtype.code()), &text).map_err(|error| error.to_string())?;
    if let RData::SVCB(svcb) | RData::HTTPS(hickory_proto::rr::rdata::HTTPS(svcb)) = &mut rdata {
        // RFC 9460, section 2.2: on the wire the keys ascend, in the text they need not.
        svcb.svc_params.sort_by_key(|(key, _)| u16::from(*key));
    }
    let wire = encode(&rdata)?;
    Ok(wire.get(3..).unwrap_or_default().to_vec())
}

/// The types whose syntax is hickory's business, with the number of fields in front of data that
/// may be cut by blanks.
fn by_hickory(rtype: RecordType, tokens: &[Token<'_>]) -> Result<Vec<u8>, RdataFault> {
    let (usage, fields) = match rtype {
        RecordType::CERT => ("type key-tag algorithm base64", 3),
        RecordType::OPENPGPKEY => ("base64", 0),
        RecordType::CSYNC => ("serial flags type …", usize::MAX),
        _ => {
            let problem = format!("{rtype} data cannot be read in its own presentation format");
            let remedy = format!(r"write it in RFC 3597 form: `{rtype} \# length hex`");
            return Err(RdataFault { token: 0, problem, remedy });
        }
    };
    let words: Vec<&str> = tokens.iter().map(|token| token.raw).collect();
    let (fields, data) = words.split_at(fields.min(words.len()));
    let text = format!("{} {}", fields.join(" "), data.concat());
    let rdata = RData::try_from_str(HickoryType::from(rtype.code()), &text).map_err(|error| error.to_string());
    rdata.and_then(|rdata| encode(&rdata)).map_err(|problem| RdataFault {
        token: 0,
        problem,
        remedy: format!("write `{rtype} {usage}`"),
    })
}

/// A fresh encoder has seen no name, so nothing is compressed.
fn encode(rdata: &RData) -> Result<Vec<u8>, String> {
    let mut wire = Vec::new();
    rdata.emit(&mut BinEncoder::new(&mut wire)).map_err(|error| error.to_string())?;
    Ok(wire)
}

#[cfg(test)]
#[path = "rdata_text_tests.rs"]
mod tests;
