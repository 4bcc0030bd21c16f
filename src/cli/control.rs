//! `zerohop health` and `zerohop reload`: ask the daemon that runs.

use std::io::Write;
use std::path::PathBuf;

use crate::admin::control::{Request, ask};
use crate::config::{Control, Source};

/// Asks, and shows what the daemon says. Returns the exit code.
pub(super) fn control(config: Option<PathBuf>, request: &Request, out: &mut impl Write, err: &mut impl Write) -> u8 {
    let answer = match Control::of(&Source::find(config)).path() {
        Some(path) => ask(&path, request),
        None => Err("there is no control socket: write `control = \"/path\"` below [admin], and restart".to_owned()),
    };
    // Where nobody reads, the exit code says it all.
    let _ = match &answer {
        Ok(reply) if reply.done => writeln!(out, "{}", reply.text),
        Ok(reply) => writeln!(err, "zerohop: {}", reply.text),
        Err(problem) => writeln!(err, "zerohop: {problem}"),
    };
    u8::from(!answer.is_ok_and(|reply| reply.done))
}
