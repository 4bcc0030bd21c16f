//! Scripted questions to the line, with upstreams that do as they are told and time that passes
//! when the script says so. No packet leaves the process.

mod allocation;
mod answers;
mod caching;
mod failover;
mod groups;
mod hostile;
mod reload;
mod world;
