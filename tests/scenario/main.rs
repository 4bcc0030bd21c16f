//! Scripted questions to the line, with upstreams that do as they are told and time that passes
//! when the script says so. No packet leaves the process.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a scenario that cannot go on has failed")]

mod allocation;
mod answers;
mod caching;
mod corpus;
mod corpus_file;
mod failover;
mod groups;
mod hostile;
mod prefetch;
mod reload;
mod special;
mod stale;
mod world;
