//! Datagrams in numbers: one system call takes many in, one sends many out.
//!
//! One of the two places with `unsafe`: `recvmmsg` and `sendmmsg` take arrays of pointers, and
//! addresses of any family.
#![expect(unsafe_code, reason = "recvmmsg and sendmmsg have no safe form that fits")]

mod batch;
mod outbox;
mod path;
mod socket;

pub use batch::Batch;
pub use outbox::Outbox;
pub use path::{Asked, ReturnPath};
pub use socket::{Arrival, Socket};

/// Packets taken in at once, or sent.
pub const BATCH: usize = 64;
/// The same, as the kernel counts.
const BATCH_COUNT: libc::c_uint = 64;
/// Room for a packet that comes in; a longer one is cut.
pub const PACKET: usize = 4096;

const _: () = assert!(BATCH == BATCH_COUNT as usize);
