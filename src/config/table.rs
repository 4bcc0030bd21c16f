//! One TOML table, read key by key as `keys` says: what is unknown, of the wrong type or out of
//! range is reported, and reading goes on with the default.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Message, Report};
use super::keys::{KEYS, Key, Kind, LATER, Preset, Section};
use super::quantity;
use super::text::At;

/// A section of the file.
pub(super) struct Table<'a> {
    pub(super) entries: &'a DeTable<'a>,
    /// Its header; the whole value of an inline table.
    pub(super) span: Range<usize>,
}

impl<'a> Table<'a> {
    /// Opens a section and reports the keys that it cannot have. `tables` are the names of the
    /// sections inside it.
    pub(super) fn open(
        section: Section,
        entries: &'a DeTable<'a>,
        span: Range<usize>,
        tables: &[&'static str],
        report: &mut Report<'_>,
    ) -> Self {
        for key in entries.keys() {
            let name: &str = key.get_ref();
            if section.keys().all(|known| known.name != name) && !tables.contains(&name) {
                let path = format!("{}.{name}", section.path());
                report.error(key.span().start, &path, unknown(section, name));
            }
        }
        Self { entries, span }
    }

    /// Whether the file says something for this key, right or wrong.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.entries.contains_key(key.name)
    }

    /// What the file says, or the key's default; `None` if it says nothing usable.
    pub(super) fn duration(&self, key: &Key, report: &mut Report<'_>) -> Option<At<Duration>> {
        let Kind::Duration { min, max } = key.kind else { return None };
        self.read(key, report, |value| in_range(duration(value)?, min, max, quantity::duration_text))
    }

