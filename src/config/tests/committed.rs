//! Pages of the repository that are written from the program itself.

use std::path::Path;

/// The page is what is rendered now. With `UPDATE_DOCS` in the environment it is written so, first.
///
/// # Panics
/// When it is anything else.
#[track_caller]
pub(crate) fn assert_committed(path: &str, page: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        std::fs::write(path, page).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == page, "{path} is out of date: run UPDATE_DOCS=1 cargo test --lib");
}
