//! PolarDNS, installed from PyPI into a virtual environment of its own, and started on an address of
//! its own.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use hickory_proto::rr::RecordType;
use tempfile::TempDir;

use super::client::Ask;
use super::process::{ATTEMPTS, Process, free_address};
use super::python::python_with;
use super::wait::until;

const RELEASE: &str = "polardns==1.6.6";
/// Runs one of its two servers. Its own start would fork, and read the address from a file inside
/// the package; what it would run is imported here instead.
const LAUNCHER: &str = r#"
import os, socketserver, sys, threading
from polardns import core
os.execvp = lambda *arguments: None
core.add_modules_and_rerun()
sys.path.insert(0, os.getcwd())
import polardns_real as polar
polar.req, polar.resp = threading.local(), threading.local()
polar.proto, ip, port = sys.argv[1:]
if polar.proto == "udp":
    server, handler = socketserver.ThreadingUDPServer, polar.MyUDPHandler
else:
    server, handler = socketserver.ThreadingTCPServer, polar.MyTCPHandler
server.daemon_threads = True
server.request_queue_size = 128
server((ip, int(port)), handler).serve_forever()
"#;

/// A running PolarDNS.
pub(crate) struct PolarDns {
    pub(crate) address: SocketAddr,
    _servers: [Process; 2],
    _directory: TempDir,
}

impl PolarDns {
    /// `None`, and said, when it cannot be had here.
    pub(crate) fn start() -> Option<Self> {
        let python = python_with("polardns", RELEASE)?;
        for _ in 0..ATTEMPTS {
            let (address, directory) = (free_address(), tempfile::tempdir().unwrap());
            let mut servers = ["udp", "tcp"].map(|protocol| {
                let home = directory.path().join(protocol);
                std::fs::create_dir(&home).unwrap();
                let mut command = Command::new(&python);
                command.args(["-c", LAUNCHER, protocol, &address.ip().to_string(), &address.port().to_string()]);
                Process::start(command.current_dir(&home), &home.join("log"))
            });
            let replies = until("PolarDNS", || {
                if servers.iter_mut().any(|server| server.ended().is_some()) {
                    return Some(false);
                }
                TcpStream::connect(address).ok()?;
                Ask::new("always.yourdomain.com.", RecordType::A).try_udp(address).map(|_| true)
            });
            if replies {
                return Some(Self { address, _servers: servers, _directory: directory });
            }
            let said = servers.each_ref().map(Process::output).concat();
            assert!(said.contains("Address already in use"), "PolarDNS did not start: {said}");
        }
        panic!("no free port in {ATTEMPTS} attempts");
    }
}
