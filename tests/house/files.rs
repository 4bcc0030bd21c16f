//! What a source file may be.

use crate::source;

/// All that has code of ours.
const ROOMS: &[&str] = &["src", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets"];
const MOST_LINES: usize = 400;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "misc", "helper", "helpers", "types", "globals"];
/// The only places with `unsafe`: the system calls for batches of datagrams, and descriptors that
/// another process has sent.
const UNSAFE: &[&str] = &["src/datagram", "src/listener/hand_over.rs"];

#[test]
fn no_file_is_longer_than_can_be_read_at_once() {
    for (path, text) in ROOMS.iter().flat_map(|room| source::rust(room)) {
        let lines = text.lines().count();
        assert!(lines <= MOST_LINES, "{}: {lines} lines; {MOST_LINES} are the most", path.display());
    }
}

#[test]
fn names_say_what_is_inside() {
    for (path, _) in ROOMS.iter().flat_map(|room| source::rust(room)) {
        for part in path.with_extension("").iter() {
            assert!(!EMPTY_NAMES.iter().any(|name| part == *name), "{}: name it for what it holds", path.display());
        }
    }
}

#[test]
fn unsafe_stays_in_its_room() {
    let word = regex::Regex::new(r"(?-u)\bunsafe\b").unwrap();
    let has = |text: &str| text.lines().any(|line| word.is_match(line.split("//").next().unwrap_or("")));
    for (path, text) in source::rust("src") {
        assert!(
            !has(&text) || UNSAFE.iter().any(|room| path.starts_with(room)),
            "{}: unsafe belongs into {UNSAFE:?}",
            path.display()
        );
    }
}

#[test]
fn every_dependency_earns_its_line() {
    let (manifest, page) = (source::read("Cargo.toml"), source::read("ARCHITECTURE.md"));
    let (_, table) = page.split_once("## Dependencies").unwrap();
    for kind in ["[dependencies]", "[dev-dependencies]"] {
        let (_, section) = manifest.split_once(&format!("\n{kind}\n")).unwrap();
        for line in section.lines().take_while(|line| !line.starts_with('[')) {
            let Some((name, _)) = line.split_once(" = ") else { continue };
            let named = table.lines().any(|row| row.split(['|', ',', ' ']).any(|word| word == name));
            assert!(named, "ARCHITECTURE.md does not say what {name} is for");
        }
    }
}

#[test]
fn nothing_is_left_for_later_in_a_comment() {
    let mark = regex::Regex::new(concat!("TO", "DO|FIX", "ME|XX", "X")).unwrap();
    for (path, text) in ROOMS.iter().flat_map(|room| source::rust(room)) {
        let line = text.lines().position(|line| mark.is_match(line));
        assert_eq!(line, None, "{}: do it, or write it down where plans are kept", path.display());
    }
}
