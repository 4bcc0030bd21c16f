//! A network of its own for a test, in which port 53 is free and resolv.conf says what we say.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use super::process::{find, skip};

/// Where zerohop stands on a node.
pub(crate) const NODE: &str = "169.254.20.10:53";
/// Where another server stands, for clients that are given two.
pub(crate) const OTHER: &str = "169.254.20.11:53";

/// Runs a test where these nameservers are in resolv.conf and the loopback device has [`NODE`] and
/// [`OTHER`]. What it starts, threads and processes, is in there as well, and with the last of them
/// the namespaces end: there is nothing to clean up.
pub(crate) fn inside(nameservers: &[&str], test: impl FnOnce() + Send) {
    let resolv_conf: String = nameservers.iter().map(|server| format!("nameserver {server}\n")).collect();
    let files = tempfile::tempdir().unwrap();
    alone(|ip| {
        instead_of("/etc/resolv.conf", &resolv_conf, &files);
        instead_of("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n", &files);
        network(ip);
        test();
    });
}

/// Two addresses for servers, and a network.
pub(crate) fn network(ip: &Ip) {
    for arguments in [
        "address add 169.254.20.10/32 dev lo",
        "address add 169.254.20.11/32 dev lo",
        // Some ask nobody unless there is a network to ask.
        "link add node0 type veth peer name node1",
        "address add 192.0.2.1/24 dev node0",
        "link set node1 up",
        "link set node0 up",
    ] {
        ip.run(arguments);
    }
}

/// Runs a test where there is a loopback device and nothing else.
pub(crate) fn alone(test: impl FnOnce(&Ip) + Send) {
    let Some(ip) = find("ip", "iproute2").map(Ip) else { return };
    // A thread can leave the namespaces of its process; the test runner's has to come back.
    let builder = thread::Builder::new().name(thread::current().name().unwrap_or("a test").to_owned());
    thread::scope(|scope| {
        let inside = builder.spawn_scoped(scope, || {
            match unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS) {
                Err(Errno::EPERM) => return skip("leave to make namespaces (root)"),
                done => done.unwrap(),
            }
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
            ip.run("link set lo up");
            test(&ip);
        });
        if let Err(panic) = inside.unwrap().join() {
            resume_unwind(panic);
        }
    });
}

/// The program that sets networks up.
#[derive(Clone)]
pub(crate) struct Ip(PathBuf);

impl Ip {
    pub(crate) fn run(&self, arguments: &str) {
        assert!(self.can(arguments), "ip {arguments}");
    }

    /// Whether that works. Its words are not shown.
    pub(crate) fn can(&self, arguments: &str) -> bool {
        Command::new(&self.0).args(arguments.split(' ')).output().unwrap().status.success()
    }

    pub(crate) fn says(&self, arguments: &str) -> String {
        String::from_utf8(Command::new(&self.0).args(arguments.split(' ')).output().unwrap().stdout).unwrap()
    }
}

/// Has everybody in this mount namespace read `text` from `path`, a file that exists.
pub(crate) fn instead_of(path: &str, text: &str, files: &TempDir) {
    let file = files.path().join(path.replace('/', "-"));
    std::fs::write(&file, text).unwrap();
    mount(Some(&file), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .unwrap_or_else(|errno| panic!("{path}: {errno}"));
}
