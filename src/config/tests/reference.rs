//! docs/configuration.md, written from the same table as the checks.

use std::fmt::Write;

use super::committed::assert_committed;
use crate::config::keys::{KEYS, Key, Kind, LATER, Preset, Section};
use crate::config::{load, quantity};

const PAGE: &str = "docs/configuration.md";

const HEAD: &str = r#"# Configuration

<!-- Written by `UPDATE_DOCS=1 cargo test --lib config`, from src/config/keys.rs. -->

zerohop reads one TOML file: that of `--config`, else of `$ZEROHOP_CONFIG`, else
`/etc/zerohop/zerohop.toml` if it exists, else the default that is part of the program
(`src/config/default.toml`). No other environment variable changes a key.
`zerohop check` shows every fault of a file at once, with its place and what to write instead.

- A *duration* is a whole number of seconds, or a string: `"400ms"`, `"5s"`, `"2m"`, `"1h"`, `"1d"`.
- A *size* is a number of octets, or a string: `"64MiB"`, `"1GiB"`.
- Paths are relative to the directory of the file. What changes in the file, and in those that it
  names, is taken up by itself: [reload.md](reload.md).
- Unknown keys are faults, so that a slip of the pen is not a setting lost.
"#;

#[test]
fn the_page_says_what_the_table_says() {
    assert_committed(PAGE, &page());
}

#[test]
fn every_default_is_read_as_it_is_documented() {
    for key in KEYS {
        if let Preset::Toml(text) = key.preset {
            let (head, tail) = if key.section.is_repeated() { ("[[", "]]") } else { ("[", "]") };
            let others = match key.section {
                Section::Server => "listen = ['127.0.0.1']",
                Section::Upstream => "name = 'a'\nservers = ['10.0.0.1']",
                Section::Zone => "name = '.'\nforward = ['10.0.0.2', '10.0.0.3']",
                _ => "",
            };
            let outer = match key.section {
                Section::ServeStale => "[[zone]]\nname = '.'\nforward = ['10.0.0.2']\n",
                _ => "",
            };
            let section = format!("{outer}{head}{}{tail}\n{others}\n{} = {text}\n", key.section.path(), key.name);
            let server = if key.section == Section::Server { "" } else { "[server]\nlisten = ['169.254.20.10']\n" };
            let loaded = load::parse("a.toml".as_ref(), &format!("{section}{server}"));
            assert!(loaded.is_ok(), "{}: {}", key.path(), loaded.unwrap_err());
        }
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for section in Section::ALL {
        write!(page, "\n## `{}`\n\n{}\n\n", section.header(), introduction(*section)).unwrap();
        page.push_str("| key | type | default | range | what it is for |\n|---|---|---|---|---|\n");
        for key in section.keys() {
            let [kind, default, range] = [kind(key), default(key), range(key)].map(|cell| cell.replace('|', "\\|"));
            writeln!(page, "| `{}` | {kind} | {default} | {range} | {} |", key.name, key.reason).unwrap();
        }
    }
    page.push_str("\n## Not in this version\n\nThese keys are planned; today they are faults.\n\n");
    for (section, names) in LATER.iter().filter(|(_, names)| !names.is_empty()) {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        writeln!(page, "- `{}`: {}", section.header(), names.join(", ")).unwrap();
    }
    page
}

pub(super) fn introduction(section: Section) -> &'static str {
    match section {
        Section::Server => "Where questions come in. Must be there.",
        Section::ServerTls => {
            "DNS over TLS (RFC 7858), if it stands: TLS 1.2 and 1.3, and whom `allow` lets ask. A certificate in its last days is warned of, and `zerohop_certificate_expiry_timestamp_seconds` says when the first of the file expires. Certificate and key may be replaced at any time: connections that are open keep the old one."
        }
        Section::Interface => {
            "The device that has zerohop's own addresses: when this section stands, it is made and kept by zerohop, over netlink. [interface.md](interface.md) says what is adopted, refused and repaired, and what intercepting an address means."
        }
        Section::Admin => "Where operators look.",
        Section::Cache => "What is kept.",
        Section::Log => "What is written to standard error.",
        Section::Upstream => "Servers that know the same, under a name.",
        Section::Zone => {
            "A suffix, and how the names below it are answered. Without `forward` every name of the zone is answered here, and what is not there is NXDOMAIN; with `forward` only the names that are there are."
        }
        Section::ServeStale => {
            "Answers that have run out, for when no upstream answers (RFC 8767): within its `[[zone]]`, as `serve-stale = { max-age = \"1h\" }`. It is on unless said; what is not said is the default."
        }
        Section::Match => "A regex wildcard, below its `[[zone]]`.",
    }
}

pub(super) fn kind(key: &Key) -> String {
    match key.kind {
        Kind::Count { .. } => "number".to_owned(),
        Kind::Duration { .. } => "duration".to_owned(),
        Kind::Ttl { .. } => "duration, whole seconds".to_owned(),
        Kind::Size { .. } => "size".to_owned(),
        Kind::Flag => "`true` or `false`".to_owned(),
        Kind::Word { .. } => "word".to_owned(),
        Kind::Words(_) => "list of words".to_owned(),
        Kind::Text(what) => what.to_owned(),
        Kind::Texts(what) => format!("list: {what}"),
    }
}

pub(super) fn default(key: &Key) -> String {
    match key.preset {
        Preset::Required => "must be said".to_owned(),
        Preset::Toml(text) => format!("`{text}`"),
        Preset::Described(what) => what.to_owned(),
    }
}

pub(super) fn range(key: &Key) -> String {
    match key.kind {
        Kind::Count { min, max } => format!("{min} to {max}"),
        Kind::Duration { min, max } => format!("{} to {}", quantity::duration_text(min), quantity::duration_text(max)),
        Kind::Ttl { max } => format!("0 to {max}"),
        Kind::Size { min, max } => format!("{} to {}", quantity::size_text(min), quantity::size_text(max)),
        Kind::Word { words, .. } | Kind::Words(words) => {
            words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        }
        Kind::Flag | Kind::Text(_) | Kind::Texts(_) => String::new(),
    }
}
