//! Programs: found, started with their output in a file, killed when they are no longer needed.

use std::fs::File;
use std::io::{Write, stderr};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::wait::until;

/// How often a program may find its port taken by somebody who was faster.
pub(crate) const ATTEMPTS: usize = 5;

/// The first port that a free address may have, and how many follow: all of them below those that the
/// kernel gives to sockets that ask for any, so that none of those is in the way before it is bound.
const PORTS: (u16, u32) = (10_000, 20_000);

/// An address of its own in 127.0.0.0/24, and a port that is free there for UDP and TCP.
pub(crate) fn free_address() -> SocketAddr {
    static LAST: AtomicU32 = AtomicU32::new(0);
    until("a free port", || {
        let last = LAST.fetch_add(1, Relaxed);
        let ip = Ipv4Addr::new(127, 0, 0, 3 + u8::try_from(last % 250).unwrap());
        // Another process of these tests begins elsewhere.
        let port = PORTS.0 + u16::try_from(std::process::id().wrapping_mul(251).wrapping_add(last) % PORTS.1).unwrap();
        let tcp = TcpListener::bind((ip, port)).ok()?;
        let address = tcp.local_addr().ok()?;
        UdpSocket::bind(address).ok().map(|_| address)
    })
}

/// A port that is free at this address for TCP.
pub(crate) fn free_port(ip: IpAddr) -> u16 {
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap().port()
}

/// The path of an installed program; `None`, and said, when it is missing.
pub(crate) fn find(program: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers live where the PATH of an ordinary user does not lead.
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = directories.map(|directory| directory.join(program)).find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("{program} (apt-get install {package})"));
    }
    found
}

/// Says loudly that this test cannot be carried out; fails when the environment says that this is
/// CI, where nothing may be missing.
pub(crate) fn skip(needs: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "SKIPPED: needs {needs}");
    say_skipped(needs);
}

/// Says loudly that this test cannot be carried out, where even CI cannot help it.
pub(crate) fn say_skipped(needs: &str) {
    let thread = std::thread::current();
    let message = format!("SKIPPED {}: needs {needs}\n", thread.name().unwrap_or("a test"));
    // Not through print macros: the test runner hides those when a test passes.
    stderr().write_all(message.as_bytes()).unwrap();
}

/// A running program, killed when dropped.
pub(crate) struct Process {
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts a program whose standard output and error go to the file `output`.
    pub(crate) fn start(command: &mut Command, output: &Path) -> Self {
        Self::reading(command, Stdio::null(), output)
    }

    /// The same, with this as its standard input.
    pub(crate) fn reading(command: &mut Command, input: Stdio, output: &Path) -> Self {
        let file = File::create(output).unwrap();
        let both = file.try_clone().unwrap();
        let child = command.stdin(input).stdout(both).stderr(file).spawn().unwrap();
        Self { child, output: output.to_owned() }
    }

    /// Everything that it has written so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.output).unwrap()).into_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits until its output has these words.
    pub(crate) fn until_says(&self, words: &str) {
        until(&format!("a word of {words}"), || self.output().contains(words).then_some(()));
    }

    /// Tells it to stop, and waits until it has, which must go well.
    pub(crate) fn stops(&mut self) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.exit_code(), Some(0), "{}", self.output());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end, which must come by itself.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.exit().code()
    }

    /// As [`Self::exit_code`], however it ended.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        until("the end of a process", || self.ended())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
