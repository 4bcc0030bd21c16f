//! Where packets come in and go out: sockets, batches, connections, and the workers that own them.
//!
//! One worker is one thread with one runtime and one socket of its own for each listen address.
//! The kernel spreads clients over the workers' sockets; nothing is handed from worker to worker.

mod bind;
mod connections;
mod context;
pub mod framing;
pub mod hand_over;
mod inherited;
pub mod parcel;
mod post;
mod roll_call;
mod tcp;
mod tls;
mod udp;
mod unanswered;
mod worker;

pub use bind::{BindError, Listener, open, open_tls};
pub use connections::Connections;
pub use context::Limits;
pub use inherited::Inherited;
pub use post::{Duty, Need, Post};
pub use roll_call::RollCall;
pub use tls::Identity;
pub use unanswered::Unanswered;
pub use worker::{Start, Worker};
