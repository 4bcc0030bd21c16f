//! Name servers of Debian, each in the foreground on an address of its own.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use hickory_proto::rr::RecordType;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::client::Ask;
use super::process::{ATTEMPTS, Process, find, free_address, free_port};
use super::wait::until;

/// A zone: its name, and its records in the format of RFC 1035.
pub(crate) type Zone<'z> = (&'z str, &'z str);

/// A running name server.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    process: Process,
    command: Command,
    directory: TempDir,
}

impl Peer {
    /// Sends the process that was started a signal; those of NSD that serve are its children.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Kills the process, and starts another on the same addresses.
    pub(crate) fn restart(&mut self) {
        self.process.signal(Signal::SIGKILL);
        let _ = self.process.exit_code();
        self.process = Process::start(&mut self.command, &self.directory.path().join("log"));
        until("a reply of the name server that was started again", || {
            Ask::new(".", RecordType::SOA).try_udp(self.address)
        });
    }
}

/// NSD, authoritative for these zones.
pub(crate) fn nsd(zones: &[Zone<'_>]) -> Option<Peer> {
    nsd_with(|directory| zone_files(directory, zones))
}

/// NSD, authoritative for one zone whose file has its own SOA: one that is signed.
pub(crate) fn nsd_as_written((name, text): Zone<'_>) -> Option<Peer> {
    nsd_with(|directory| vec![(name.to_owned(), written(directory, "zone", text))])
}

fn nsd_with(zone_files: impl Fn(&Path) -> Vec<(String, String)>) -> Option<Peer> {
    let program = find("nsd", "nsd")?;
    Some(start(|directory, address| {
        let (ip, port) = (address.ip(), address.port());
        let here = directory.display();
        // Unlimited: one client asks for more denials a second than it would give out.
        let mut config = format!(
            "server:\n ip-address: {ip}@{port}\n rrl-ratelimit: 0\n username: \"\"\n chroot: \"\"\n zonesdir: \"{here}\"\n pidfile: \"\"\n \
             database: \"\"\n zonelistfile: \"{here}/zone.list\"\n xfrdfile: \"{here}/xfrd.state\"\n xfrdir: \"{here}\"\n \
             server-count: 1\nremote-control:\n control-enable: no\n"
        );
        for (name, file) in zone_files(directory) {
            config += &format!("zone:\n name: \"{name}\"\n zonefile: \"{file}\"\n");
        }
        let mut command = Command::new(&program);
        command.arg("-d").arg("-c").arg(written(directory, "nsd.conf", &config));
        command
    }))
}

/// Unbound, authoritative for these zones, and refusing everything else.
pub(crate) fn unbound(zones: &[Zone<'_>]) -> Option<Peer> {
    unbound_with(zones, |_| String::new())
}

/// The same, and over TLS at a second address, with this certificate and key.
pub(crate) fn unbound_tls(zones: &[Zone<'_>], certificate: &Path, key: &Path) -> Option<(Peer, SocketAddr)> {
    let tls = Cell::new(None);
    let peer = unbound_with(zones, |address| {
        let port = free_port(address.ip());
        tls.set(Some(SocketAddr::new(address.ip(), port)));
        let (certificate, key) = (certificate.display(), key.display());
        format!(
            " interface: {}@{port}\n tls-port: {port}\n tls-service-pem: \"{certificate}\"\n tls-service-key: \"{key}\"\n",
            address.ip()
        )
    });
    peer.zip(tls.get())
}

fn unbound_with(zones: &[Zone<'_>], more: impl Fn(SocketAddr) -> String) -> Option<Peer> {
    let program = find("unbound", "unbound")?;
    Some(start(|directory, address| {
        let (ip, port) = (address.ip(), address.port());
        let here = directory.display();
        // Its built-in answers for reverse zones stand before what we give it.
        let mut config = format!(
            "server:\n interface: {ip}@{port}\n username: \"\"\n chroot: \"\"\n directory: \"{here}\"\n pidfile: \"\"\n \
             do-daemonize: no\n use-syslog: no\n local-zone: \".\" refuse\n unblock-lan-zones: yes\n \
             insecure-lan-zones: yes\n num-threads: 1\n{}remote-control:\n control-enable: no\n",
            more(address)
        );
        for (name, file) in zone_files(directory, zones) {
            config += &format!("server:\n local-zone: \"{name}\" transparent\n");
            config += &format!("auth-zone:\n name: \"{name}\"\n zonefile: \"{file}\"\n for-upstream: no\n");
        }
        let mut command = Command::new(&program);
        command.arg("-d").arg("-c").arg(written(directory, "unbound.conf", &config));
        command
    }))
}

/// Unbound, forwarding everything to this server, and otherwise as it comes.
pub(crate) fn unbound_forwarding(to: SocketAddr) -> Option<Peer> {
    let program = find("unbound", "unbound")?;
    Some(start(|directory, address| {
        let here = directory.display();
        // The SOA is what it is asked for to see whether it runs, when nobody is there to forward to.
        let config = format!(
            "server:\n interface: {}@{}\n local-zone: \".\" transparent\n \
             local-data: \". 60 IN SOA ns. host. 1 1 1 1 1\"\n username: \"\"\n chroot: \"\"\n directory: \"{here}\"\n pidfile: \"\"\n \
             do-daemonize: no\n use-syslog: no\n num-threads: 1\n module-config: \"iterator\"\n \
             do-not-query-localhost: no\nremote-control:\n control-enable: no\n\
             forward-zone:\n name: \".\"\n forward-addr: {}@{}\n",
            address.ip(),
            address.port(),
            to.ip(),
            to.port(),
        );
        let mut command = Command::new(&program);
        command.arg("-d").arg("-c").arg(written(directory, "unbound.conf", &config));
        command
    }))
}

/// The PowerDNS authoritative server, with the backend that reads zone files.
pub(crate) fn powerdns(zones: &[Zone<'_>]) -> Option<Peer> {
    let program = find("pdns_server", "pdns-server pdns-backend-bind")?;
    Some(start(|directory, address| {
        let zones = zone_files(directory, zones);
        let zones: Vec<String> =
            zones.iter().map(|(name, file)| format!("zone \"{name}\" {{ type master; file \"{file}\"; }};")).collect();
        let named = written(directory, "named.conf", &zones.join("\n"));
        let config = format!(
            "launch=bind\nbind-config={named}\nlocal-address={}\nlocal-port={}\ndaemon=no\nguardian=no\n\
             socket-dir={}\ndisable-syslog=yes\nsecurity-poll-suffix=\n",
            address.ip(),
            address.port(),
            directory.display(),
        );
        written(directory, "pdns.conf", &config);
        let mut command = Command::new(&program);
        command.arg(format!("--config-dir={}", directory.display()));
        command
    }))
}

/// dnsdist, over TLS at a second address, in front of this server.
pub(crate) fn dnsdist_tls(behind: SocketAddr, certificate: &Path, key: &Path) -> Option<(Peer, SocketAddr)> {
    dnsdist_encrypted(behind, |address| format!("addTLSLocal(\"{address}\", {certificate:?}, {key:?})"))
}

/// dnsdist, over HTTPS at a second address and under this path, in front of this server.
pub(crate) fn dnsdist_https(
    behind: SocketAddr,
    certificate: &Path,
    key: &Path,
    path: &str,
) -> Option<(Peer, SocketAddr)> {
    dnsdist_encrypted(behind, |address| format!("addDOHLocal(\"{address}\", {certificate:?}, {key:?}, \"{path}\")"))
}

fn dnsdist_encrypted(behind: SocketAddr, local: impl Fn(SocketAddr) -> String) -> Option<(Peer, SocketAddr)> {
    let program = find("dnsdist", "dnsdist")?;
    let second = Cell::new(None);
    let peer = start(|directory, address| {
        let encrypted = SocketAddr::new(address.ip(), free_port(address.ip()));
        second.set(Some(encrypted));
        let config = format!(
            "setLocal(\"{address}\")\n{}\nnewServer({{address=\"{behind}\", healthCheckMode=\"up\"}})\n\
             setSecurityPollSuffix(\"\")\n",
            local(encrypted)
        );
        let mut command = Command::new(&program);
        command.args(["--supervised", "--disable-syslog", "--config", &written(directory, "dnsdist.conf", &config)]);
        command
    });
    Some(peer).zip(second.get())
}

/// Knot Resolver, over TLS at a second address, which knows one address for all names of `b.example`.
pub(crate) fn kresd_tls(address: [u8; 4], certificate: &Path, key: &Path) -> Option<(Peer, SocketAddr)> {
    let program = find("kresd", "knot-resolver")?;
    let tls = Cell::new(None);
    let [a, b, c, d] = address;
    let peer = start(|directory, plain| {
        let port = free_port(plain.ip());
        tls.set(Some(SocketAddr::new(plain.ip(), port)));
        let config = format!(
            "net.listen('{ip}', {}, {{ kind = 'dns' }})\nnet.listen('{ip}', {port}, {{ kind = 'tls' }})\n\
             net.tls('{}', '{}')\ntrust_anchors.remove('.')\nmodules.load('policy')\n\
             policy.add(policy.suffix(policy.ANSWER({{ [kres.type.A] = {{ rdata = kres.str2ip('{a}.{b}.{c}.{d}'), \
             ttl = 300 }} }}), policy.todnames({{ 'b.example.' }})))\npolicy.add(policy.all(policy.REFUSE))\n",
            plain.port(),
            certificate.display(),
            key.display(),
            ip = plain.ip(),
        );
        let mut command = Command::new(&program);
        command.args(["-n", "-c", &written(directory, "kresd.conf", &config)]).arg(directory);
        command
    });
    Some(peer).zip(tls.get())
}

/// dnsmasq with these lines, and no upstream.
pub(crate) fn dnsmasq(lines: &str) -> Option<Peer> {
    let program = find("dnsmasq", "dnsmasq-base")?;
    Some(start(|directory, address| {
        let config = format!(
            "port={}\nlisten-address={}\nbind-interfaces\nno-resolv\nno-hosts\nuser=root\npid-file=\n{lines}",
            address.port(),
            address.ip(),
        );
        let mut command = Command::new(&program);
        command.arg("--keep-in-foreground").arg("--log-facility=-");
        command.arg(format!("--conf-file={}", written(directory, "dnsmasq.conf", &config)));
        command
    }))
}

/// Starts what `command` makes of a directory and an address, and waits until it replies.
fn start(command: impl Fn(&Path, SocketAddr) -> Command) -> Peer {
    for _ in 0..ATTEMPTS {
        let (address, directory) = (free_address(), tempfile::tempdir().unwrap());
        let log = directory.path().join("log");
        let mut command = command(directory.path(), address);
        let mut process = Process::start(&mut command, &log);
        let replies = until("the first reply of a name server", || {
            if process.ended().is_some() {
                return Some(false);
            }
            Ask::new(".", RecordType::SOA).try_udp(address).map(|_| true)
        });
        if replies {
            return Peer { address, process, command, directory };
        }
        let output = process.output().to_lowercase();
        assert!(output.contains("in use"), "a name server did not start: {output}");
    }
    panic!("no free port in {ATTEMPTS} attempts");
}

/// Writes each zone into a file, with an SOA and NS in front.
fn zone_files(directory: &Path, zones: &[Zone<'_>]) -> Vec<(String, String)> {
    let write = |(name, records): &Zone<'_>| {
        let text = format!(
            "$ORIGIN {name}.\n$TTL 60\n@ SOA ns.invalid. root.invalid. 1 3600 600 86400 30\n@ NS ns.invalid.\n{records}\n"
        );
        ((*name).to_owned(), written(directory, &format!("{name}.zone"), &text))
    };
    zones.iter().map(write).collect()
}

fn written(directory: &Path, file: &str, text: &str) -> String {
    let path = directory.join(file);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}
