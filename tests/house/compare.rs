//! The comparison with other servers: its page tells every row, and its files are as short as ours.

use std::fs;
use std::path::PathBuf;

use crate::source;

const PAGE: &str = "benches/README.md";
const MOST_LINES: usize = 400;

/// The programs and modules of the comparison, with their texts.
fn python() -> Vec<(PathBuf, String)> {
    let files = fs::read_dir(source::top().join("benches/compare")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file() && path.extension().is_none_or(|extension| extension == "py"));
    files.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn the_page_has_every_row() {
    let page = source::read(PAGE);
    let row = regex::Regex::new(r#"Row\("([a-z-]+)", "#).unwrap();
    let files = python();
    let rows: Vec<&str> = files
        .iter()
        .flat_map(|(_, text)| row.captures_iter(text))
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    assert!(rows.contains(&"hits") && rows.contains(&"memory"), "{rows:?}");
    for row in rows {
        let told = page.lines().any(|line| {
            line.strip_prefix("| ").and_then(|rest| rest.split_once(" | ")).is_some_and(|(names, _)| {
                names
                    .split(", ")
                    .any(|name| name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) == Some(row))
            })
        });
        assert!(told, "{PAGE} does not say what is asked in the row {row}");
    }
}

#[test]
fn no_module_is_longer_than_can_be_read_at_once() {
    for (path, text) in python() {
        let lines = text.lines().count();
        assert!(lines <= MOST_LINES, "{}: {lines} lines; {MOST_LINES} are the most", path.display());
    }
}
