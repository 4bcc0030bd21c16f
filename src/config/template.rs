//! The templates of a pattern's `answer`: a record type, and RDATA text with references to the
//! pattern's groups.

use super::fault::Message;
use super::{Piece, Template};
use crate::dns::RecordType;

/// Reads a template for a pattern whose groups are named so, the whole match first.
///
/// # Errors
/// The column, from 1, and what is wrong there.
pub(super) fn read(text: &str, groups: &[Option<&str>]) -> Result<Template, (usize, Message)> {
    let (word, data) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let Some(rtype) = RecordType::from_mnemonic(word).filter(|rtype| !rtype.is_meta()) else {
        let problem = format!("{word:?} is no record type");
        return Err((1, Message::new(problem, r#"write the type and then the data, as "A 10.0.0.${1}""#)));
    };
    if data.trim().is_empty() {
        let remedy = r#"write it behind the type, as "A 10.0.0.${1}""#;
        return Err((text.chars().count() + 1, Message::new(format!("the {rtype} record has no data"), remedy)));
    }
    let start = word.chars().count() + 2;
    let pieces = pieces(data, groups).map_err(|(at, message)| (start + data[..at].chars().count(), message))?;
    Ok(Template { rtype, pieces })
}

fn pieces(data: &str, groups: &[Option<&str>]) -> Result<Vec<Piece>, (usize, Message)> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = data.trim();
    while let Some((before, after)) = rest.split_once('$') {
        literal.push_str(before);
        let at = data.len() - data.trim_start().len() + data.trim().len() - after.len() - 1;
        if let Some(after) = after.strip_prefix('$') {
            literal.push('$');
            rest = after;
            continue;
        }
        let (reference, after) = reference(after).ok_or_else(|| {
            let remedy = "write ${group} for what a group matched, or $$ for a dollar sign";
            (at, Message::new("a dollar sign refers to no group", remedy))
        })?;
        let group = number(reference, groups).ok_or_else(|| (at, no_group(reference, groups)))?;
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Group(group));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

/// The reference behind a dollar sign, and what follows it.
fn reference(after: &str) -> Option<(&str, &str)> {
    if let Some(braced) = after.strip_prefix('{') {
        return braced.split_once('}').filter(|(name, _)| !name.is_empty());
    }
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    (digits > 0).then(|| after.split_at(digits))
}

fn number(reference: &str, groups: &[Option<&str>]) -> Option<usize> {
    match reference.parse::<usize>() {
        Ok(number) => (number < groups.len()).then_some(number),
        Err(_) => groups.iter().position(|name| *name == Some(reference)),
    }
}

fn no_group(reference: &str, groups: &[Option<&str>]) -> Message {
    let problem = format!("the pattern has no group {reference:?}");
    let named: Vec<&str> = groups.iter().flatten().copied().collect();
    let remedy = match (groups.len() - 1, named.as_slice()) {
        (0, _) => "put what it stands for in parentheses in the pattern, as (?<name>…)".to_owned(),
        (1, []) => "write ${1}, its only group".to_owned(),
        (count, []) => format!("write ${{1}} to ${{{count}}}"),
        (count, named) => format!("write ${{1}} to ${{{count}}}, or one of {}", named.join(", ")),
    };
    Message::new(problem, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_become_pieces() {
        let groups = [None, Some("a"), None];
        let read = |text| read(text, &groups).map_err(|(column, _)| column);
        let template = read("A 10.${a}.$2.0").unwrap();
        let text = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(template.rtype, RecordType::A);
        assert_eq!(template.pieces, [text("10."), Piece::Group(1), text("."), Piece::Group(2), text(".0")]);
        assert_eq!(read("TXT  \"cost $$5 ${0}\" ").unwrap().pieces, [text("\"cost $5 "), Piece::Group(0), text("\"")]);
        assert_eq!(read("type65280 \\# 0").unwrap().rtype, RecordType::new(65280));
    }

    #[test]
    fn faults_point_at_their_column() {
        let column = |text| read(text, &[None, Some("a")]).map_err(|(column, _)| column).unwrap_err();
        assert_eq!(column("ADDRESS 10.0.0.1"), 1);
        assert_eq!(column("ANY x"), 1);
        assert_eq!(column(""), 1);
        assert_eq!(column("A"), 2);
        assert_eq!(column("A 10.0.0.$x"), 10);
        assert_eq!(column("TXT  é${b}"), 7);
        assert_eq!(column("TXT ${}"), 5);
        assert_eq!(column("TXT ${a"), 5);
        assert_eq!(column("TXT $2"), 5);
        assert_eq!(column("TXT x$"), 6);
    }
}
