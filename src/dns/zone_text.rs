//! Zone files and single records in presentation format (RFC 1035, section 5).

use std::net::IpAddr;

pub use super::presentation::TextFault;
use super::presentation::{Entry, Token, entries};
use super::rdata_text::{self, parse_ttl};
use super::{Name, Record, RecordType};

/// How deep files may include one another.
const MAX_INCLUDES: usize = 8;
/// RFC 2181, section 8.
const MAX_TTL: u32 = 0x7fff_ffff;

const RECORD_FORM: &str = "write `owner [ttl] [IN] TYPE data`";

/// What a zone file says.
#[derive(Debug, Default)]
pub struct Parsed {
    /// In file order, each with its line, from 1; a record out of an included file has the line of
    /// the `$INCLUDE`. Owners may lie outside the origin.
    pub records: Vec<(Record, usize)>,
    /// Every fault, in file order; those of an included file stand at the `$INCLUDE`.
    pub faults: Vec<TextFault>,
}

/// Reads a zone file: `$ORIGIN`, `$TTL` (RFC 2308, section 4), `$INCLUDE`, comments, quotes,
/// escapes, parentheses, the owner left out, TTL units, class IN. Every fault is found in one run.
/// Records that say no TTL get that of `$TTL`, else `default_ttl`. `include` reads the file that
/// an `$INCLUDE` names.
pub fn parse(
    text: &str,
    origin: &Name,
    default_ttl: u32,
    include: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Parsed {
    let mut reader = Reader { ttl: default_ttl, open: Vec::new(), include, parsed: Parsed::default() };
    reader.read(text, &mut Scope { origin: origin.clone(), owner: None });
    reader.parsed
}

/// Reads one record, `owner [ttl] [IN] TYPE data`. A blank in front, a directive or a second entry
/// is a fault.
pub fn parse_record(text: &str, origin: &Name, default_ttl: u32) -> Result<Record, TextFault> {
    let mut entries = entries(text);
    let nothing =
        || TextFault { line: 1, column: 1, problem: "nothing stands here".into(), remedy: RECORD_FORM.into() };
    let entry = entries.next().ok_or_else(nothing)??;
    let first = entry.tokens[0];
    if entry.indented {
        return Err(first.fault("a blank stands in front of the owner", "remove the blank"));
    }
    if is_directive(&first) {
        return Err(first.fault(format!("{:?} is a directive of zone files", first.raw), RECORD_FORM));
    }
    if let Some(second) = entries.next() {
        return Err(second?.tokens[0].fault("a second record begins here", "make it an entry of its own"));
    }
    record(&entry, origin, &mut None, default_ttl)
}

/// What a file inherits from the one that includes it, and may change without telling that one
/// (RFC 1035, section 5.1).
struct Scope {
    origin: Name,
    /// The owner of the last record.
    owner: Option<Name>,
}

struct Reader<'i> {
    ttl: u32,
    /// The files being included, outermost first.
    open: Vec<String>,
    include: &'i mut dyn FnMut(&str) -> Result<String, String>,
    parsed: Parsed,
}

impl Reader<'_> {
    fn read(&mut self, text: &str, scope: &mut Scope) {
        for entry in entries(text) {
            let done = entry.and_then(|entry| {
                let first = entry.tokens[0];
                if !entry.indented && is_directive(&first) {
                    return self.directive(&entry.tokens, scope);
                }
                let record = record(&entry, &scope.origin, &mut scope.owner, self.ttl)?;
                self.parsed.records.push((record, first.line));
                Ok(())
            });
            if let Err(fault) = done {
                self.parsed.faults.push(fault);
            }
        }
    }

    fn directive(&mut self, tokens: &[Token<'_>], scope: &mut Scope) -> Result<(), TextFault> {
        let directive = tokens[0];
        match (directive.raw.to_ascii_uppercase().as_str(), &tokens[1..]) {
            ("$ORIGIN", [name]) => scope.origin = read_name(name, &scope.origin)?,
            ("$TTL", [ttl]) => self.ttl = read_ttl(ttl)?,
            ("$INCLUDE", [file]) => self.include(file, scope.origin.clone(), scope.owner.clone())?,
            ("$INCLUDE", [file, origin]) => {
                let origin = read_name(origin, &scope.origin)?;
                self.include(file, origin, scope.owner.clone())?;
            }
            ("$ORIGIN", _) => return Err(directive.fault("$ORIGIN takes one name", "write `$ORIGIN name`")),
            ("$TTL", _) => return Err(directive.fault("$TTL takes one time", "write `$TTL 1h`")),
            ("$INCLUDE", _) => {
                return Err(
                    directive.fault("$INCLUDE takes a file and perhaps a name", "write `$INCLUDE file [origin]`")
                );
            }
            ("$GENERATE", _) => {
                let remedy = "write the records out, or use a [[zone.match]] with a pattern";
                return Err(directive.fault("$GENERATE is not supported", remedy));
            }
            _ => {
                let problem = format!("{:?} is no directive", directive.raw);
                return Err(directive.fault(problem, "the directives are $ORIGIN, $TTL and $INCLUDE"));
            }
        }
        Ok(())
    }

    fn include(&mut self, file: &Token<'_>, origin: Name, owner: Option<Name>) -> Result<(), TextFault> {
        if self.open.iter().any(|open| open == file.raw) {
            return Err(file.fault(format!("{:?} includes itself", file.raw), "remove this $INCLUDE"));
        }
        if self.open.len() >= MAX_INCLUDES {
            let problem = format!("files include one another more than {MAX_INCLUDES} deep");
            return Err(file.fault(problem, "join some of them"));
        }
        let text = (self.include)(file.raw)
            .map_err(|error| file.fault(format!("{:?} cannot be read: {error}", file.raw), "name a readable file"))?;
        let (records, faults) = (self.parsed.records.len(), self.parsed.faults.len());
        self.open.push(file.raw.to_owned());
        self.read(&text, &mut Scope { origin, owner });
        self.open.pop();
        for (_, line) in &mut self.parsed.records[records..] {
            *line = file.line;
        }
        for fault in &mut self.parsed.faults[faults..] {
            let problem = format!("{}:{}:{}: {}", file.raw, fault.line, fault.column, fault.problem);
            *fault = file.fault(problem, std::mem::take(&mut fault.remedy));
        }
        Ok(())
    }
}

