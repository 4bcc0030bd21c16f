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

/// The lines of the first table whose head begins like this.
fn table<'t>(text: &'t str, head: &str) -> Vec<&'t str> {
    let lines = text.lines().skip_while(|line| !line.starts_with(head));
    lines.take_while(|line| line.starts_with('|')).collect()
}

#[test]
fn what_the_readme_shows_is_what_was_measured() {
    let (readme, report) = (source::read("README.md"), source::read("benches/results/report.md"));
    let measured = table(&report, "| median |");
    assert!(measured.len() > 10, "{measured:?}");
    assert_eq!(table(&readme, "| median |"), measured);
    let date = report.lines().find_map(|line| line.strip_prefix("| date | ")).unwrap();
    let (day, _) = date.split_once(' ').unwrap();
    assert!(readme.contains(day), "README.md does not say that it was measured on {day}");
    for plot in ["benches/results/overview.svg", "benches/results/report.md"] {
        assert!(readme.contains(&format!("({plot})")), "README.md does not show {plot}");
    }
}
