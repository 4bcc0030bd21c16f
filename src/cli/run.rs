//! `zerohop run`: serve.

use std::path::PathBuf;
use std::process::ExitCode;

use super::check::CONFIG_FAULT;
use crate::config::{Source, load};
use crate::daemon::{self, StartError};

/// Loads the configuration and serves until told to stop.
pub(super) fn run(config: Option<PathBuf>) -> ExitCode {
    let source = Source::find(config);
    let loaded = match load(&source) {
        Ok(loaded) => loaded,
        Err(faults) => {
            eprint!("{faults}");
            return CONFIG_FAULT.into();
        }
    };
    match daemon::run(source, loaded) {
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
