//! Logs: text for a person at a terminal, JSON for a machine.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::filter::LevelFilter;

use crate::config::{Log, LogFormat, LogLevel};

/// Begins to log to standard error. Called once; a second call changes nothing.
pub(super) fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let is_terminal = stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(stderr).with_target(false);
    // The only error is that somebody logs already.
    let _ = match log.format {
        LogFormat::Text => builder.with_ansi(is_terminal).try_init(),
        LogFormat::Auto if is_terminal => builder.try_init(),
        LogFormat::Auto | LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
