//! The room as a whole: every message, whole files, arbitrary text, the documentation.

mod arbitrary;
mod certificates;
mod examples;
mod manual;
mod messages;
mod reference;
