//! What the system tells us to do.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) enum Told {
    /// By the signal of this name.
    Stop(&'static str),
    Reload,
}

/// Kept from the start to the end: what comes while nobody listens is not told to those who do later.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            Some(()) = self.terminate.recv() => Told::Stop("SIGTERM"),
            Some(()) = self.interrupt.recv() => Told::Stop("SIGINT"),
            Some(()) = self.hangup.recv() => Told::Reload,
            else => std::future::pending().await,
        }
    }
}
