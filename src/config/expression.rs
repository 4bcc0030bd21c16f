//! The regular expression of a pattern, compiled when a name is first held against it: a thousand
//! of them take 30 MB and as many milliseconds, and most nodes ask for few of their names.

use std::sync::{Arc, OnceLock};

use regex::bytes::{Captures, Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// The most memory one compiled expression may take, in octets.
pub(super) const MAX_COMPILED: usize = 1 << 20;

/// An expression of so many states is compiled without asking: a state takes less than 100 octets.
const SMALL: usize = 1000;

/// A regular expression over octets: no Unicode classes, no other option.
#[derive(Clone, Debug)]
pub struct Expression {
    text: Arc<str>,
    /// `None` inside: it does not compile, which [`Self::new`] has ruled out.
    compiled: Arc<OnceLock<Option<Regex>>>,
}

/// It would take more than [`MAX_COMPILED`].
#[derive(Debug)]
pub struct TooLarge;

impl Expression {
    /// Reads an expression, and what it is made of.
    ///
    /// # Errors
    /// What is wrong with its syntax.
    pub fn parse(text: &str) -> Result<Hir, Box<regex_syntax::Error>> {
        ParserBuilder::new().unicode(false).utf8(false).build().parse(text).map_err(Box::new)
    }

    /// `text`, which has been parsed to `hir`.
    ///
    /// # Errors
    /// Of one that would take more than a megabyte: found by compiling whatever is not small.
    pub fn new(text: &str, hir: &Hir) -> Result<Self, TooLarge> {
        let expression = Self { text: text.into(), compiled: Arc::default() };
        if states(hir) > SMALL && expression.regex().is_none() {
            return Err(TooLarge);
        }
        Ok(expression)
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Compiles it now, so that no name has to wait for that.
    pub fn compile(&self) {
        let _ = self.regex();
    }

    /// Whether it has been compiled.
    pub fn is_compiled(&self) -> bool {
        self.compiled.get().is_some()
    }

    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(text))
    }

    pub fn captures<'t>(&self, text: &'t [u8]) -> Option<Captures<'t>> {
        self.regex()?.captures(text)
    }

    fn regex(&self) -> Option<&Regex> {
        let compile = || RegexBuilder::new(&self.text).unicode(false).size_limit(MAX_COMPILED).build().ok();
        self.compiled.get_or_init(compile).as_ref()
    }
}

/// The names of all groups, `None` for those without; the whole match is the first.
pub(super) fn groups(hir: &Hir) -> Vec<Option<&str>> {
    fn collect<'h>(hir: &'h Hir, groups: &mut Vec<Option<&'h str>>) {
        match hir.kind() {
            HirKind::Capture(capture) => {
                let index = usize::try_from(capture.index).unwrap_or_default();
                groups.resize(groups.len().max(index + 1), None);
                groups[index] = capture.name.as_deref();
                collect(&capture.sub, groups);
            }
            HirKind::Repetition(repetition) => collect(&repetition.sub, groups),
            HirKind::Concat(parts) | HirKind::Alternation(parts) => {
                parts.iter().for_each(|part| collect(part, groups));
            }
            HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => {}
        }
    }
    let mut groups = vec![None];
    collect(hir, &mut groups);
    groups
}

/// No fewer than the states of its automaton.
fn states(hir: &Hir) -> usize {
    let sum = |parts: &[Hir]| parts.iter().map(states).fold(parts.len(), usize::saturating_add);
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Bytes(class)) => 1 + class.ranges().len(),
        HirKind::Class(Class::Unicode(class)) if class.is_ascii() => 1 + class.ranges().len(),
        // Turned on by a flag inside: each range becomes sequences of octets.
        HirKind::Class(Class::Unicode(_)) => usize::MAX,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.map_or(repetition.min.saturating_add(1), |max| max.max(repetition.min));
            let each = states(&repetition.sub).saturating_add(2);
            each.saturating_mul(usize::try_from(times).unwrap_or(usize::MAX).max(1))
        }
        HirKind::Capture(capture) => states(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => sum(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Hir, Result<Expression, TooLarge>) {
        let hir = Expression::parse(text).unwrap();
        let expression = Expression::new(text, &hir);
        (hir, expression)
    }

    #[test]
    fn what_is_small_is_compiled_when_it_is_first_needed() {
        let expression = read(r"^ip-(\d+)\.example$").1.unwrap();
        assert!(expression.compiled.get().is_none());
        // What a reload takes over is one with what was there before.
        let taken_over = expression.clone();
        assert!(expression.is_match(b"ip-1.example"));
        assert!(taken_over.compiled.get().is_some());
        assert_eq!(&taken_over.captures(b"ip-12.example").unwrap()[1], b"12");
    }

    #[test]
    fn what_is_large_is_compiled_at_once_and_has_a_bound() {
        assert!(read("(a{50}b){50}").1.unwrap().compiled.get().is_some());
        assert!(read(r"(?u:\pL)").1.unwrap().compiled.get().is_some());
        for too_large in ["(a{300}){300}", "((a{100}){100}){100}", r"(?u:\pL){1000}"] {
            assert!(read(too_large).1.is_err(), "{too_large}");
        }
    }

    #[test]
    fn what_is_called_small_compiles_far_below_the_bound() {
        let widest: String = (0..100).map(|at| format!("\\x{:02x}", 2 * at)).collect();
        for text in [
            "a".repeat(SMALL),
            format!("[{widest}]{{9}}"),
            r"\d{200}".to_owned(),
            r"(?:\d?){150}".to_owned(),
            "(a)".repeat(200),
            format!("(?:{})", vec!["a"; 300].join("b|")),
            r"(?i)[a-z]{150}$".to_owned(),
            r"((((a|b){3}|c){3}|d){3}|\b){3}".to_owned(),
        ] {
            let (hir, expression) = read(&text);
            assert!(states(&hir) <= SMALL, "{text}: {}", states(&hir));
            assert!(expression.unwrap().compiled.get().is_none(), "{text}");
            let compiled = RegexBuilder::new(&text).unicode(false).size_limit(MAX_COMPILED / 4).build();
            assert!(compiled.is_ok(), "{text}");
        }
    }

    #[test]
    fn groups_are_those_of_the_compiled_expression() {
        for text in ["a", "(a)", "(?<x>a)|(b(?<y>c))", "(a){0}(?<z>b)", "(?:(?<q>a)*b){2}", "((a){0})(?<r>b)(c){0}"] {
            let (hir, expression) = read(text);
            let expression = expression.unwrap();
            let compiled: Vec<Option<&str>> = expression.regex().unwrap().capture_names().collect();
            assert_eq!(groups(&hir), compiled, "{text}");
        }
    }
}
