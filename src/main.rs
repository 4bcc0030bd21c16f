//! The command line in, an exit code out.

use std::process::ExitCode;

use clap::Parser;
use zerohop::cli::Arguments;

fn main() -> ExitCode {
    Arguments::parse().execute()
}
