//! What the service manager is told: how zerohop is, from its start to its end, and that it lives.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::Command;
use std::thread;
use std::time::Duration;

use hickory_proto::rr::RecordType::A;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::super::client::ask;
use super::super::harness::{http, messages};
use super::super::load::OWN;
use super::super::process::{find, say_skipped};
use super::super::service_manager::{ServiceManager, launch};
use super::service::{Managed, Service};

/// What was told, without ports and times; what is stored in no order.
fn told(Managed { manager, service, .. }: &Managed) -> String {
    let name = |address: SocketAddr| format!("{}-{}", address.ip(), address.port());
    let mut told = manager.told();
    for message in &mut told {
        *message = message.replace(&name(service.address), "DNS").replace(&name(service.admin), "ADMIN");
    }
    let stored = told.iter().take_while(|message| message.starts_with("FDSTORE=1")).count();
    told[..stored].sort_unstable();
    let all = told.join("\n--\n");
    regex::Regex::new(r"(MONOTONIC_USEC=)\d+").unwrap().replace_all(&all, "${1}TIME").into_owned()
}

#[test]
fn it_says_how_it_is_from_the_start_to_the_end() {
    let Some(mut managed) = Managed::ready(OWN) else { return };
    let Managed { process, service, manager } = &mut managed;
    manager.until_told("FDSTORE=1\nFDPOLL=0\nFDNAME=tcp", 2);
    process.signal(Signal::SIGHUP);
    manager.until_told("READY=1", 2);
    service.write(&service.address.to_string(), &OWN.replace("10.0.0.1", "10.0.0.256"));
    manager.until_told("READY=1", 3);
    process.stops();
    insta::assert_snapshot!(told(&managed));
}

#[test]
fn what_cannot_be_told_or_read_is_said_once() {
    let Some(python) = find("python3", "python3") else { return };
    let mut logs = Vec::new();
    for notify in ["run/notify", "/nonexistent/notify"] {
        let service = Service::new("[[zone]]\nname = \".\"\nrecords = [\"a A 10.0.0.1\"]\n");
        let garbage = service.directory.path().join("garbage");
        std::fs::write(&garbage, "no questions").unwrap();
        let garbage = File::open(&garbage).unwrap();
        let mut command = Command::new(&python);
        command.env_clear().env("NOTIFY_SOCKET", notify);
        let passed = [("questions", garbage.as_fd())];
        let mut process = launch(&mut command, &passed, &service.program(), &service.log("log"));
        process.until_says("\"message\":\"serving\"");
        assert_eq!(ask(service.address, "a.", A).data(A), ["10.0.0.1"]);
        process.stops();
        logs.push(messages(&process));
    }
    insta::assert_snapshot!(logs.join("\n--\n"), @r"
    NOTIFY_SOCKET is run/notify: neither a path nor a name behind `@`; the service manager is told nothing
    the questions that an earlier process has left cannot be read; clients ask again
    kept by the service manager
    confined to what serving takes
    serving
    stopping: answering what is under way
    stopped
    --
    the service manager was not told FDSTOREREMOVE=1: No such file or directory (os error 2); nor what follows, until it listens
    the questions that an earlier process has left cannot be read; clients ask again
    kept by the service manager
    confined to what serving takes
    serving
    stopping: answering what is under way
    stopped
    ");
}

#[test]
fn a_worker_that_hangs_is_no_life_sign() {
    let Some(manager) = ServiceManager::start() else { return };
    let managed = Managed::below(manager, Service::new(OWN), &[("WATCHDOG_USEC", "200000")]);
    let Managed { process, service, manager } = &managed;
    manager.until_told("WATCHDOG=1", 3);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid())).unwrap().map(|task| task.unwrap().path());
    let mut workers = tasks.filter(|task| std::fs::read_to_string(task.join("comm")).unwrap().trim() == "worker-1");
    let worker = workers.next().unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap();
    let worker = Pid::from_raw(worker);
    if let Err(error) = ptrace::seize(worker, ptrace::Options::empty()) {
        return say_skipped(&format!("leave to hold a thread: {error}"));
    }
    ptrace::interrupt(worker).unwrap();
    waitpid(worker, Some(WaitPidFlag::__WALL)).unwrap();
    let stuck = "STATUS=workers that are stuck: [1]; serving 1 zone, 0 upstream servers";
    manager.until_told(stuck, 1);
    let (status, _) = http(service.admin, "/health").unwrap();
    assert_eq!(status, 503);
    let signs = || manager.told().iter().filter(|told| *told == "WATCHDOG=1").count();
    let before = signs();
    // Several times as long as it may take.
    thread::park_timeout(Duration::from_secs(1));
    assert_eq!(signs(), before);
    ptrace::detach(worker, None).unwrap();
    manager.until_told("WATCHDOG=1", before + 2);
    manager.until_told("STATUS=serving 1 zone, 0 upstream servers", 1);
}
