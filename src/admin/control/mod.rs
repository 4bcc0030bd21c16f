//! The control socket: what the command line says to the daemon that runs, and how one instance takes
//! the place of another.
//!
//! Messages are lines of JSON, each [`Request`] answered with a [`Reply`]. A standby keeps its
//! connection, and gets a `News` for each thing that happens.

mod client;
mod line;
mod seat;
mod server;
mod standby;
mod succession;

use serde::{Deserialize, Serialize};

pub use client::ask;
pub use seat::{Seat, SeatError};
pub use server::{Order, serve_control};
pub use standby::{Inheritance, stand_by};
pub use succession::{Offer, Succession};

/// What a client wants.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// Whether every worker goes round its loop.
    Health,
    /// Read the configuration again.
    Reload,
    /// Stand by. The pid is for messages.
    Join { pid: u32 },
    /// A standby serves now.
    Serving,
}

/// What a standby is told.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "news", rename_all = "kebab-case")]
enum News {
    /// Somebody else stands by.
    Wait { pid: u32 },
    /// Descriptors that come along: the lock, the control socket, then the listeners. What these are
    /// the kernel says. So many are still to come; behind the last of them, what came before is no more.
    Sockets { left: usize },
    /// It is its turn. A descriptor that comes along is a snapshot of the cache.
    Serve,
}

/// What became of it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Reply {
    pub done: bool,
    pub text: String,
}
