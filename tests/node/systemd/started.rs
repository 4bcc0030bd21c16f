//! Who is started, how, and with what: without a network, as a standby, with the sockets of a socket unit.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use hickory_proto::rr::RecordType::A;

use super::super::client::{Ask, ask};
use super::super::harness::messages;
use super::super::load::OWN;
use super::super::process::{find, say_skipped};
use super::super::service_manager::{ServiceManager, launch};
use super::service::Service;

/// In a network namespace whose loopback device is down.
#[test]
fn an_address_that_does_not_answer_does_not_hold_the_start_up_for_ever() {
    let (Some(manager), Some(unshare)) = (ServiceManager::start(), find("unshare", "util-linux")) else { return };
    let (service, separate) = (Service::new(OWN), [unshare.to_str().unwrap(), "--map-root-user", "--net"]);
    if !Command::new(separate[0]).args(&separate[1..]).arg("true").status().unwrap().success() {
        return say_skipped("leave to make a network namespace");
    }
    let process = manager.launch(&[], &[&separate[..], &service.program()].concat(), &service.log("log"));
    manager.until_told("READY=1\nSTATUS=serving", 1);
    let said = messages(&process).replace(&service.address.to_string(), "IP:PORT");
    // Behind a warning about the configuration.
    let said: Vec<&str> = said.lines().skip(1).collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    confined to what serving takes
    serving
    said to be ready after 5s, though not all is: IP:PORT: Network is unreachable (os error 101)
    ");
}

#[test]
fn a_standby_has_started_and_nothing_is_kept_beside_it() {
    let Some(manager) = ServiceManager::start() else { return };
    let service = Service::new(OWN);
    let join = [&service.program()[..], &["--join"]].concat();
    let launch = |log| manager.launch(&[("WATCHDOG_USEC", "200000")], &join, &service.log(log));
    let mut first = launch("log-1");
    manager.until_told("READY=1\nSTATUS=serving", 1);
    let second = launch("log-2");
    manager.until_told("READY=1\nSTATUS=standing by", 1);
    first.stops();
    manager.until_told("READY=1\nSTATUS=serving", 2);
    second.until_says("taking over: told to");
    assert_eq!(ask(service.address, "a.own.example.", A).data(A), ["10.0.0.1"]);
    assert_eq!(manager.kept(), Vec::<String>::new());
}

/// There is no guess in it: whoever cannot stand by yet has not started.
#[test]
fn a_standby_has_not_started_before_it_stands_by() {
    let Some(manager) = ServiceManager::start() else { return };
    let service = Service::new(OWN);
    // Somebody who serves, and listens to nobody.
    let lock = File::create(service.directory.path().join("control.sock.lock")).unwrap();
    lock.lock().unwrap();
    let join = [&service.program()[..], &["--join"]].concat();
    let process = manager.launch(&[], &join, &service.log("log"));
    process.until_says("cannot stand by yet, trying on");
    assert_eq!(manager.told(), Vec::<String>::new());
    drop(lock);
    manager.until_told("READY=1\nSTATUS=serving", 1);
}

/// As a socket unit does it: then it needs no capability for a port below 1024.
#[test]
fn sockets_of_a_socket_unit_are_served_without_any_privilege() {
    let (Some(python), Some(setpriv)) = (find("python3", "python3"), find("setpriv", "util-linux")) else { return };
    if !nix::unistd::geteuid().is_root() {
        return say_skipped("root, to open port 53");
    }
    let service = Service::new("");
    let address = SocketAddr::new(service.address.ip(), 53);
    let (Ok(udp), Ok(tcp)) = (UdpSocket::bind(address), TcpListener::bind(address)) else {
        return say_skipped(&format!("{address} free"));
    };
    let text =
        format!("[server]\nlisten = [\"{address}\"]\nworkers = 2\n[admin]\nlisten = \"off\"\ncontrol = \"off\"\n{OWN}");
    std::fs::write(&service.config, text).unwrap();
    std::fs::set_permissions(service.directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let passed = [("zerohop.socket", udp.as_fd()), ("zerohop.socket", tcp.as_fd())];
    let nobody = [
        setpriv.to_str().unwrap(),
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
        "--no-new-privs",
    ];
    let program = [&nobody[..], &service.program()].concat();
    let mut process = launch(Command::new(python).env_clear(), &passed, &program, &service.log("log"));
    drop((udp, tcp));
    process.until_says("\"message\":\"serving\"");
    let question = Ask::new("a.own.example.", A);
    for reply in [question.udp(address), question.tcp(address)] {
        assert_eq!(reply.data(A), ["10.0.0.1"]);
    }
    process.stops();
}
