//! Scripted questions to the line, with upstreams that do as they are told and time that passes
//! when the script says so. No packet leaves the process.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod allocation;
mod answers;
mod caching;
mod failover;
mod groups;
mod reload;
mod world;