    /// Seconds; like [`Self::duration`].
    pub(super) fn ttl(&self, key: &Key, report: &mut Report<'_>) -> Option<At<u32>> {
        let (min, max) = match key.kind {
            Kind::Ttl { max } => (0, max),
            Kind::Duration { min, max } => (min.as_secs(), u32::try_from(max.as_secs()).unwrap_or(u32::MAX)),
            _ => return None,
        };
        self.read(key, report, |value| {
            let ttl = duration(value)?;
            if ttl.subsec_nanos() != 0 {
                let problem = format!("a TTL of {} is no whole number of seconds", quantity::duration_text(ttl));
                return Err(Message::new(problem, r#"write whole seconds, as 30 or "1h""#));
            }
            let seconds = in_range(ttl.as_secs(), min, u64::from(max), |n: u64| n.to_string())?;
            Ok(u32::try_from(seconds).unwrap_or(max))
        })
    }

    /// A number of things or of octets; like [`Self::duration`].
    pub(super) fn number(&self, key: &Key, report: &mut Report<'_>) -> Option<At<u64>> {
        match key.kind {
            Kind::Count { min, max } => self.read(key, report, |value| {
                let count = unsigned(value).ok_or_else(|| wrong_type(value, "a whole number", "1024"))??;
                in_range(count, min, max, |n: u64| n.to_string())
            }),
            Kind::Size { min, max } => self.read(key, report, |value| {
                let size = match value {
                    DeValue::String(text) => quantity::size(text)?,
                    _ => unsigned(value).ok_or_else(|| wrong_type(value, "a size", r#""64MiB""#))??,
                };
                in_range(size, min, max, quantity::size_text)
            }),
            _ => None,
        }
    }

    pub(super) fn flag(&self, key: &Key, report: &mut Report<'_>) -> Option<At<bool>> {
        self.read(key, report, |value| value.as_bool().ok_or_else(|| wrong_type(value, "true or false", "true")))
    }

    pub(super) fn text(&self, key: &Key, report: &mut Report<'_>) -> Option<At<String>> {
        self.read(key, report, |value| string(value, key))
    }

    /// One of the words that the key knows.
    pub(super) fn word(&self, key: &Key, report: &mut Report<'_>) -> Option<At<String>> {
        let Kind::Word { words } = key.kind else { return None };
        self.read(key, report, |value| {
            let text = string(value, key)?;
            if words.contains(&text.as_str()) { Ok(text) } else { Err(no_such_word(&text, words)) }
        })
    }

    /// A list of strings, those that are one; `None` if there is no list at all.
    pub(super) fn texts(&self, key: &Key, report: &mut Report<'_>) -> Option<Vec<At<String>>> {
        let list = self.read(key, report, |value| match value {
            DeValue::Array(list) => {
                Ok(list.iter().map(|item| (item.span(), string(item.get_ref(), key))).collect::<Vec<_>>())
            }
            DeValue::String(text) => {
                Err(Message::new("a string stands where a list must", format!("put brackets round it: [{text:?}]")))
            }
            _ => Err(wrong_type(value, "a list of strings", r#"["…"]"#)),
        })?;
        let mut texts = Vec::with_capacity(list.value.len());
        for (span, item) in list.value {
            let span = if list.given { span } else { self.span.clone() };
            match item {
                Ok(value) => texts.push(At { value, span, given: list.given }),
                Err(message) => report.error(span.start, &key.path(), message),
            }
        }
        Some(texts)
    }

    /// The tables under this name: `[[name]]`.
    pub(super) fn tables(
        entries: &'a DeTable<'a>,
        section: Section,
        report: &mut Report<'_>,
    ) -> Vec<(&'a DeTable<'a>, Range<usize>)> {
        let name = section.path().rsplit('.').next().unwrap_or_default();
        let Some(value) = entries.get(name) else { return Vec::new() };
        let items: &[Spanned<DeValue<'a>>] = match value.get_ref() {
            DeValue::Array(items) => items,
            _ => std::slice::from_ref(value),
        };
        let is_list = value.get_ref().is_array();
        let mut tables = Vec::new();
        for item in items {
            match item.get_ref().as_table() {
                Some(table) if is_list => tables.push((table, item.span())),
                _ => report.error(item.span().start, section.path(), no_table(section)),
            }
        }
        tables
    }

    /// The table under this name within another: `name = { … }`, or a section of its own.
    pub(super) fn inner(
        entries: &'a DeTable<'a>,
        section: Section,
        report: &mut Report<'_>,
    ) -> Option<(&'a DeTable<'a>, Range<usize>)> {
        let name = section.path().rsplit('.').next().unwrap_or_default();
        let value = entries.get(name)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            let keys: Vec<String> = section.keys().map(example).collect();
            let all = section.keys().all(|key| matches!(key.preset, Preset::Required));
            let or_less = if all { "" } else { ", or some of that" };
            let remedy = format!("write {name} = {{ {} }}{or_less}", keys.join(", "));
            report.error(value.span().start, section.path(), Message::new("must be a table", remedy));
        }
        Some((table?, value.span()))
    }

    fn read<T>(
        &self,
        key: &Key,
        report: &mut Report<'_>,
        convert: impl Fn(&DeValue<'_>) -> Result<T, Message>,
    ) -> Option<At<T>> {
        if let Some(found) = self.entries.get(key.name) {
            match convert(found.get_ref()) {
                Ok(value) => return Some(At { value, span: found.span(), given: true }),
                Err(message) => report.error(found.span().start, &key.path(), message),
            }
        } else if matches!(key.preset, Preset::Required) && !report.incomplete() {
            let remedy = format!("add `{} = …` ({}) to {}", key.name, expected(key), key.section.header());
            report.error(self.span.start, &key.path(), Message::new("is missing", remedy));
        }
        let value = convert(key.default()?).ok()?;
        Some(At { value, span: self.span.clone(), given: false })
    }
}

/// A key with its default.
fn example(key: &'static Key) -> String {
    match key.preset {
        Preset::Toml(text) => format!("{} = {text}", key.name),
        Preset::Required => format!("{} = …", key.name),
        Preset::Described(_) => key.name.to_owned(),
    }
}

/// What is said where a section is no table.
pub(super) fn no_table(section: Section) -> Message {
    Message::new(
        format!("`{}` is a section of its own", section.path()),
        format!("write {} above its keys", section.header()),
    )
}

/// What is said about a top-level name that is no section.
pub(super) fn unknown_section(name: &str) -> Message {
    let owners: Vec<String> = KEYS.iter().filter(|key| key.name == name).map(|key| key.section.header()).collect();
    if !owners.is_empty() {
        let remedy = format!("put it below {}", owners.join(" or "));
        return Message::new(format!("`{name}` stands outside every section"), remedy);
    }
    let known: Vec<&str> =
        Section::ALL.iter().map(|section| section.path()).filter(|path| !path.contains('.')).collect();
    let remedy = nearest(name, &known).map_or_else(
        || format!("remove it, or write one of {}", known.join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    Message::new(format!("there is no section `{name}`"), remedy)
}

/// The candidate that `text` was likely meant to be.
pub(super) fn nearest<'c>(text: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let distance = |candidate: &&&str| strsim::damerau_levenshtein(&text.to_lowercase(), &candidate.to_lowercase());
    let near = candidates.iter().min_by_key(distance)?;
    (distance(&near) <= near.chars().count().div_ceil(3)).then_some(*near)
}

pub(super) fn no_such_word(text: &str, words: &[&str]) -> Message {
    let remedy = match nearest(text, words) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("write {}", one_of(words)),
    };
    Message::new(format!("{text:?} is none of the words it knows"), remedy)
}

fn unknown(section: Section, name: &str) -> Message {
    if LATER.iter().any(|(owner, names)| *owner == section && names.contains(&name)) {
        return Message::new(format!("`{name}` is not available in this version of zerohop"), "remove it");
    }
    let known: Vec<&str> = section.keys().map(|key| key.name).collect();
    let problem = format!("{} has no key `{name}`", section.header());
    if let Some(near) = nearest(name, &known) {
        return Message::new(problem, format!("did you mean `{near}`?"));
    }
    if let Some(other) = KEYS.iter().find(|key| key.name == name) {
        return Message::new(problem, format!("`{name}` belongs to {}", other.section.header()));
    }
    Message::new(problem, format!("remove it; the keys of {} are {}", section.header(), known.join(", ")))
}

fn expected(key: &Key) -> String {
    match key.kind {
        Kind::Text(what) => what.to_owned(),
        Kind::Texts(what) => format!("a list: {what}"),
        Kind::Word { words, .. } => one_of(words),
        Kind::Words(words) => format!("a list of {}", words.join(", ")),
        Kind::Count { .. } | Kind::Size { .. } | Kind::Duration { .. } | Kind::Ttl { .. } => "a number".to_owned(),
        Kind::Flag => "true or false".to_owned(),
    }
}

fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    quoted.join(" or ")
}

fn string(value: &DeValue<'_>, key: &Key) -> Result<String, Message> {
    value.as_str().map(str::to_owned).ok_or_else(|| {
        let what = match key.kind {
            Kind::Text(what) | Kind::Texts(what) => what,
            _ => "a word",
        };
        Message::new(format!("{} stands where a string must", article(value)), format!("write {what}, in quotes"))
    })
}

fn duration(value: &DeValue<'_>) -> Result<Duration, Message> {
    match value {
        DeValue::String(text) => quantity::duration(text),
        _ => {
            Ok(Duration::from_secs(unsigned(value).ok_or_else(|| wrong_type(value, "a duration", r#"30 or "30s""#))??))
        }
    }
}

/// `None` if it is no integer; the outer type is the caller's to name.
fn unsigned(value: &DeValue<'_>) -> Option<Result<u64, Message>> {
    let integer = value.as_integer()?;
    Some(u64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| {
        let problem = if integer.as_str().starts_with('-') { "is negative" } else { "is too large" };
        Message::new(format!("{integer} {problem}"), "write a whole number within its range")
    }))
}

fn wrong_type(value: &DeValue<'_>, what: &str, example: &str) -> Message {
    Message::new(format!("{} stands where {what} must", article(value)), format!("write one, as {example}"))
}

fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn in_range<T: PartialOrd + Copy>(value: T, min: T, max: T, text: fn(T) -> String) -> Result<T, Message> {
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    Err(Message::new(format!("{} is out of range", text(value)), format!("write {} to {}", text(min), text(max))))
}
