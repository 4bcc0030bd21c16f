//! What is wrong with a configuration: where, what, and what to write instead.

use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::files::Files;
use super::text::{Place, Text};

/// What is wrong, and what to write instead.
#[derive(Clone, Debug)]
pub(super) struct Message {
    problem: String,
    remedy: String,
    /// The line of source that words it, so that a test can tell which messages it has seen.
    #[cfg(test)]
    worded_at: &'static std::panic::Location<'static>,
}

impl Message {
    #[track_caller]
    pub(super) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            remedy: remedy.into(),
            #[cfg(test)]
            worded_at: std::panic::Location::caller(),
        }
    }
}

/// Whether a fault keeps the configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    /// Legal, and hardly what was meant.
    Warning,
}

/// One thing wrong with a file.
#[derive(Clone, Debug)]
pub struct Fault {
    pub severity: Severity,
    pub file: Arc<Path>,
    /// `None`: the file as a whole, as when it cannot be read.
    pub place: Option<Place>,
    /// The key or section it concerns, as `zone.ttl`; empty when it concerns none.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
    #[cfg(test)]
    pub(super) worded_at: &'static std::panic::Location<'static>,
}

impl Fault {
    /// The fault in one line, without the source that it is about.
    pub fn headline(&self) -> String {
        let place = self.place.as_ref().map_or(String::new(), |place| format!("{}:{}:", place.line, place.column));
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let key = if self.key.is_empty() { String::new() } else { format!("{}: ", self.key) };
        format!("{}:{place} {severity}: {key}{}; {}", self.file.display(), self.problem, self.remedy)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.headline())?;
        f.write_str(self.place.as_ref().map_or("", |place| &place.excerpt))
    }
}

/// Faults by file and place, each once. Shown, they end with a count.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    list: Vec<Fault>,
    files: Files,
}

impl Faults {
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.list.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many keep the configuration from being used.
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|fault| fault.severity == Severity::Error).count()
    }

    /// How many do not.
    pub fn warnings(&self) -> usize {
        self.list.len() - self.errors()
    }

    /// The files that were read, or were to be: when one of them changes, there may be other faults.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The only fault of a file that could not be read at all.
    pub(super) fn of_file(file: &Path, message: Message, files: Files) -> Self {
        let mut faults = Self { list: Vec::new(), files };
        faults.push(Severity::Error, &file.into(), None, "", message);
        faults
    }

    pub(super) fn push(
        &mut self,
        severity: Severity,
        file: &Arc<Path>,
        place: Option<Place>,
        key: &str,
        message: Message,
    ) {
        self.list.push(Fault {
            severity,
            file: Arc::clone(file),
            place,
            key: key.to_owned(),
            problem: message.problem,
            remedy: message.remedy,
            #[cfg(test)]
            worded_at: message.worded_at,
        });
    }

    fn in_order(mut self) -> Self {
        self.list.sort_by(|a, b| (&a.file, &a.place, &a.key, &a.problem).cmp(&(&b.file, &b.place, &b.key, &b.problem)));
        let same =
            |a: &Fault, b: &Fault| (&a.file, &a.place, &a.key, &a.problem) == (&b.file, &b.place, &b.key, &b.problem);
        self.list.dedup_by(|a, b| same(a, b));
        self
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list.iter().try_for_each(|fault| fault.fmt(f))?;
        let counted = |count: usize, one: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            more => Some(format!("{more} {one}s")),
        };
        let counts = [counted(self.errors(), "fault"), counted(self.warnings(), "warning")];
        let counts: Vec<String> = counts.into_iter().flatten().collect();
        writeln!(f, "{}", if counts.is_empty() { "no faults".to_owned() } else { counts.join(", ") })
    }
}

impl std::error::Error for Faults {}

/// Where something was said: at an octet of the configuration file, or on a line of another.
#[derive(Clone)]
pub(super) enum Spot {
    Config(usize),
    Line(Rc<Text>, usize),
}

/// Collects the faults of one configuration file and of the files it names.
pub(super) struct Report<'t> {
    pub(super) text: &'t Text,
    faults: Faults,
    /// The lines that are no TOML. What else is said about them would only follow from that.
    broken_lines: Vec<usize>,
}

impl<'t> Report<'t> {
    /// `files` are those that were read so far.
    pub(super) fn new(text: &'t Text, files: Files) -> Self {
        Self { text, faults: Faults { list: Vec::new(), files }, broken_lines: Vec::new() }
    }

    /// The files that were read, for reading another.
    pub(super) fn files(&mut self) -> &mut Files {
        &mut self.faults.files
    }

    /// A place that is no TOML. Only the first of a line is kept.
    pub(super) fn syntax(&mut self, offset: usize, message: Message) {
        let place = self.text.place(offset);
        if !self.broken_lines.contains(&place.line) {
            self.broken_lines.push(place.line);
            self.faults.push(Severity::Error, &self.text.file, Some(place), "", message);
        }
    }

    /// Whether part of the file could not be read, so that what seems absent may be there.
    pub(super) fn incomplete(&self) -> bool {
        !self.broken_lines.is_empty()
    }

    pub(super) fn error(&mut self, offset: usize, key: &str, message: Message) {
        self.add(Severity::Error, offset, key, message);
    }

    pub(super) fn warning(&mut self, offset: usize, key: &str, message: Message) {
        self.add(Severity::Warning, offset, key, message);
    }

    /// An error in another file, at a line and column from 1.
    pub(super) fn error_in(&mut self, text: &Text, line: usize, column: usize, key: &str, message: Message) {
        self.faults.push(Severity::Error, &text.file, Some(text.place_in_line(line, column)), key, message);
    }

    pub(super) fn error_at(&mut self, spot: &Spot, key: &str, message: Message) {
        match spot {
            Spot::Config(offset) => self.error(*offset, key, message),
            Spot::Line(text, line) => self.error_in(text, *line, 1, key, message),
        }
    }

    /// How a message names a spot: `line 7`, with the file if it is another.
    pub(super) fn line_of(&self, spot: &Spot) -> String {
        match spot {
            Spot::Config(offset) => format!("line {}", self.text.place(*offset).line),
            Spot::Line(text, line) => format!("{}:{line}", text.file.display()),
        }
    }

    pub(super) fn finish(self) -> Faults {
        self.faults.in_order()
    }

    fn add(&mut self, severity: Severity, offset: usize, key: &str, message: Message) {
        let place = self.text.place(offset);
        if !self.broken_lines.contains(&place.line) {
            self.faults.push(severity, &self.text.file, Some(place), key, message);
        }
    }
}
