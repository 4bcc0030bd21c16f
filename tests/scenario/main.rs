//! Scripted questions to the line, with upstreams that do as they are told and time that passes
//! when the script says so. No packet leaves the process.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a scenario that cannot go on has failed")]

mod allocation;
mod answer;
mod answers;
mod bounds;
mod caching;
mod corpus;
mod corpus_file;
mod edns;
mod failover;
mod groups;
mod hostile;
mod hosts;
mod loops;
mod outages;
mod prefetch;
mod relief;
mod reload;
mod reply;
mod special;
mod stale;
mod upstreams;
mod world;
