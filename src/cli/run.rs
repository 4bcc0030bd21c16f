//! `zerohop run`: serve.

use std::path::PathBuf;
use std::process::ExitCode;

use super::exit;
use crate::config::load::{Source, load};
use crate::daemon::{self, StartError};

/// Loads the configuration and serves until told to stop.
pub(super) fn run(config: Option<PathBuf>) -> ExitCode {
    let source = Source::find(config);
    let loaded = match load(&source) {
        Ok(loaded) => loaded,
        Err(faults) => {
            eprintln!("{faults}");
            return exit::CONFIG.into();
        }
    };
    match daemon::run(source, loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zerohop: {error}");
            match error {
                StartError::Unfit(_) => exit::CONFIG.into(),
                StartError::Bind(_) | StartError::System(_) => exit::FAILURE.into(),
            }
        }
    }
}
