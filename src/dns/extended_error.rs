//! INFO-CODEs of Extended DNS Errors that we send (RFC 8914, section 4).

/// What is none of the others: a CNAME chain that does not end, or a fault of ours.
pub const OTHER: u16 = 0;
/// The answer has run out, and upstreams do not answer (RFC 8767).
pub const STALE_ANSWER: u16 = 3;
/// A rule of the configuration says so.
pub const BLOCKED: u16 = 15;
/// This client may not ask.
pub const PROHIBITED: u16 = 18;
/// As a stale answer, for a name that did not exist.
pub const STALE_NXDOMAIN_ANSWER: u16 = 19;
/// The name is in no zone of ours, or below a zone cut.
pub const NOT_AUTHORITATIVE: u16 = 20;
/// An opcode, class, type or EDNS version that is not served.
pub const NOT_SUPPORTED: u16 = 21;
/// No upstream gave a usable answer in time.
pub const NO_REACHABLE_AUTHORITY: u16 = 22;
/// Upstreams could not be reached at all.
pub const NETWORK_ERROR: u16 = 23;
