//! The command line in, an exit code out.

use std::process::ExitCode;

use clap::Parser;
use zerohop::cli::Arguments;

/// Entries are allocated by workers and freed by the cache's thread. The C library's allocator
/// lets that grow to three times the memory in use; this one gives it back. Without huge pages,
/// which would double what an idle daemon takes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Arguments::parse().execute()
}
