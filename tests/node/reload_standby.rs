//! A standby has what is listened on now, whatever was when it joined.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use hickory_proto::rr::RecordType::A;
use nix::sys::signal::Signal;

use super::client::{Ask, ask};
use super::harness::Zerohop;
use super::load::{Load, OWN, run_while};
use super::process::{Process, free_address};
use super::wait::until;

/// Has it listen at these addresses.
fn listen(instance: &Zerohop, addresses: &[SocketAddr]) {
    instance.reload_text(&instance.config_listening(addresses, OWN));
}

fn says(process: &Process, words: &str, times: usize) {
    until(&format!("{words}, {times} times"), || (process.output().matches(words).count() == times).then_some(()));
}

#[test]
fn an_address_that_came_since_is_handed_over_and_loses_nothing() {
    let mut instance = Zerohop::start(OWN);
    let second = free_address();
    for (log, signal) in [("log-1", Signal::SIGTERM), ("log-2", Signal::SIGKILL)] {
        listen(&instance, &[instance.address]);
        let heir = instance.standby(log);
        listen(&instance, &[instance.address, second]);
        says(&heir, "standing by, with other sockets", 1);
        let load = Load::new(600, 300);
        let [seen] = run_while(second, [(&load, "own.example.")], || {
            load.until_sent(200);
            instance.succeed(heir, signal);
        });
        // At a death those that were being worked on: one of each worker.
        let most = if signal == Signal::SIGTERM { 0 } else { 2 };
        assert!(seen.failed.len() <= most, "{:?}", seen.failed);
        assert_eq!(seen.took.len() + seen.failed.len(), 600);
        let log = instance.process.output();
        assert!(!log.contains("not in the configuration any more"), "{log}");
    }
}

#[test]
fn of_an_address_that_went_nobody_has_a_socket() {
    let mut instance = Zerohop::start(OWN);
    let second = free_address();
    listen(&instance, &[instance.address, second]);
    let heir = instance.standby("log-1");
    listen(&instance, &[instance.address]);
    until("the address to be free", || UdpSocket::bind(second).ok().zip(TcpListener::bind(second).ok()).map(drop));
    // With a socket left over there, some questions would go where nobody reads.
    listen(&instance, &[instance.address, second]);
    (0..64).for_each(|_| drop(ask(second, "a.own.example.", A)));
    listen(&instance, &[instance.address]);
    says(&heir, "standing by, with other sockets", 3);
    let directory = instance.config().parent().unwrap().display().to_string();
    let said: Vec<String> = heir
        .output()
        .lines()
        .filter_map(|line| Some(line.split_once("\"level\":")?.1.replace(&directory, "/run")))
        .filter(|line| line.contains("standing by"))
        .collect();
    // The lock, the control socket, that of [admin]; and two workers with two sockets at each address.
    insta::assert_snapshot!(said.join("\n"), @r#"
    "INFO","control":"/run/control.sock","descriptors":11,"message":"standing by"}
    "INFO","control":"/run/control.sock","descriptors":7,"message":"standing by, with other sockets"}
    "INFO","control":"/run/control.sock","descriptors":11,"message":"standing by, with other sockets"}
    "INFO","control":"/run/control.sock","descriptors":7,"message":"standing by, with other sockets"}
    "#);
    instance.succeed(heir, Signal::SIGTERM);
    (0..64).for_each(|_| drop(ask(instance.address, "a.own.example.", A)));
    assert!(TcpStream::connect(second).is_err());
    assert!(Ask::new("a.own.example.", A).try_udp(second).is_none());
}
