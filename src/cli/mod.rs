//! The command line: one file a verb.

pub mod check;
mod completions;
mod control;
mod explain;
#[cfg(test)]
mod pages;
mod resolv_conf;
mod run;

use std::io::{stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::admin::control::Request;
use crate::node::privileges;

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

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Serve DNS (the default)
    Run(run::Run),
    /// Find every fault of the configuration, and say what to write instead
    Check,
    /// Tell how a question would be answered, and why
    Explain(explain::Explain),
    /// Point the node at the daemon and back
    ResolvConf(resolv_conf::ResolvConf),
    /// Ask the running daemon whether it is alive
    Health,
    /// Have the running daemon read its configuration again
    Reload,
    /// Write what a shell needs to complete command lines of zerohop
    Completions(completions::Completions),
}

impl Arguments {
    /// Does what was asked for.
    pub fn execute(self) -> ExitCode {
        match self.verb.unwrap_or(Verb::Run(run::Run::default())) {
            Verb::Run(said) => run::run(self.config, &said),
            Verb::Explain(said) => explain::explain(self.config, &said, &mut stdout(), &mut stderr()).into(),
            Verb::ResolvConf(said) => resolv_conf::resolv_conf(self.config, said, &mut stdout(), &mut stderr()).into(),
            Verb::Health => control::control(self.config, &Request::Health, &mut stdout(), &mut stderr()).into(),
            Verb::Reload => control::control(self.config, &Request::Reload, &mut stdout(), &mut stderr()).into(),
            Verb::Completions(said) => completions::completions(&said, &mut stdout()).into(),
            Verb::Check => {
                // As serving will.
                privileges::read_by_permissions();
                check::check(self.config, &mut stdout(), &mut stderr()).into()
            }
        }
    }
}
