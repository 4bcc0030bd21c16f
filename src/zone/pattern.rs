//! Which pattern owns a name: patterns are found by the end of the names they match, so that a
//! zone may have thousands.
//!
//! One big `RegexSet` is no way: ten thousand patterns took 131 MB and up to 6.5 ms a match.

use regex_syntax::hir::Look;
use regex_syntax::hir::literal::{ExtractKind, Extractor, Literal};

use crate::config::{self, Expression};
use crate::dns::name::{MAX_NAME, suffixes};

use super::suffix::SuffixMap;

/// How many lists of candidates are merged on the stack; a name with more, which no sane
/// configuration has, is tried against every pattern.
const MAX_LISTS: usize = 8;

/// How many patterns for names with the same end are left to be compiled when such a name is asked
/// for: each holds the worker up for some 50 us.
const MAX_LATE: usize = 16;

/// The patterns of one zone.
#[derive(Debug)]
pub(super) struct Patterns {
    /// In file order.
    patterns: Box<[config::Pattern]>,
    /// By the last labels, in text, of every name a pattern matches: places in `patterns`, ascending.
    by_suffix: SuffixMap<Box<[u8]>, Vec<usize>>,
    /// The places of those that may match names with any end, ascending.
    rest: Vec<usize>,
}

impl Patterns {
    pub(super) fn build(patterns: &[config::Pattern]) -> Self {
        let mut by_suffix = SuffixMap::<Box<[u8]>, Vec<usize>>::new();
        let mut rest = Vec::new();
        for (place, pattern) in patterns.iter().enumerate() {
            let Some(keys) = required_suffixes(pattern.regex.as_str()) else {
                rest.push(place);
                continue;
            };
            for key in keys {
                let depth = depth(&key);
                by_suffix.entry(key, depth, Vec::new).push(place);
            }
        }
        for list in by_suffix.values().chain([&rest]).filter(|list| list.len() > MAX_LATE) {
            list.iter().for_each(|&place| patterns[place].regex.compile());
        }
        Self { patterns: patterns.into(), by_suffix, rest }
    }

    /// Shows `react` every pattern that may match `qname`, in file order, until it makes something of
    /// one. It gets the place, the pattern, and the text to hold against it: whether that is searched
    /// for groups as well is for whoever knows what they are for.
    pub(super) fn first<T>(
        &self,
        qname: &[u8],
        react: impl Fn(usize, &config::Pattern, &[u8]) -> Option<T>,
    ) -> Option<T> {
        if self.patterns.is_empty() {
            return None;
        }
        let mut buffer = [0; MAX_NAME];
        let text = text_of(qname, &mut buffer);
        self.candidates(text, |place| react(place, self.patterns.get(place)?, text))
    }

    /// Shows `attempt` the place of every pattern that may match `text`, in file order, until one
    /// gives a value.
    fn candidates<T>(&self, text: &[u8], attempt: impl Fn(usize) -> Option<T>) -> Option<T> {
        let depth = depth(text);
        let by_suffix =
            text_suffixes(text).enumerate().filter_map(|(skipped, suffix)| self.by_suffix.get(suffix, depth - skipped));
        let mut lists: [&[usize]; MAX_LISTS] = [&[]; MAX_LISTS];
        lists[0] = &self.rest;
        for (index, places) in by_suffix.enumerate() {
            let Some(list) = lists.get_mut(1 + index) else {
                return (0..self.patterns.len()).find_map(attempt);
            };
            *list = places;
        }
        loop {
            let next = lists.iter_mut().filter(|list| !list.is_empty()).min_by_key(|list| list[0])?;
            let place = next[0];
            *next = &next[1..];
            if let Some(value) = attempt(place) {
                return Some(value);
            }
        }
    }
}

/// The text that patterns see: labels joined by dots, raw octets, no final dot.
fn text_of<'b>(qname: &[u8], buffer: &'b mut [u8; MAX_NAME]) -> &'b [u8] {
    let mut end = 0;
    for suffix in suffixes(qname) {
        let label = suffix.get(1..=usize::from(suffix[0])).unwrap_or_default();
        if label.is_empty() {
            break;
        }
        if end > 0 {
            buffer[end] = b'.';
            end += 1;
        }
        buffer[end..end + label.len()].copy_from_slice(label);
        end += label.len();
    }
    &buffer[..end]
}

/// The text and what stands behind each of its dots. A dot inside a label counts like any other:
/// patterns cannot tell them apart.
fn text_suffixes(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let here = rest?;
        rest = here.iter().position(|&octet| octet == b'.').map(|dot| &here[dot + 1..]);
        Some(here)
    })
}

fn depth(text: &[u8]) -> usize {
    1 + text.iter().filter(|&&octet| octet == b'.').count()
}

/// The ends, in whole labels, of which every text that the pattern matches has one; `None` if
/// there are no such ends, or too many to tell.
///
fn required_suffixes(pattern: &str) -> Option<Vec<Box<[u8]>>> {
    let hir = Expression::parse(pattern).ok()?;
    let properties = hir.properties();
    if !properties.look_set_suffix().contains(Look::End) {
        return None;
    }
    let from_start = properties.look_set_prefix().contains(Look::Start);
    let ends = Extractor::new().kind(ExtractKind::Suffix).extract(&hir);
    let mut keys = ends
        .literals()?
        .iter()
        // Names are matched in lower case, so no text ends so.
        .filter(|end| !end.as_bytes().iter().any(u8::is_ascii_uppercase))
        .map(|end| whole_labels(end, from_start))
        .collect::<Option<Vec<_>>>()?;
    keys.sort_unstable();
    keys.dedup();
    Some(keys)
}

/// The part of a text's end that begins at the text's start or behind one of its dots.
fn whole_labels(end: &Literal, from_start: bool) -> Option<Box<[u8]>> {
    let octets = end.as_bytes();
    if from_start && end.is_exact() {
        return Some(octets.into());
    }
    let dot = octets.iter().position(|&octet| octet == b'.')?;
    Some(octets[dot + 1..].into())
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