fn is_directive(token: &Token<'_>) -> bool {
    !token.quoted && token.raw.starts_with('$')
}

fn read_name(token: &Token<'_>, origin: &Name) -> Result<Name, TextFault> {
    Name::from_text(token.raw, origin)
        .map_err(|error| token.fault(format!("{:?}: {error}", token.raw), "write a domain name"))
}

fn read_ttl(token: &Token<'_>) -> Result<u32, TextFault> {
    let remedy = "write seconds, or units as in 1h30m; at most 2147483647 seconds";
    let ttl = parse_ttl(token.raw).filter(|&ttl| ttl <= MAX_TTL);
    ttl.ok_or_else(|| token.fault(format!("{:?} is no TTL", token.raw), remedy))
}

/// `last_owner` is that of the record before, and becomes that of this one.
fn record(
    entry: &Entry<'_>,
    origin: &Name,
    last_owner: &mut Option<Name>,
    default_ttl: u32,
) -> Result<Record, TextFault> {
    let mut tokens = entry.tokens.as_slice();
    let mut last = tokens[0];
    let owner = if entry.indented {
        let remedy = "write the owner in front, at the start of the line";
        last_owner.clone().ok_or_else(|| last.fault("this first record has no owner", remedy))?
    } else {
        tokens = &tokens[1..];
        let owner = read_name(&last, origin);
        // What follows an owner with a fault must not bring faults of its own.
        *last_owner = Some(owner.as_ref().unwrap_or(origin).clone());
        owner?
    };
    let (mut ttl, mut class) = (None, false);
    let rtype = loop {
        let Some((&token, rest)) = tokens.split_first() else {
            return Err(last.fault("the record ends early", RECORD_FORM));
        };
        (tokens, last) = (rest, token);
        if ttl.is_none() && token.raw.starts_with(|c: char| c.is_ascii_digit()) && token.raw.parse::<IpAddr>().is_err()
        {
            ttl = Some(read_ttl(&token)?);
        } else if !class && is_class(token.raw) {
            class = true;
        } else {
            break read_type(&token)?;
        }
    };
    let rdata = rdata_text::from_tokens(rtype, tokens, origin).map_err(|fault| {
        let token = tokens.get(fault.token).or(tokens.last()).unwrap_or(&last);
        token.fault(fault.problem, fault.remedy)
    })?;
    Ok(Record { owner, rtype, ttl: ttl.unwrap_or(default_ttl), rdata })
}

fn is_class(text: &str) -> bool {
    // CLASS1 is IN (RFC 3597, section 5).
    text.eq_ignore_ascii_case("IN") || text.eq_ignore_ascii_case("CLASS1")
}

fn read_type(token: &Token<'_>) -> Result<RecordType, TextFault> {
    let text = token.raw;
    match RecordType::from_mnemonic(text) {
        Some(rtype) if rtype.is_meta() => {
            Err(token.fault(format!("{rtype} stands in questions, not in records"), RECORD_FORM))
        }
        Some(rtype) => Ok(rtype),
        None => Err(match text.parse() {
            Ok(IpAddr::V4(_)) => token.fault("the type is missing", format!("write `A {text}`")),
            Ok(IpAddr::V6(_)) => token.fault("the type is missing", format!("write `AAAA {text}`")),
            Err(_) if ["CH", "HS", "CS"].iter().any(|class| class.eq_ignore_ascii_case(text)) => {
                token.fault(format!("{text} is not the class of the internet"), "write IN, or no class")
            }
            Err(_) => token.fault(format!("{text:?} is no record type"), RECORD_FORM),
        }),
    }
}

#[cfg(test)]
#[path = "zone_text_tests.rs"]
mod tests;
