//! docs/bounds.md: every bound of the program stands there, as large as it is.

use std::collections::BTreeSet;

use regex::Regex;

use crate::source;

const PAGE: &str = "docs/bounds.md";

/// Rooms whose limits are those of the formats that they read.
const FORMATS: &[&str] = &["src/dns", "src/config", "src/zone"];

type Bounds = BTreeSet<(String, String)>;

/// What the page says: a file, and `NAME = value`.
fn said() -> Bounds {
    let cell = Regex::new(r"`([A-Z_]+ = [^`]+)`, (src/[a-z_/]+\.rs)").unwrap();
    cell.captures_iter(&source::read(PAGE)).map(|found| (found[2].to_owned(), found[1].to_owned())).collect()
}

#[test]
fn every_bound_is_on_the_page_and_as_large_as_it_says() {
    let constant = Regex::new(r"(?m)^(?:pub(?:\(\w+\))? )?const ([A-Z_]+): (?:usize|u64|u32|i32) = (.+);$").unwrap();
    let is_bound = Regex::new(r"^(MOST|MAX)(_|$)|CAPACITY$|^(QUEUE|PIPELINED|LAST_BATCHES|SETS|SOCKETS)$").unwrap();
    let mut there = Bounds::new();
    for (path, text) in source::rust("src") {
        if FORMATS.iter().any(|room| path.starts_with(room)) {
            continue;
        }
        let bounds = constant.captures_iter(&text).filter(|found| is_bound.is_match(&found[1]));
        there.extend(bounds.map(|found| (path.display().to_string(), format!("{} = {}", &found[1], &found[2]))));
    }
    assert!(there.len() > 10, "{there:?}");
    let said = said();
    let missing: Vec<_> = there.difference(&said).collect();
    let wrong: Vec<_> = said.difference(&there).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "{PAGE} lacks {missing:?}; not so: {wrong:?}");
}
