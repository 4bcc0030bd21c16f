//! Logs: text for a person at a terminal, JSON for a machine.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{Log, LogFormat, LogLevel};

/// How much is logged, which a reload may change.
pub(super) struct Level(Handle<LevelFilter, Registry>);

/// Begins to log to standard error. Called once; a second call changes nothing.
pub(super) fn start(log: &Log) -> Level {
    let (level, handle) = reload::Layer::new(filter(log));
    let is_terminal = stderr().is_terminal();
    let plain = fmt::layer().with_writer(stderr).with_target(false);
    let layer = match log.format {
        LogFormat::Text => plain.with_ansi(is_terminal).boxed(),
        LogFormat::Auto if is_terminal => plain.boxed(),
        LogFormat::Auto | LogFormat::Json => plain.json().flatten_event(true).boxed(),
    };
    // The only error is that somebody logs already.
    let _ = tracing_subscriber::registry().with(level).with(layer).try_init();
    Level(handle)
}

impl Level {
    /// Logs as much as this says from now on.
    pub(super) fn follow(&self, log: &Log) {
        // The only error is that nobody logs.
        let _ = self.0.modify(|level| *level = filter(log));
    }
}

fn filter(log: &Log) -> LevelFilter {
    match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}
