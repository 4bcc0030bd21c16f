//! The files of the repository, as the other tests look at them.

use std::fs;
use std::path::{Path, PathBuf};

/// The repository's top.
pub(crate) fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file, by its path from the top.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All Rust files below a directory, by their paths from the top, with their texts.
pub(crate) fn rust(directory: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![top().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(top()).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// The fenced blocks of a page that are of this kind.
pub(crate) fn blocks(page: &str, kind: &str) -> Vec<String> {
    let opening = format!("```{kind}\n");
    let blocks = page.split(opening.as_str()).skip(1);
    blocks.map(|rest| rest.split_once("```").expect("the block ends").0.to_owned()).collect()
}
