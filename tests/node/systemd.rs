//! zerohop below a service manager: what it says, and what is kept from one process to the next.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use hickory_proto::rr::RecordType::A;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::client::{Ask, ask, receive, socket};
use super::harness::{http, messages};
use super::load::Load;
use super::process::{Process, find, free_address, say_skipped};
use super::recorder::Recorder;
use super::service_manager::{ServiceManager, launch};
use super::wait::until;

/// How long the upstream takes for an answer.
const UPSTREAM: Duration = Duration::from_millis(30);
/// Questions a second of each kind: answered here, and asked upstream.
const RATE: u32 = 500;
const OWN: &str = "[[zone]]\nname = \"own.example\"\nrecords = [\"* A 10.0.0.1\"]\n";

/// A service: its configuration, and its log.
struct Service {
    address: SocketAddr,
    admin: SocketAddr,
    directory: TempDir,
    /// Starts so far.
    starts: usize,
}

impl Service {
    fn new(sections: &str) -> Self {
        let service =
            Self { address: free_address(), admin: free_address(), directory: tempfile::tempdir().unwrap(), starts: 0 };
        service.write(&service.address.to_string(), sections);
        service
    }

    fn write(&self, listen: &str, sections: &str) {
        let text = format!(
            "[server]\nlisten = [\"{listen}\"]\nworkers = 2\n[admin]\nlisten = \"{}\"\ncontrol = \"control.sock\"\n{sections}",
            self.admin
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("zerohop.toml")
    }

    /// Starts it as its service manager would, and waits until it serves.
    fn start(&mut self, manager: &ServiceManager, environment: &[(&str, &str)]) -> Process {
        self.starts += 1;
        let log = self.directory.path().join(format!("log-{}", self.starts));
        let config = self.config();
        let run = [env!("CARGO_BIN_EXE_zerohop"), "run", "--config", config.to_str().unwrap()];
        let process = manager.launch(environment, &run, &log);
        says(&process, "\"message\":\"serving\"");
        process
    }

    /// Starts it and waits until it has said that it is ready, for the first time.
    fn ready(&mut self, manager: &ServiceManager, environment: &[(&str, &str)]) -> Process {
        let process = self.start(manager, environment);
        manager.until_told("READY=1", 1);
        process
    }
}

fn says(process: &Process, words: &str) {
    until(&format!("a word of {words}"), || process.output().contains(words).then_some(()));
}

fn forwarding(upstream: &Recorder) -> String {
    format!("{OWN}[[zone]]\nname = \".\"\nforward = [\"{}\"]\n", upstream.address)
}

fn slow() -> Recorder {
    Recorder::scripted(|asked| {
        thread::spawn(move || {
            thread::park_timeout(UPSTREAM);
            asked.answer_a([192, 0, 2, 1], 300);
        });
    })
}

/// What was told, without ports and times; what is stored in no order.
fn told(manager: &ServiceManager, service: &Service) -> String {
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
    let Some(manager) = ServiceManager::start() else { return };
    let mut service = Service::new(OWN);
    let mut process = service.ready(&manager, &[]);
    manager.until_told("FDSTORE=1\nFDPOLL=0\nFDNAME=tcp", 2);
    process.signal(Signal::SIGHUP);
    manager.until_told("READY=1", 2);
    service.write(&service.address.to_string(), &OWN.replace("10.0.0.1", "10.0.0.256"));
    manager.until_told("READY=1", 3);
    process.signal(Signal::SIGTERM);
    assert_eq!(process.exit_code(), Some(0), "{}", process.output());
    insta::assert_snapshot!(told(&manager, &service));
}

#[test]
fn twenty_restarts_under_load_lose_no_question() {
    let Some(manager) = ServiceManager::start() else { return };
    let upstream = slow();
    let mut service = Service::new(&forwarding(&upstream));
    let mut process = service.ready(&manager, &[]);
    let (count, restarts) = (4000, 20);
    let loads = [Load::new(count, RATE), Load::new(count, RATE)];
    let (address, mut logs) = (service.address, String::new());
    let [hits, misses] = thread::scope(|scope| {
        let hits = scope.spawn(|| loads[0].run(address, "own.example."));
        let misses = scope.spawn(|| loads[1].run(address, "forwarded.example."));
        for turn in 1..=restarts {
            loads[1].until_sent(turn * ((count - 200) / restarts));
            // It knows by now that there is a store.
            manager.until_told("READY=1", turn.into());
            process.signal(Signal::SIGTERM);
            assert_eq!(process.exit_code(), Some(0), "{}", process.output());
            logs += &process.output();
            process = service.start(&manager, &[]);
        }
        [hits.join().unwrap(), misses.join().unwrap()]
    });
    assert_eq!((hits.failed, misses.failed), (Vec::<String>::new(), Vec::new()));
    assert_eq!((hits.took.len(), misses.took.len()), (count.into(), count.into()));
    assert_eq!((hits.repeated, misses.repeated), (0, 0), "each is answered once");
    let (left, longest) = left(&logs);
    // Half a second of 30 ms each: some had been asked whenever it was stopped.
    assert!(left.len() == usize::from(restarts) && left.iter().all(|&questions| questions > 0), "{left:?}");
    let (asked, again) = (upstream.packets(), left.iter().sum::<usize>());
    // What a process had not sent yet was asked once all the same.
    assert!((usize::from(count)..=usize::from(count) + again).contains(&asked), "{asked} for {count} and {again}");
    // The contract is 20 ms on a machine that does nothing else.
    assert!(longest < Duration::from_millis(500), "{longest:?}");
}

/// How many questions each process has left, and how long the slowest took from the last one that was read.
fn left(logs: &str) -> (Vec<usize>, Duration) {
    let line = regex::Regex::new(
        r#""message":"questions and sockets are left.*?"questions":(\d+),"after":"([\d.]+)(µs|ms|s)""#,
    )
    .unwrap();
    let mut longest = Duration::ZERO;
    let left = line.captures_iter(logs).map(|found| {
        let number: f64 = found[2].parse().unwrap();
        longest = longest.max(Duration::from_secs_f64(
            number
                / match &found[3] {
                    "µs" => 1e6,
                    "ms" => 1e3,
                    _ => 1.0,
                },
        ));
        found[1].parse().unwrap()
    });
    (left.collect(), longest)
}

#[test]
fn a_death_loses_what_was_being_worked_on_and_the_queue_stays() {
    let Some(manager) = ServiceManager::start() else { return };
    let upstream = slow();
    let mut service = Service::new(&forwarding(&upstream));
    let mut process = service.ready(&manager, &[]);
    let loads = [Load::new(1000, RATE), Load::new(1000, RATE)];
    let (address, mut sent) = (service.address, [0, 0]);
    let seen = thread::scope(|scope| {
        let hits = scope.spawn(|| loads[0].run(address, "own.example."));
        let misses = scope.spawn(|| loads[1].run(address, "forwarded.example."));
        loads[1].until_sent(500);
        process.signal(Signal::SIGKILL);
        process.exit();
        sent = [loads[0].sent(), loads[1].sent()];
        // While nobody serves.
        loads[1].until_sent(600);
        process = service.start(&manager, &[]);
        [hits.join().unwrap(), misses.join().unwrap()]
    });
    for (seen, sent) in seen.iter().zip(sent) {
        for lost in &seen.failed {
            let number: u16 = lost[1..].split('.').next().unwrap().parse().unwrap();
            assert!(number <= sent, "{lost} came when nobody could have read it");
        }
        assert_eq!(seen.took.len() + seen.failed.len(), 1000);
    }
    // Read, and not answered: at that rate one question of each worker, and what was out for 30 ms.
    assert!(seen[0].failed.len() <= 2 && seen[1].failed.len() < 60, "{:?} {:?}", seen[0].failed, seen[1].failed);
}

/// At an address of the node, and at one of all, where the reply has to leave from the one that was asked.
#[test]
fn an_open_question_is_answered_by_the_next_process() {
    let mut logs = [String::new(), String::new()];
    for is_wildcard in [false, true] {
        let Some(manager) = ServiceManager::start() else { return };
        let (hold, held) = channel();
        let upstream = Recorder::scripted(move |asked| hold.send(asked).unwrap());
        let mut service = Service::new("");
        let listen =
            if is_wildcard { format!("0.0.0.0:{}", service.address.port()) } else { service.address.to_string() };
        service.write(&listen, &forwarding(&upstream));
        let mut process = service.ready(&manager, &[]);
        let listeners = manager.kept();
        let (client, question) = (socket(), Ask::new("Held.example.", A).edns(1400));
        // Only what comes from there arrives.
        client.connect(service.address).unwrap();
        client.send(&question.octets()).unwrap();
        let first = held.recv().unwrap();
        manager.until_told("READY=1", 1);
        process.signal(Signal::SIGTERM);
        assert_eq!(process.exit_code(), Some(0));
        assert_eq!(manager.kept().iter().filter(|name| *name == "questions").count(), 1, "{:?}", manager.kept());
        let left = messages(&process);
        process = service.start(&manager, &[]);
        let second = held.recv().unwrap();
        assert_eq!(manager.kept(), listeners, "what was read is not kept");
        first.answer_a([192, 0, 2, 1], 300);
        second.answer_a([192, 0, 2, 2], 300);
        assert_eq!(question.check(receive(&client)).data(A), ["192.0.2.2"]);
        says(&process, "\"questions\":1");
        logs = [left, messages(&process)];
    }
    insta::assert_snapshot!(logs[0], @r"
    confined to what serving takes
    serving
    stopping: the next process goes on with it
    questions and sockets are left to the next process
    stopped
    ");
    insta::assert_snapshot!(logs[1], @r"
    kept by the service manager
    confined to what serving takes
    serving
    ");
}

#[test]
fn without_a_store_what_is_under_way_is_answered_first() {
    for is_told in [false, true] {
        let Some(manager) = ServiceManager::with_store(0, is_told) else { return };
        let (hold, held) = channel();
        let upstream = Recorder::scripted(move |asked| hold.send(asked).unwrap());
        let mut service = Service::new(&forwarding(&upstream));
        let mut process = service.ready(&manager, &[]);
        let (client, question) = (socket(), Ask::new("held.example.", A));
        client.send_to(&question.octets(), service.address).unwrap();
        let asked = held.recv().unwrap();
        if !is_told {
            manager.until_told("FDSTOREREMOVE=1\nFDNAME=probe", 1);
        }
        process.signal(Signal::SIGTERM);
        says(&process, "stopping: answering what is under way");
        asked.answer_a([192, 0, 2, 1], 300);
        assert_eq!(question.check(receive(&client)).data(A), ["192.0.2.1"]);
        assert_eq!(process.exit_code(), Some(0));
    }
}

#[test]
fn what_cannot_be_told_or_read_is_said_once() {
    let Some(python) = find("python3", "python3") else { return };
    let mut logs = Vec::new();
    for notify in ["run/notify", "/nonexistent/notify"] {
        let service = Service::new("[[zone]]\nname = \".\"\nrecords = [\"a A 10.0.0.1\"]\n");
        let garbage = service.directory.path().join("garbage");
        std::fs::write(&garbage, "no questions").unwrap();
        let (garbage, config) = (File::open(&garbage).unwrap(), service.config());
        let run = [env!("CARGO_BIN_EXE_zerohop"), "run", "--config", config.to_str().unwrap()];
        let mut command = Command::new(&python);
        command.env_clear().env("NOTIFY_SOCKET", notify);
        let log = service.directory.path().join("log");
        let mut process = launch(&mut command, &[("questions", garbage.as_fd())], &run, &log);
        says(&process, "\"message\":\"serving\"");
        assert_eq!(ask(service.address, "a.", A).data(A), ["10.0.0.1"]);
        process.signal(Signal::SIGTERM);
        assert_eq!(process.exit_code(), Some(0));
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
fn a_store_that_nobody_has_told_of_is_found() {
    let Some(manager) = ServiceManager::with_store(512, false) else { return };
    let mut service = Service::new(OWN);
    let mut process = service.ready(&manager, &[]);
    manager.until_told("FDSTOREREMOVE=1\nFDNAME=probe", 1);
    assert!(!manager.kept().contains(&"probe".to_owned()));
    until("a stop for the next process", || {
        process.signal(Signal::SIGTERM);
        process.ended()
    });
    says(&process, "questions and sockets are left to the next process");
}

/// Where it is found by asking, which takes a second, and the stop comes before.
#[test]
fn what_was_kept_tells_of_the_store() {
    let Some(manager) = ServiceManager::with_store(512, false) else { return };
    let mut service = Service::new(OWN);
    let mut process = service.ready(&manager, &[]);
    manager.until_told("FDSTOREREMOVE=1\nFDNAME=probe", 1);
    process.signal(Signal::SIGTERM);
    process.exit();
    process = service.start(&manager, &[]);
    process.signal(Signal::SIGTERM);
    process.exit();
    says(&process, "questions and sockets are left to the next process");
    assert!(manager.kept().contains(&"cache".to_owned()));
}

#[test]
fn what_is_not_in_the_configuration_any_more_is_not_kept() {
    let Some(manager) = ServiceManager::start() else { return };
    let mut service = Service::new(OWN);
    let mut process = service.ready(&manager, &[]);
    let name = |kind: &str, address: SocketAddr| format!("{kind}-{}-{}", address.ip(), address.port());
    let all = |dns: SocketAddr, admin: SocketAddr| {
        let mut names: Vec<String> = ["udp", "udp", "tcp", "tcp"].map(|kind| name(kind, dns)).to_vec();
        names.push(name("tcp", admin));
        names.sort_unstable();
        names
    };
    until("all listeners", || (manager.kept() == all(service.address, service.admin)).then_some(()));
    process.signal(Signal::SIGTERM);
    process.exit();
    let before = std::mem::replace(&mut service.address, free_address());
    service.write(&service.address.to_string(), OWN);
    let process = service.start(&manager, &[]);
    says(&process, "not in the configuration any more: closed");
    until("other listeners", || (manager.kept() == all(service.address, service.admin)).then_some(()));
    assert_eq!(ask(service.address, "a.own.example.", A).data(A), ["10.0.0.1"]);
    UdpSocket::bind(before).expect("nobody has the address any more");
}

/// In a network namespace whose loopback device is down.
#[test]
fn an_address_that_does_not_answer_does_not_hold_the_start_up_for_ever() {
    let (Some(manager), Some(unshare)) = (ServiceManager::start(), find("unshare", "util-linux")) else { return };
    let (service, separate) = (Service::new(OWN), [unshare.to_str().unwrap(), "--map-root-user", "--net"]);
    if !Command::new(separate[0]).args(&separate[1..]).arg("true").status().unwrap().success() {
        return say_skipped("leave to make a network namespace");
    }
    let config = service.config();
    let run = [env!("CARGO_BIN_EXE_zerohop"), "run", "--config", config.to_str().unwrap()];
    let process = manager.launch(&[], &[&separate[..], &run].concat(), &service.directory.path().join("log"));
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
    let config = service.config();
    let join = [env!("CARGO_BIN_EXE_zerohop"), "run", "--join", "--config", config.to_str().unwrap()];
    let launch = |log| manager.launch(&[("WATCHDOG_USEC", "200000")], &join, &service.directory.path().join(log));
    let mut first = launch("log-1");
    manager.until_told("READY=1\nSTATUS=serving", 1);
    let second = launch("log-2");
    manager.until_told("READY=1\nSTATUS=standing by", 1);
    first.signal(Signal::SIGTERM);
    assert_eq!(first.exit_code(), Some(0));
    manager.until_told("READY=1\nSTATUS=serving", 2);
    says(&second, "taking over: told to");
    assert_eq!(ask(service.address, "a.own.example.", A).data(A), ["10.0.0.1"]);
    assert_eq!(manager.kept(), Vec::<String>::new());
}

#[test]
fn a_worker_that_hangs_is_no_life_sign() {
    let Some(manager) = ServiceManager::start() else { return };
    let mut service = Service::new(OWN);
    let process = service.ready(&manager, &[("WATCHDOG_USEC", "200000")]);
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
    std::fs::write(service.config(), text).unwrap();
    std::fs::set_permissions(service.directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let passed = [("zerohop.socket", udp.as_fd()), ("zerohop.socket", tcp.as_fd())];
    let nobody = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
        "--no-new-privs",
    ];
    let run = [env!("CARGO_BIN_EXE_zerohop"), "run", "--config", service.config().to_str().unwrap()].map(str::to_owned);
    let program: Vec<&str> =
        std::iter::once(setpriv.to_str().unwrap()).chain(nobody).chain(run.iter().map(String::as_str)).collect();
    let mut process =
        launch(Command::new(python).env_clear(), &passed, &program, &service.directory.path().join("log"));
    drop((udp, tcp));
    says(&process, "\"message\":\"serving\"");
    let question = Ask::new("a.own.example.", A);
    for reply in [question.udp(address), question.tcp(address)] {
        assert_eq!(reply.data(A), ["10.0.0.1"]);
    }
    process.signal(Signal::SIGTERM);
    assert_eq!(process.exit_code(), Some(0), "{}", process.output());
}
