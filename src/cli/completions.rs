//! `zerohop completions`: what a shell needs to complete command lines of zerohop.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::Arguments;

/// For whom.
#[derive(Clone, Debug, Args)]
pub(super) struct Completions {
    /// The shell that is to complete
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the shell's script. Returns the exit code.
pub(super) fn completions(said: &Completions, out: &mut impl Write) -> u8 {
    // Into memory first: the generator panics where nobody reads on, as in `| head`.
    let mut script = Vec::new();
    generate(said.shell, &mut Arguments::command(), env!("CARGO_PKG_NAME"), &mut script);
    u8::from(out.write_all(&script).and_then(|()| out.flush()).is_err())
}
