//! What the service manager keeps: whether it does, and what of.

use std::net::{SocketAddr, UdpSocket};

use hickory_proto::rr::RecordType::A;
use nix::sys::signal::Signal;

use super::super::client::ask;
use super::super::load::OWN;
use super::super::process::free_address;
use super::super::service_manager::ServiceManager;
use super::super::wait::until;
use super::service::{Managed, Service};

/// Ready, and it has found out that there is a store of which nobody has told it.
fn found_out() -> Option<Managed> {
    let manager = ServiceManager::with_store(512, false)?;
    let managed = Managed::below(manager, Service::new(OWN), &[]);
    managed.manager.until_told("FDSTOREREMOVE=1\nFDNAME=probe", 1);
    Some(managed)
}

#[test]
fn a_store_that_nobody_has_told_of_is_found() {
    let Some(mut managed) = found_out() else { return };
    let Managed { process, manager, .. } = &mut managed;
    assert!(!manager.kept().contains(&"probe".to_owned()));
    until("a stop for the next process", || {
        process.signal(Signal::SIGTERM);
        process.ended()
    });
    process.until_says("questions and sockets are left to the next process");
}

/// Where it is found by asking, which takes a second, and the stop comes before.
#[test]
fn what_was_kept_tells_of_the_store() {
    let Some(mut managed) = found_out() else { return };
    managed.process.stops();
    managed.start_again();
    managed.process.stops();
    managed.process.until_says("questions and sockets are left to the next process");
    assert!(managed.manager.kept().contains(&"cache".to_owned()));
}

#[test]
fn what_is_not_in_the_configuration_any_more_is_not_kept() {
    let Some(mut managed) = Managed::ready(OWN) else { return };
    let name = |kind: &str, address: SocketAddr| format!("{kind}-{}-{}", address.ip(), address.port());
    let all = |dns: SocketAddr, admin: SocketAddr| {
        let mut names: Vec<String> = ["udp", "udp", "tcp", "tcp"].map(|kind| name(kind, dns)).to_vec();
        names.push(name("tcp", admin));
        names.sort_unstable();
        names
    };
    let has_all = |Managed { manager, service, .. }: &Managed| {
        until("all listeners", || (manager.kept() == all(service.address, service.admin)).then_some(()));
    };
    has_all(&managed);
    managed.process.stops();
    let before = std::mem::replace(&mut managed.service.address, free_address());
    managed.service.write(&managed.service.address.to_string(), OWN);
    managed.start_again();
    managed.process.until_says("not in the configuration any more: closed");
    has_all(&managed);
    assert_eq!(ask(managed.service.address, "a.own.example.", A).data(A), ["10.0.0.1"]);
    UdpSocket::bind(before).expect("nobody has the address any more");
}
