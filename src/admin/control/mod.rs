//! The control socket: what the command line says to the daemon that runs, and how one instance takes
//! the place of another.
//!
//! Messages are lines of JSON, each [`Request`] answered with a [`Reply`]. A standby keeps its
//! connection, and gets a [`News`] for each thing that happens.

mod client;
mod line;
mod seat;
mod server;

use serde::{Deserialize, Serialize};

pub use client::ask;
pub use seat::{Seat, SeatError};
pub use server::{Order, serve_control};

/// What a client wants.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// Whether every worker goes round its loop.
    Health,
    /// Read the configuration again.
    Reload,
}

/// What became of it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Reply {
    pub done: bool,
    pub text: String,
}
