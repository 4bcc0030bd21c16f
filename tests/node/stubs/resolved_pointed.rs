//! systemd-resolved, by what `zerohop resolv-conf install` writes for it, and without it again.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use hickory_proto::rr::RecordType::A;
use nix::unistd::{Gid, Uid, chown};

use super::super::client::Ask;
use super::super::harness::Zerohop;
use super::super::namespace::{NODE, OTHER, alone, network};
use super::super::process::{Process, find};
use super::super::recorder::Recorder;
use super::super::resolv_conf::{SECTIONS, known, node, resolv_conf};
use super::super::wait::until;
use super::resolved::{STUB, USER, program};

const LINK: &str = "../run/systemd/resolve/stub-resolv.conf";

/// What systemd-resolved finds when it is asked itself, as nss-resolve does.
fn resolves(name: &str) -> Option<String> {
    let mut stream = UnixStream::connect("/run/systemd/resolve/io.systemd.Resolve").ok()?;
    let method = "io.systemd.Resolve.ResolveHostname";
    write!(stream, "{{\"method\":\"{method}\",\"parameters\":{{\"name\":\"{name}\",\"family\":2,\"flags\":0}}}}\0")
        .ok()?;
    let mut reply = Vec::new();
    BufReader::new(stream).read_until(0, &mut reply).ok()?;
    let reply: serde_json::Value = serde_json::from_slice(reply.strip_suffix(b"\0")?).ok()?;
    let octets = reply["parameters"]["addresses"][0]["address"].as_array()?;
    Some(octets.iter().map(ToString::to_string).collect::<Vec<_>>().join("."))
}

#[test]
fn systemd_resolved_asks_us_while_it_is_installed_and_whom_it_asked_after() {
    let (Some((program, libraries)), Some(getent)) = (program(), find("getent", "libc-bin")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let start = |log: &str| {
        let mut command = Command::new(&program);
        command.env_clear().env("LD_LIBRARY_PATH", &libraries).env("SYSTEMD_LOG_TARGET", "console");
        Process::start(&mut command, &directory.path().join(log))
    };
    alone(|ip| {
        node(directory.path(), |path| {
            let resolve = Path::new("/run/systemd/resolve");
            fs::write(resolve.join("stub-resolv.conf"), "nameserver 127.0.0.53\n").unwrap();
            fs::write(resolve.join("resolv.conf"), "nameserver 169.254.20.11\n").unwrap();
            chown(resolve, Some(Uid::from_raw(USER)), Some(Gid::from_raw(USER))).unwrap();
            fs::write("/etc/passwd", format!("root:x:0:0::/:/bin/sh\nsystemd-resolve:x:{USER}:{USER}::/:/bin/false\n"))
                .unwrap();
            fs::write("/etc/group", format!("root:x:0:\nsystemd-resolve:x:{USER}:\n")).unwrap();
            // Of the node's own; ours must take its place.
            let settings = "[Resolve]\nDNS=169.254.20.11\nDNSSEC=no\nCache=no\nLLMNR=no\nMulticastDNS=no\n";
            fs::write("/etc/systemd/resolved.conf", settings).unwrap();
            symlink(LINK, path).unwrap();
        });
        network(ip);
        let _upstream = Recorder::at(OTHER.parse().unwrap(), |asked| asked.answer_a([192, 0, 2, 1], 0));
        let zerohop = Zerohop::at(NODE.parse().unwrap(), SECTIONS);
        let (code, said) = resolv_conf(&["install", "--config", zerohop.config().to_str().unwrap()]);
        assert_eq!(code, Some(0), "{said}");

        let resolved = start("pointed.log");
        until("systemd-resolved to ask us", || resolves("a.own.example").filter(|address| address == "10.0.0.1"));
        assert!(Ask::new("a.own.example.", A).try_udp(STUB.parse().unwrap()).is_none(), "{}", resolved.output());

        // It knows nobody but us, and has not read yet that it may ask others.
        drop(zerohop);
        assert_eq!(resolv_conf(&["restore"]).0, Some(1));
        assert_eq!(known(&getent, "one.example").as_deref(), Some("192.0.2.1"), "those that are kept stand in");
        drop(resolved);
        let _resolved = start("restored.log");
        until("systemd-resolved to be as before", || Ask::new("two.example.", A).try_udp(STUB.parse().unwrap()));
        assert_eq!(resolv_conf(&["restore"]).0, Some(0));
        assert_eq!(fs::read_link("/etc/resolv.conf").unwrap(), Path::new(LINK));
        assert_eq!(known(&getent, "three.example").as_deref(), Some("192.0.2.1"));
    });
}
