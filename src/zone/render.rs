//! Templates filled in from a pattern's groups.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use regex::bytes::Captures;

use crate::config::{Expression, Piece, Template};
use crate::dns::rdata_text::parse_rdata;
use crate::dns::stored_answer::StoredAnswer;
use crate::dns::{Name, RecordType};

use super::rrset;

/// What one template came to: a type and its RDATA.
pub(super) type Rendered = (RecordType, Box<[u8]>);

/// Expands all templates for a name's text; `None` if the regex does not match it, or if any of them
/// comes to no valid RDATA. Relative names stand below `zone`.
pub(super) fn expand(templates: &[Template], regex: &Expression, text: &[u8], zone: &Name) -> Option<Vec<Rendered>> {
    let groups = regex.captures(text)?;
    let render = |template: &Template| {
        let data = fill_in(&template.pieces, &groups, text.len());
        Some((template.rtype, rdata(template.rtype, &data, zone)?))
    };
    templates.iter().map(render).collect()
}

/// Addresses are what nearly all patterns make, and can be written in one way only.
fn rdata(rtype: RecordType, data: &str, zone: &Name) -> Option<Box<[u8]>> {
    match rtype {
        RecordType::A => data.parse::<Ipv4Addr>().ok().map(|address| address.octets().into()),
        RecordType::AAAA => data.parse::<Ipv6Addr>().ok().map(|address| address.octets().into()),
        _ => None,
    }
    .or_else(|| parse_rdata(rtype, data, zone).ok())
}

/// The answer to a question for `rtype`; `None` inside if no template is of that type, outside if
/// the records do not fit into one message.
pub(super) fn answer(records: &[Rendered], rtype: RecordType, ttl: u32) -> Option<Option<Arc<StoredAnswer>>> {
    let data: Vec<&[u8]> = records.iter().filter(|record| record.0 == rtype).map(|record| &*record.1).collect();
    if data.is_empty() {
        return Some(None);
    }
    rrset::answer(rtype, ttl, &data).ok().map(Some)
}

/// Where the CNAME among the records leads.
pub(super) fn alias_target(records: &[Rendered]) -> Option<Name> {
    let cname = records.iter().find(|record| record.0 == RecordType::CNAME)?;
    Name::from_wire(&cname.1)
}

/// The client chose what the groups hold, so that everything with a meaning in presentation format
/// but dots is escaped: a quote or a blank in a label must not become a second field.
fn fill_in(pieces: &[Piece], groups: &Captures<'_>, room: usize) -> String {
    let mut data = String::with_capacity(room);
    for piece in pieces {
        let group = match piece {
            Piece::Text(text) => {
                data.push_str(text);
                continue;
            }
            Piece::Group(number) => groups.get(*number).map_or(&b""[..], |group| group.as_bytes()),
        };
        for &octet in group {
            match octet {
                b'"' | b';' | b'(' | b')' | b'\\' | b'@' | b'$' => data.extend(['\\', char::from(octet)]),
                b'!'..=b'~' => data.push(char::from(octet)),
                // Writing to a String cannot fail.
                _ => write!(data, "\\{octet:03}").unwrap_or_default(),
            }
        }
    }
    data
}
