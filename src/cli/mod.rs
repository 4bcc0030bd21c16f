//! The command line: one file a verb.

pub mod check;
pub mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit codes, as documented in the reference.
pub mod exit {
    /// A failure at run time.
    pub const FAILURE: u8 = 1;
    /// A fault in the configuration (EX_CONFIG of sysexits).
    pub const CONFIG: u8 = 78;
}

/// DNS that never leaves the node: a node-local caching DNS forwarder.
#[derive(Debug, Parser)]
#[command(version, about, disable_help_subcommand = true)]
pub struct Arguments {
    /// The configuration file [default: $ZEROHOP_CONFIG, else /etc/zerohop/zerohop.toml if it
    /// exists, else a built-in quick start]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Verb {
    /// Serve DNS (the default)
    Run,
    /// Find every fault of the configuration, and say what to write instead
    Check,
}

impl Arguments {
    /// Does what was asked for.
    pub fn execute(self) -> ExitCode {
        match self.verb.unwrap_or(Verb::Run) {
            Verb::Run => run::run(self.config),
            Verb::Check => check::check(self.config),
        }
    }
}
