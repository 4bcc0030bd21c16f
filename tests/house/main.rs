//! The house rules, as tests: what the documents say, what is shipped, who imports whom.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bounds;
mod cli;
mod compare;
mod files;
mod layering;
mod manifests;
mod metrics_names;
mod readme;
mod shipped;
mod source;
mod tools;
mod units;
mod yaml;
