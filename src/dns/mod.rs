//! The words of DNS: names, types, messages on the wire, and the one way an answer is kept.
//!
//! This room knows no socket, no clock and no configuration. Bytes and moments come in as
//! arguments; values go out.

pub mod answer_text;
pub mod chain;
pub mod extended_error;
pub mod hosts_text;
pub mod kept;
pub mod message;
pub mod moment;
pub mod name;
mod presentation;
#[cfg(test)]
mod properties;
pub mod query;
mod question;
pub mod rcode;
mod rdata_shape;
pub mod rdata_text;
pub mod record;
pub mod record_type;
pub mod response;
mod stale;
pub mod stored_answer;
pub mod stream_query;
pub mod zone_text;

pub use kept::TtlRules;
pub use moment::Moment;
pub use name::Name;
pub use query::Query;
pub use question::Question;
pub use rcode::Rcode;
pub use record::Record;
pub use record_type::RecordType;
pub use response::Protocol;
pub use stored_answer::StoredAnswer;
