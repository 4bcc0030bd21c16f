//! One file a verb of the command line.

pub mod check;
