//! A file's text, and the places in it.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The longest excerpt shown under a fault, in characters.
const EXCERPT: usize = 100;

/// A value and where it stands in the configuration file.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    /// Octets of the file; of a default, the section it belongs to.
    pub(super) span: Range<usize>,
    /// Whether the file says it; otherwise it is the key's default.
    pub(super) given: bool,
}

/// What a file says, ready to be pointed into.
pub(super) struct Text {
    pub(super) file: Arc<Path>,
    pub(super) content: String,
    line_starts: Vec<usize>,
}

/// A place in a text, as a reader counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The source line up to the caret's line end, and the caret below it; control characters
    /// are replaced, so that a file cannot steer a terminal.
    pub(super) excerpt: String,
}

impl Text {
    pub(super) fn new(file: &Path, content: String) -> Self {
        let line_starts = std::iter::once(0).chain(content.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file: file.into(), content, line_starts }
    }

    /// The place of an octet; past the end it is the end.
    pub(super) fn place(&self, offset: usize) -> Place {
        let line = self.line_starts.partition_point(|&start| start <= offset);
        let start = self.line_starts.get(line.wrapping_sub(1)).copied().unwrap_or(0);
        let before = self.content.get(start..offset.min(self.content.len())).unwrap_or_default();
        self.place_in_line(line, before.chars().count() + 1)
    }

    /// The place at a line and a column, both from 1.
    pub(super) fn place_in_line(&self, line: usize, column: usize) -> Place {
        let start = self.line_starts.get(line.wrapping_sub(1)).copied().unwrap_or(self.content.len());
        let source = self.content.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        Place { line, column, excerpt: excerpt(source, column) }
    }

    /// Where the character `column` (from 1) of a string value stands; the value's start if the
    /// file spells the string with escapes.
    pub(super) fn within(&self, string: &At<String>, column: usize) -> usize {
        let start = string.span.start;
        let raw = self.content.get(string.span.clone()).unwrap_or_default();
        let Some(opening) = raw.find(&string.value).filter(|_| !string.value.is_empty()) else { return start };
        let inside = string.value.char_indices().nth(column.saturating_sub(1)).map_or(string.value.len(), |(at, _)| at);
        start + opening + inside
    }
}

fn excerpt(source: &str, column: usize) -> String {
    if source.trim().is_empty() {
        return String::new();
    }
    let first = column.saturating_sub(EXCERPT / 2 + 1);
    let first = if source.chars().count() <= EXCERPT { 0 } else { first };
    let shown = source.chars().skip(first).take(EXCERPT);
    let shown: String = shown.map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
    // Tabs stay tabs in front of the caret, so that it stands below its character.
    let indent = source.chars().skip(first).take(column - 1 - first.min(column - 1));
    let indent: String = indent.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    format!("    {shown}\n    {indent}^\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(content: &str) -> Text {
        Text::new(Path::new("a.toml"), content.to_owned())
    }

    #[test]
    fn columns_are_characters() {
        let place = text("a = 1\nä = ö\r\n").place(6 + "ä = ".len());
        assert_eq!((place.line, place.column), (2, 5));
        assert_eq!(place.excerpt, "    ä = ö\n        ^\n");
        assert_eq!((text("a\n").place(99).line, text("").place(0).line), (2, 1));
    }

    #[test]
    fn a_long_line_is_cut_round_the_caret() {
        let place = text(&format!("{}X{}", "a".repeat(500), "b".repeat(500))).place(500);
        let lines: Vec<&str> = place.excerpt.lines().collect();
        let caret = lines[1].find('^').unwrap();
        assert_eq!((place.column, &lines[0][caret..=caret], lines[0].len()), (501, "X", EXCERPT + 4));
    }

    #[test]
    fn a_string_without_escapes_is_pointed_into() {
        let text = text(r#"k = "abc" "#);
        let string = At { value: "abc".to_owned(), span: 4..9, given: true };
        assert_eq!(text.within(&string, 2), 6);
        let escaped = At { value: "a\u{9}c".to_owned(), span: 4..9, given: true };
        assert_eq!(text.within(&escaped, 2), 4);
    }
}
