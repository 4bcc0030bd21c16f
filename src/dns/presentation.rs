//! Presentation format cut into entries and tokens (RFC 1035, section 5.1).

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFault {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

/// A run of characters with no blank in it, or what stands between two quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    /// As written, escapes included, without the enclosing quotes.
    pub(super) raw: &'t str,
    pub(super) quoted: bool,
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
}

impl Token<'_> {
    /// The octets meant: `\DDD` is one octet, `\X` is X (RFC 1035, section 5.1).
    pub(super) fn octets(&self) -> Result<Vec<u8>, &'static str> {
        const BAD_ESCAPE: &str = "a backslash must be followed by a character or by three digits up to 255";
        let mut octets = Vec::with_capacity(self.raw.len());
        let mut rest = self.raw.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            if first != b'\\' {
                octets.push(first);
                continue;
            }
            let (&escaped, after) = rest.split_first().ok_or(BAD_ESCAPE)?;
            if !escaped.is_ascii_digit() {
                octets.push(escaped);
                rest = after;
                continue;
            }
            let (digits, after) = rest.split_at_checked(3).ok_or(BAD_ESCAPE)?;
            let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
            octets.push(digits.and_then(|d| d.parse().ok()).ok_or(BAD_ESCAPE)?);
            rest = after;
        }
        Ok(octets)
    }

    pub(super) fn fault(&self, problem: impl Into<String>, remedy: impl Into<String>) -> TextFault {
        TextFault { line: self.line, column: self.column, problem: problem.into(), remedy: remedy.into() }
    }
}

/// One record or directive: a line, or several inside parentheses.
#[derive(Debug)]
pub(super) struct Entry<'t> {
    /// Never empty.
    pub(super) tokens: Vec<Token<'t>>,
    /// Whether a blank stands in front, so that the owner is that of the entry before.
    pub(super) indented: bool,
}

/// The entries of `text` in order. An entry that cannot be cut gives its fault, and the next one
/// follows.
pub(super) fn entries(text: &str) -> impl Iterator<Item = Result<Entry<'_>, TextFault>> {
    let mut cursor = Cursor { text, at: 0, line: 1, column: 1 };
    std::iter::from_fn(move || {
        loop {
            cursor.peek()?;
            match cursor.entry() {
                Ok(entry) if entry.tokens.is_empty() => {}
                other => return Some(other),
            }
        }
    })
}

struct Cursor<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    column: usize,
}

