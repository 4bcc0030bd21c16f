//! A server of DNS over QUIC by aioquic, installed from PyPI into a virtual environment of its own.

use std::net::SocketAddr;
use std::process::Command;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::certificates::Certified;
use super::process::{ATTEMPTS, Process, free_address};
use super::python::python_with;
use super::wait::until;

const RELEASE: &str = "aioquic==1.7.2";
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/doq_server.py");

/// A running server.
pub(crate) struct DoqServer {
    pub(crate) address: SocketAddr,
    process: Process,
    command: Command,
    directory: TempDir,
}

impl DoqServer {
    /// Closes connections that were idle for so many seconds, and each with the question behind so
    /// many replies. `None`, and said, when it cannot be had here.
    pub(crate) fn start(certified: &Certified, idle: u32, lifetime: u32) -> Option<Self> {
        let python = python_with("aioquic", RELEASE)?;
        for _ in 0..ATTEMPTS {
            let (address, directory) = (free_address(), tempfile::tempdir().unwrap());
            let mut command = Command::new(&python);
            command.arg(PROGRAM).args([address.ip().to_string(), address.port().to_string()]);
            command.args([&certified.certificate, &certified.key]).args([idle.to_string(), lifetime.to_string()]);
            let process = Process::start(&mut command, &directory.path().join("log"));
            let mut server = Self { address, process, command, directory };
            if server.serves() {
                return Some(server);
            }
        }
        panic!("no free port in {ATTEMPTS} attempts");
    }

    /// Whether it can be had here, which takes a network. If not, that is said.
    pub(crate) fn is_to_be_had() -> bool {
        python_with("aioquic", RELEASE).is_some()
    }

    /// `false`: somebody else has the port.
    fn serves(&mut self) -> bool {
        until("a server of DNS over QUIC", || {
            if self.process.ended().is_some() {
                let said = self.process.output();
                assert!(said.contains("already in use"), "it did not start: {said}");
                return Some(false);
            }
            self.process.output().contains("serving").then_some(true)
        })
    }

    /// Kills it, so that its connections are not told, and starts another on the same address.
    pub(crate) fn restart(&mut self) {
        self.process.signal(Signal::SIGKILL);
        let _ = self.process.exit_code();
        self.process = Process::start(&mut self.command, &self.directory.path().join("log"));
        assert!(self.serves(), "its port was taken in between");
    }

    /// How many of its lines begin so.
    pub(crate) fn count(&self, beginning: &str) -> usize {
        self.process.output().lines().filter(|line| line.starts_with(beginning)).count()
    }
}
