//! Regex wildcards: a pattern, and what a name that it matches is answered.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use crate::config::expression::{self, Expression, MAX_COMPILED};
use crate::config::fault::{Message, Report};
use crate::config::file;
use crate::config::keys;
use crate::config::template;
use crate::config::text::At;
use crate::config::{Pattern, Piece, Reaction, Template};
use crate::dns::{Name, Rcode, RecordType, rdata_text};

/// The longest pattern, in characters.
const LONGEST: usize = 10_000;

/// A pattern, and what is known of the names it matches.
pub(super) struct Matcher {
    pub(super) pattern: Pattern,
    /// Where it stands in the configuration file.
    pub(super) offset: usize,
    /// The text that every name it matches ends with; empty if that is not known.
    pub(super) suffix: String,
}

/// Understands one `[[zone.match]]` of a zone. `None` when it was reported.
pub(super) fn read(said: &file::Match, zone: &Name, zone_ttl: u32, report: &mut Report<'_>) -> Option<Matcher> {
    let compiled = said.pattern.as_ref().and_then(|at| compile(at, report));
    let hir = compiled.as_ref().map(|(_, hir)| hir);
    let reaction = match (said.has, &said.answer, &said.rcode) {
        ((true, false), Some(templates), _) => answer(said, templates, hir, zone, report),
        ((false, true), _, Some(at)) => rcode(&at.value).map(Reaction::Rcode),
        ((true, true), ..) => {
            let message = Message::new("`answer` and `rcode` both stand here", "keep one of the two");
            report.error(said.span.start, "zone.match", message);
            None
        }
        ((false, false), ..) => {
            if !report.incomplete() {
                let remedy = r#"write answer = ["A ${1}"] or rcode = "NXDOMAIN""#;
                let message = Message::new("the pattern has neither `answer` nor `rcode`", remedy);
                report.error(said.span.start, "zone.match", message);
            }
            None
        }
        _ => None,
    };
    let (at, (regex, hir)) = said.pattern.as_ref().zip(compiled)?;
    let ttl = said.ttl.unwrap_or(zone_ttl);
    let pattern = Pattern { regex, reaction: reaction?, ttl };
    Some(Matcher { pattern, offset: at.span.start, suffix: suffix(&hir) })
}

fn compile(at: &At<String>, report: &mut Report<'_>) -> Option<(Expression, Hir)> {
    let path = keys::PATTERN.path();
    let length = at.value.chars().count();
    if length > LONGEST {
        let problem = format!("the pattern has {length} characters, more than {LONGEST}");
        report.error(at.span.start, &path, Message::new(problem, "split it, or write the names as `records`"));
        return None;
    }
    let hir = match Expression::parse(&at.value) {
        Ok(hir) => hir,
        Err(error) => {
            let (problem, octet) = short(&error);
            let column = at.value.get(..octet).map_or(1, |before| before.chars().count() + 1);
            let message = Message::new(problem, "see https://docs.rs/regex/latest/regex/#syntax");
            report.error(report.text.within(at, column), &path, message);
            return None;
        }
    };
    match Expression::new(&at.value, &hir) {
        Ok(regex) => {
            if let Some(literal) = upper_case(&hir) {
                let problem = format!("{literal:?} can match nothing: names are in lower case when patterns see them");
                report.warning(
                    at.span.start,
                    &path,
                    Message::new(problem, format!("write {:?}", literal.to_lowercase())),
                );
            }
            Some((regex, hir))
        }
        Err(_) => {
            let problem = format!("the pattern takes more than {} KiB when compiled", MAX_COMPILED / 1024);
            report.error(at.span.start, &path, Message::new(problem, "repeat less: lower the numbers in {…}"));
            None
        }
    }
}

/// What the regex parser says in short, and the octet of the pattern where.
fn short(error: &regex_syntax::Error) -> (String, usize) {
    match error {
        regex_syntax::Error::Parse(error) => (error.kind().to_string(), error.span().start.offset),
        regex_syntax::Error::Translate(error) => (error.kind().to_string(), error.span().start.offset),
        other => (other.to_string(), 0),
    }
}

fn answer(
    said: &file::Match,
    templates: &[At<String>],
    hir: Option<&Hir>,
    zone: &Name,
    report: &mut Report<'_>,
) -> Option<Reaction> {
    let path = keys::ANSWER.path();
    if templates.is_empty() {
        let message =
            Message::new("the list is empty", r#"write a template, as "A ${1}", or rcode = "NODATA" instead"#);
        report.error(said.span.start, &path, message);
    }
    let groups = expression::groups(hir?);
    let mut read = Vec::new();
    for at in templates {
        match template::read(&at.value, &groups).and_then(|template| check_constant(template, zone)) {
            Ok(template) => read.push(template),
            Err((column, message)) => report.error(report.text.within(at, column), &path, message),
        }
    }
    let alias = read.iter().any(|template| template.rtype == RecordType::CNAME);
    if alias && read.len() > 1 {
        let message = Message::new("a CNAME stands beside other records", "keep the CNAME alone, or the others");
        report.error(said.span.start, &path, message);
    }
    (!read.is_empty()).then_some(Reaction::Answer(read))
}

/// A template without references is data already, and must be right.
fn check_constant(template: Template, zone: &Name) -> Result<Template, (usize, Message)> {
    if let [Piece::Text(data)] = template.pieces.as_slice() {
        let column = template.rtype.to_string().len() + 2;
        rdata_text::parse_rdata(template.rtype, data, zone).map_err(|said| {
            let (problem, remedy) = said.split_once("; ").unwrap_or((&said, "write the data as a zone file has it"));
            (column, Message::new(problem, remedy))
        })?;
    }
    Ok(template)
}

fn rcode(word: &str) -> Option<Rcode> {
    if word == "NODATA" { Some(Rcode::NOERROR) } else { Rcode::from_mnemonic(word) }
}

/// A literal with an upper-case letter in it, or a class of nothing else.
fn upper_case(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Literal(literal) if literal.0.iter().any(u8::is_ascii_uppercase) => {
            Some(String::from_utf8_lossy(&literal.0).into_owned())
        }
        HirKind::Class(Class::Bytes(class)) => {
            let all_upper = class
                .ranges()
                .iter()
                .all(|range| range.start().is_ascii_uppercase() && range.end().is_ascii_uppercase());
            let spelled = |range: &regex_syntax::hir::ClassBytesRange| {
                format!("{}-{}", char::from(range.start()), char::from(range.end()))
            };
            (all_upper && !class.ranges().is_empty())
                .then(|| format!("[{}]", class.ranges().iter().map(spelled).collect::<String>()))
        }
        HirKind::Repetition(repetition) if repetition.min > 0 => upper_case(&repetition.sub),
        HirKind::Capture(capture) => upper_case(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().find_map(upper_case),
        _ => None,
    }
}

/// The literal text in front of a final `$`.
fn suffix(hir: &Hir) -> String {
    let HirKind::Concat(parts) = hir.kind() else { return String::new() };
    let Some((last, before)) = parts.split_last() else { return String::new() };
    if !matches!(last.kind(), HirKind::Look(Look::End)) {
        return String::new();
    }
    let Some(HirKind::Literal(literal)) = before.last().map(Hir::kind) else { return String::new() };
    String::from_utf8_lossy(&literal.0).into_owned()
}