impl<'t> Cursor<'t> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn step(&mut self) {
        if let Some(character) = self.peek() {
            self.at += character.len_utf8();
            self.column += 1;
            if character == '\n' {
                self.line += 1;
                self.column = 1;
            }
        }
    }

    fn here(&self, problem: &str, remedy: &str) -> TextFault {
        TextFault { line: self.line, column: self.column, problem: problem.to_owned(), remedy: remedy.to_owned() }
    }

    fn entry(&mut self) -> Result<Entry<'t>, TextFault> {
        let mut entry = Entry { tokens: Vec::new(), indented: matches!(self.peek(), Some(' ' | '\t')) };
        // The parentheses not yet closed, each as the fault it is if it stays open.
        let mut open = Vec::new();
        let mut fault = None;
        loop {
            match self.peek() {
                None => break,
                Some('\n') => {
                    self.step();
                    if open.is_empty() {
                        break;
                    }
                }
                Some(blank) if blank.is_whitespace() => self.step(),
                Some(';') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.step();
                    }
                }
                Some('(') => {
                    open.push(self.here("this parenthesis is never closed", "close it with `)`, or quote it"));
                    self.step();
                }
                Some(')') => {
                    if open.pop().is_none() {
                        fault.get_or_insert(self.here("this parenthesis was never opened", "remove it, or quote it"));
                    }
                    self.step();
                }
                Some('"') => entry.tokens.push(self.quoted(&mut fault)),
                Some(_) => entry.tokens.push(self.bare(&mut fault)),
            }
        }
        match fault.or_else(|| open.into_iter().next()) {
            Some(fault) => Err(fault),
            None => Ok(entry),
        }
    }

    /// Reads up to and with the closing quote. A string does not go over the end of its line, so
    /// that one quote forgotten is one fault.
    fn quoted(&mut self, fault: &mut Option<TextFault>) -> Token<'t> {
        let unclosed = self.here("this quote is never closed", "close it with `\"` on the same line");
        let (line, column) = (self.line, self.column);
        self.step();
        let start = self.at;
        loop {
            match self.peek() {
                Some('"') => break,
                None | Some('\n') => {
                    fault.get_or_insert(unclosed);
                    return Token { raw: &self.text[start..self.at], quoted: true, line, column };
                }
                Some('\\') => self.escape(),
                Some(_) => self.step(),
            }
        }
        let raw = &self.text[start..self.at];
        self.step();
        Token { raw, quoted: true, line, column }
    }

    /// Reads up to a blank, a comment or a parenthesis. A quote in its middle protects what it
    /// encloses, as in `alpn="h2,h3"` (RFC 9460, section 2.1).
    fn bare(&mut self, fault: &mut Option<TextFault>) -> Token<'t> {
        let (start, line, column) = (self.at, self.line, self.column);
        loop {
            self.skip_plain();
            match self.peek() {
                None | Some(';' | '(' | ')') => break,
                Some(blank) if blank.is_whitespace() => break,
                Some('"') => {
                    self.quoted(fault);
                }
                Some('\\') => self.escape(),
                Some(_) => self.step(),
            }
        }
        Token { raw: &self.text[start..self.at], quoted: false, line, column }
    }

    /// Steps over what means nothing but itself, as nearly everything does.
    fn skip_plain(&mut self) {
        let is_plain = |&octet: &u8| octet.is_ascii_graphic() && !b";()\"\\".contains(&octet);
        let plain = self.text.as_bytes()[self.at..].iter().position(|octet| !is_plain(octet));
        let length = plain.unwrap_or(self.text.len() - self.at);
        self.at += length;
        self.column += length;
    }

    /// Steps over a backslash and the character it takes the meaning from.
    fn escape(&mut self) {
        self.step();
        if self.peek().is_some_and(|c| c != '\n') {
            self.step();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<Result<Vec<String>, (usize, usize)>> {
        let texts = |entry: Entry<'_>| entry.tokens.iter().map(|t| t.raw.to_owned()).collect();
        entries(text).map(|entry| entry.map(texts).map_err(|f| (f.line, f.column))).collect()
    }

    #[test]
    fn entries_go_over_lines_only_in_parentheses() {
        let text = "a (b ; one\n c)d\r\n\n;comment\n e \"f ; (\\\" g\" h\\ i k=\"l m\" ; n";
        let expected = [vec!["a", "b", "c", "d"], vec!["e", "f ; (\\\" g", "h\\ i", "k=\"l m\""]];
        assert_eq!(cut(text).into_iter().map(Result::unwrap).collect::<Vec<_>>(), expected);
        assert!(entries(" a").next().unwrap().unwrap().indented);
        assert!(!entries("a").next().unwrap().unwrap().indented);
    }

    #[test]
    fn faults_stand_where_they_begin_and_the_next_entry_follows() {
        assert_eq!(cut("a \"b\nc"), [Err((1, 3)), Ok(vec!["c".to_owned()])]);
        assert_eq!(cut("ä ) b\nc"), [Err((1, 3)), Ok(vec!["c".to_owned()])]);
        assert_eq!(cut("a\nb ( c ( d )\n"), [Ok(vec!["a".to_owned()]), Err((2, 3))]);
    }

    #[test]
    fn escapes_are_octets() {
        let octets = |text| entries(text).next().unwrap().unwrap().tokens[0].octets();
        assert_eq!(octets(r#""a\"b\\c\200\;""#).unwrap(), b"a\"b\\c\xc8;");
        assert_eq!(octets("ü").unwrap(), "ü".as_bytes());
        for wrong in [r"a\", r"a\25", r"a\256", r"\1b2"] {
            assert!(octets(wrong).is_err(), "{wrong}");
        }
    }
}
