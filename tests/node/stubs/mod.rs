//! The stub clients of real programs, in a network of their own.
//!
//! | room | holds |
//! |---|---|
//! | [`super::namespace`] | that network |
//! | [`programs`] | glibc, musl, Go, Node and Java as programs that resolve names |
//! | [`upstream`] | a server that misbehaves by name |
//! | the rest | tests, a file for each subject |

mod beside;
mod matrix;
mod programs;
mod resolved;
mod resolved_pointed;
mod upstream;
