//! `zerohop run`: serve.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::check::CONFIG_FAULT;
use crate::config::{Source, load};
use crate::daemon::{self, StartError};
use crate::node::privileges;

/// How to serve.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Run {
    /// Stand by while another instance serves with the same control socket, and serve on with its
    /// sockets when it leaves or dies; serve at once if there is none
    #[arg(long)]
    join: bool,
}

/// Loads the configuration and serves until told to stop.
pub(super) fn run(config: Option<PathBuf>, said: &Run) -> ExitCode {
    privileges::read_by_permissions();
    let source = Source::find(config);
    let loaded = match load(&source) {
        Ok(loaded) => loaded,
        Err(faults) => {
            eprint!("{faults}");
            return CONFIG_FAULT.into();
        }
    };
    match daemon::run(source, loaded, said.join) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zerohop: {error}");
            match error {
                StartError::Unfit(_) => CONFIG_FAULT.into(),
                StartError::Interface(_) | StartError::Bind(_) | StartError::Seat(_) | StartError::System(_) => {
                    ExitCode::FAILURE
                }
            }
        }
    }
}
