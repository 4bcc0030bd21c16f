//! Who may import whom. The arrows are drawn in ARCHITECTURE.md; this is where they are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;

use crate::source;

/// Each room, and all the rooms that it imports. The table is exact: an arrow that nobody uses any
/// more leaves it.
const ARROWS: &[(&str, &[&str])] = &[
    ("dns", &[]),
    ("clock", &["dns"]),
    ("datagram", &["dns"]),
    ("config", &["dns"]),
    ("metrics", &["dns"]),
    ("zone", &["config", "dns"]),
    ("cache", &["dns", "metrics"]),
    ("upstream", &["clock", "config", "datagram", "dns", "metrics"]),
    ("forward", &["cache", "clock", "config", "dns", "metrics", "upstream"]),
    ("handler", &["cache", "clock", "config", "dns", "forward", "metrics", "upstream", "zone"]),
    ("listener", &["cache", "clock", "datagram", "dns", "forward", "handler", "metrics", "upstream"]),
    ("node", &["config", "dns", "listener", "metrics", "upstream"]),
    ("admin", &["clock", "dns", "forward", "listener", "metrics"]),
    (
        "daemon",
        &[
            "admin", "cache", "clock", "config", "dns", "forward", "handler", "listener", "metrics", "node",
            "upstream", "zone",
        ],
    ),
    ("cli", &["admin", "config", "daemon", "dns", "forward", "handler", "metrics", "node", "upstream", "zone"]),
];

/// The only files that may name the daemon: one starts it, one has it build the tables to explain.
const KNOW_THE_DAEMON: &[&str] = &["src/cli/run.rs", "src/cli/explain.rs"];

type Arrows = BTreeMap<String, BTreeSet<String>>;

fn room_of(path: &Path) -> Option<String> {
    let first = path.strip_prefix("src").unwrap().iter().next().unwrap();
    let room = Path::new(first).with_extension("").display().to_string();
    (room != "lib" && room != "main").then_some(room)
}

/// The rooms that a text names: behind `crate::`, in a group behind it, or behind `super::` where
/// that leads out of the room.
fn named(path: &Path, text: &str) -> BTreeSet<String> {
    let room = room_of(path).unwrap();
    let single = Regex::new(r"(?-u)\bcrate::([a-z_]+)").unwrap();
    let group = Regex::new(r"(?-u)\bcrate::\{").unwrap();
    let above = Regex::new(r"(?-u)\b(?:super::)+([a-z_]+)").unwrap();
    assert!(!group.is_match(text), "{}: one `use crate::room` a line, so that arrows can be seen", path.display());
    // Modules above this one, up to the root; one more inside of an inline module.
    let depth = path.with_extension("").iter().skip(1).filter(|part| *part != "mod").count();
    let is_child = |name: &str| {
        let inside = source::top().join("src").join(&room).join(name);
        inside.is_dir() || inside.with_extension("rs").exists()
    };
    let first = |captures: regex::Captures<'_>| captures[1].to_owned();
    let leaves = |captures: &regex::Captures<'_>| captures[0].matches("super").count() >= depth;
    let above = above.captures_iter(text).filter(leaves).map(first).filter(|name| !is_child(name) && is_room(name));
    single.captures_iter(text).map(first).filter(|name| is_room(name)).chain(above).filter(|n| *n != room).collect()
}

fn is_room(name: &str) -> bool {
    ARROWS.iter().any(|(room, _)| *room == name)
}

#[test]
fn rooms_import_along_the_arrows_and_use_every_arrow() {
    let mut found = Arrows::new();
    for (path, text) in source::rust("src") {
        let Some(room) = room_of(&path) else { continue };
        assert!(is_room(&room), "{}: a room that is not in the table", path.display());
        found.entry(room).or_default().extend(named(&path, &text));
    }
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let expected: Arrows = ARROWS.iter().map(|(room, names)| ((*room).to_owned(), set(names))).collect();
    for (room, names) in &expected {
        assert_eq!(found.get(room), Some(names), "what `{room}` imports");
    }
}

#[test]
fn no_arrow_points_back() {
    for (place, (_, names)) in ARROWS.iter().enumerate() {
        for name in *names {
            assert!(ARROWS[..place].iter().any(|(earlier, _)| earlier == name), "{name} comes later in the table");
        }
    }
}

#[test]
fn only_the_command_line_knows_the_daemon() {
    for (path, text) in source::rust("src") {
        let Some(room) = room_of(&path) else { continue };
        if room != "daemon" && !KNOW_THE_DAEMON.iter().any(|known| path == Path::new(known)) {
            assert!(!named(&path, &text).contains("daemon"), "{}", path.display());
        }
    }
}

#[test]
fn the_words_of_dns_know_no_socket_no_clock_and_no_runtime() {
    let io =
        Regex::new(r"(?-u)\b(tokio|socket2|nix|libc|moka|tracing)::|std::(net::\w*Socket|fs|time::Instant|thread)")
            .unwrap();
    for (path, text) in source::rust("src/dns") {
        let outside_tests = text.split("#[cfg(test)]").next().unwrap();
        assert!(
            !io.is_match(outside_tests) || path.ends_with("tests.rs"),
            "{}: {:?}",
            path.display(),
            io.find(outside_tests)
        );
    }
}

#[test]
fn the_page_draws_the_same_arrows() {
    let page = source::read("ARCHITECTURE.md");
    for (room, names) in ARROWS.iter().filter(|(room, _)| *room != "daemon") {
        let imports = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
        let row = format!("| `{room}` | {imports} |");
        assert!(page.contains(&row), "ARCHITECTURE.md lacks the row\n{row}");
    }
}
