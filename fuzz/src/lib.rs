//! What must hold whatever the input is: one module a fuzz target, each with one `check`, which
//! panics when it does not hold.

pub mod config;
pub mod handler;
pub mod hosts;
pub mod parcel;
pub mod query;
pub mod snapshot;
pub mod stored_answer;
pub mod tcp_framing;
pub mod upstream_reply;
pub mod wire;
pub mod zone_file;

/// Whether a line and a column, both from 1, point into `text` or right behind the end of a line.
fn lies_within(text: &str, line: usize, column: usize) -> bool {
    let found = line.checked_sub(1).and_then(|index| text.split('\n').nth(index));
    found.is_some_and(|found| (1..=found.chars().count() + 1).contains(&column))
}
