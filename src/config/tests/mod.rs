//! The room as a whole: every message, whole files, arbitrary text, the documentation.

mod arbitrary;
mod certificates;
pub(crate) mod committed;
mod examples;
mod manual;
mod messages;
mod reference;
