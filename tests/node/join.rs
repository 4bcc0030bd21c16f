//! One instance in the place of another: nothing is lost when the first leaves, and what it worked on
//! alone when it dies.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use hickory_proto::rr::RecordType::A;
use nix::sys::signal::Signal;

use super::certificates::Authority;
use super::client::{Ask, ask, connect, read_framed, receive, socket};
use super::harness::{Zerohop, messages, zerohop};
use super::load::{Load, OWN, Seen, run_while};
use super::process::{Process, free_address};
use super::recorder::Recorder;
use super::secrecy::section;
use super::tls_client::{NAME, TlsClient};
use super::wait::until;

/// How long the upstream takes for an answer.
const UPSTREAM: Duration = Duration::from_millis(30);
/// Questions a second of each kind: answered here, and asked upstream.
const RATE: u32 = 250;

/// A zone of our own, and one of which every name is asked upstream.
fn sections(upstream: &Recorder) -> String {
    format!("{OWN}{}", upstream.root_zone())
}

fn upstream() -> Recorder {
    Recorder::slow(UPSTREAM, [192, 0, 2, 1])
}

/// Has the standby serve in place of the one that does. Returns the one that ended.
fn succeed(instance: &mut Zerohop, standby: Process, signal: Signal) -> Process {
    let old = instance.succeed(standby, signal);
    instance.process.until_says("\"message\":\"serving\"");
    old
}

/// Both kinds of questions at once, and a client over TCP that asks again where its connection ended,
/// while something happens. Returns what clients saw of the two kinds, and how often the one over TCP
/// was answered.
fn under_load(server: SocketAddr, loads: &[Load; 2], happens: impl FnOnce()) -> ([Seen; 2], usize) {
    let is_over = AtomicBool::new(false);
    let over_tcp = || {
        let mut answered = 0;
        while !is_over.load(Relaxed) {
            let mut stream = connect(server);
            while !is_over.load(Relaxed) {
                let question = Ask::new(&format!("n{answered}.own.example."), A);
                let sent = stream.write_all(&question.framed());
                let Some(reply) = sent.ok().and_then(|()| read_framed(&mut stream)) else { break };
                assert_eq!(question.check(reply).data(A), ["10.0.0.1"]);
                answered += 1;
                thread::park_timeout(Duration::from_millis(5));
            }
        }
        answered
    };
    let [own, forwarded] = loads;
    thread::scope(|scope| {
        let over_tcp = scope.spawn(over_tcp);
        let seen = run_while(server, [(own, "own.example."), (forwarded, "forwarded.example.")], happens);
        is_over.store(true, Relaxed);
        (seen, over_tcp.join().unwrap())
    })
}

#[test]
fn five_hand_overs_under_load_lose_no_question() {
    let upstream = upstream();
    let mut instance = Zerohop::start(&sections(&upstream));
    let loads = [Load::new(2000, RATE), Load::new(2000, RATE)];
    let ([hits, misses], over_tcp) = under_load(instance.address, &loads, || {
        for turn in 1..=5 {
            let heir = instance.standby(&format!("log-{turn}"));
            loads[1].until_sent(turn * 300);
            let old = succeed(&mut instance, heir, Signal::SIGTERM);
            assert!(old.output().contains("the standby serves"), "{}", old.output());
        }
    });
    hits.lost_nothing(2000);
    misses.lost_nothing(2000);
    assert!(over_tcp > 100, "{over_tcp}");
    assert_eq!(upstream.packets(), 2000, "nobody asked twice");
}

#[test]
fn a_death_costs_what_was_being_worked_on_and_nothing_else() {
    let upstream = upstream();
    let mut instance = Zerohop::start(&sections(&upstream));
    let loads = [Load::new(1000, RATE), Load::new(1000, RATE)];
    let mut begun = Vec::new();
    let ([hits, misses], _) = under_load(instance.address, &loads, || {
        let heir = instance.standby("log-1");
        loads[1].until_sent(500);
        succeed(&mut instance, heir, Signal::SIGKILL);
        begun = upstream.questions();
    });
    // Read, and not answered: one question of each worker at that rate.
    assert!(hits.failed.len() <= 2, "{:?}", hits.failed);
    // Those that were out to the upstream for its 30 ms, and had been asked there; and those that were read
    // and about to be.
    let was_asked = |lost: &&String| {
        let name = lost.split(':').next().unwrap();
        begun.iter().any(|asked| asked.starts_with(name))
    };
    let never: Vec<&String> = misses.failed.iter().filter(|lost| !was_asked(lost)).collect();
    assert!(never.len() <= 2, "{never:?} were lost and never asked");
    assert_eq!(hits.took.len() + hits.failed.len() + misses.took.len() + misses.failed.len(), 2000);
    assert!(misses.failed.len() < 60, "{:?}", misses.failed);
}

#[test]
fn with_nobody_serving_it_serves_and_the_next_one_stands_by() {
    let upstream = upstream();
    let mut instance = Zerohop::start(&sections(&upstream));
    instance.process.signal(Signal::SIGTERM);
    instance.process.exit();
    instance.process = instance.beside(&["run", "--join"], "log-1");
    instance.process.until_says("\"message\":\"serving\"");
    assert_eq!(ask(instance.address, "a.own.example.", A).data(A), ["10.0.0.1"]);
    let heir = instance.standby("log-2");
    succeed(&mut instance, heir, Signal::SIGTERM);
    assert_eq!(ask(instance.address, "a.own.example.", A).data(A), ["10.0.0.1"]);
}

#[test]
fn after_a_hand_over_the_new_one_is_found_under_its_own_pid() {
    let upstream = upstream();
    let mut instance = Zerohop::start(&sections(&upstream));
    let heir = instance.standby("log-1");
    succeed(&mut instance, heir, Signal::SIGTERM);
    let output = zerohop().arg("--config").arg(instance.config()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("another instance (pid {}) serves", instance.process.pid())), "{said}");
    assert_eq!(output.status.code(), Some(1));
    let health = || instance.runs("health").status.code();
    assert_eq!(health(), Some(0));
    assert_eq!(instance.metrics().sum("zerohop_build_info", &[]), 1, "the admin listener came along");
}

#[test]
fn a_second_standby_waits_behind_the_first() {
    let upstream = upstream();
    let mut instance = Zerohop::start(&sections(&upstream));
    let (mut first, second) = (instance.standby("log-1"), instance.beside(&["run", "--join"], "log-2"));
    second.until_says("another instance stands by: waiting behind it");
    first.stops();
    second.until_says("\"message\":\"standing by\"");
    let third = instance.beside(&["run", "--join"], "log-3");
    third.until_says("waiting behind it");
    let somebody = |expected: u64| {
        until("the word of a standby", || (instance.metrics().sum("zerohop_standby", &[]) == expected).then_some(()));
    };
    somebody(1);
    succeed(&mut instance, second, Signal::SIGTERM);
    third.until_says("\"message\":\"standing by\"");
    succeed(&mut instance, third, Signal::SIGKILL);
    assert_eq!(ask(instance.address, "a.own.example.", A).data(A), ["10.0.0.1"]);
}

#[test]
fn the_configuration_of_the_new_one_says_what_is_served_and_by_how_many() {
    let upstream = upstream();
    let mut instance = Zerohop::start(&sections(&upstream));
    let (first, second) = (instance.address, free_address());
    let config = instance.config();
    let text = std::fs::read_to_string(&config).unwrap();
    let answers = |address| Ask::new("a.own.example.", A).try_udp(address).is_some();
    let listens = |listen: &str, workers: &str| {
        let text = text.replace(&format!("listen = [\"{first}\"]"), listen).replace("workers = 2", workers);
        std::fs::write(&config, text).unwrap();
    };
    listens(&format!("listen = [\"{first}\", \"{second}\"]"), "workers = 4");
    let heir = instance.standby("log-1");
    assert!(!answers(second));
    succeed(&mut instance, heir, Signal::SIGTERM);
    // From other ports each time, so that every worker is asked.
    for address in [first, second] {
        (0..32).for_each(|_| drop(Ask::new("a.own.example.", A).udp(address)));
        (0..32).for_each(|_| drop(Ask::new("a.own.example.", A).tcp(address)));
    }
    listens(&format!("listen = [\"{second}\"]"), "workers = 1");
    let heir = instance.standby("log-2");
    succeed(&mut instance, heir, Signal::SIGTERM);
    (0..32).for_each(|_| drop(Ask::new("a.own.example.", A).udp(second)));
    (0..32).for_each(|_| drop(Ask::new("a.own.example.", A).tcp(second)));
    assert!(!answers(first), "it is not in the configuration any more");
    instance.log_line(&["not in the configuration any more", &first.to_string()]);
}

#[test]
fn an_address_that_cannot_be_had_keeps_no_heir_from_serving_the_others() {
    let upstream = upstream();
    let mut instance = Zerohop::start(&sections(&upstream));
    let (first, second) = (instance.address, free_address());
    let _taken = UdpSocket::bind(second).unwrap();
    let text = std::fs::read_to_string(instance.config()).unwrap();
    let both = text.replace(&format!("[\"{first}\"]"), &format!("[\"{second}\", \"{first}\"]"));
    std::fs::write(instance.config(), both).unwrap();
    let heir = instance.standby("log-1");
    succeed(&mut instance, heir, Signal::SIGKILL);
    assert_eq!(ask(first, "a.own.example.", A).data(A), ["10.0.0.1"]);
    instance.log_line(&["ERROR", &format!("cannot listen on {second} (UDP)"), "the other addresses are served"]);
}

#[test]
fn what_has_changed_meanwhile_is_read_and_a_fault_there_changes_nothing() {
    let upstream = upstream();
    let mut instance = Zerohop::start(&sections(&upstream));
    for (log, address, expected) in [("log-1", "10.0.0.2", "10.0.0.2"), ("log-2", "10.0.0.256", "10.0.0.2")] {
        let heir = instance.standby(log);
        // The one that serves is not to take it up by itself.
        instance.process.signal(Signal::SIGSTOP);
        instance.write_config(&sections(&upstream).replace("10.0.0.1", address));
        succeed(&mut instance, heir, Signal::SIGKILL);
        until("the configuration that was read", || {
            (ask(instance.address, "a.own.example.", A).data(A) == [expected]).then_some(())
        });
    }
    assert_eq!(instance.reloads(), (0, 1));
}

#[test]
fn over_tls_it_goes_on_as_well() {
    let (upstream, authority, tls) = (upstream(), Authority::new(), free_address());
    let sections = format!("{}{}", section(tls, &authority.certify(&[NAME])), sections(&upstream));
    let mut instance = Zerohop::start(&sections);
    let question = Ask::new("a.own.example.", A);
    for (log, signal) in [("log-1", Signal::SIGTERM), ("log-2", Signal::SIGKILL)] {
        let heir = instance.standby(log);
        succeed(&mut instance, heir, signal);
        for _ in 0..8 {
            assert_eq!(TlsClient::new(&[&authority], &["dot"]).connect(tls).ask(&question).data(A), ["10.0.0.1"]);
        }
    }
}

#[test]
fn whoever_joins_while_the_last_questions_are_answered_serves_at_once() {
    let (upstream, held) = Recorder::held();
    let mut instance = Zerohop::start(&sections(&upstream));
    let (client, question) = (socket(), Ask::new("held.example.", A));
    client.send_to(&question.octets(), instance.address).unwrap();
    let asked = held.recv().unwrap();
    instance.process.signal(Signal::SIGTERM);
    instance.process.until_says("stopping");
    let heir = instance.beside(&["run", "--join"], "log-1");
    heir.until_says("\"message\":\"serving\"");
    assert_eq!(ask(instance.address, "a.own.example.", A).data(A), ["10.0.0.1"]);
    assert!(instance.process.ended().is_none(), "it has a question to answer");
    asked.answer_a([192, 0, 2, 1], 300);
    assert_eq!(question.check(receive(&client)).data(A), ["192.0.2.1"]);
    let mut old = std::mem::replace(&mut instance.process, heir);
    assert_eq!(old.exit_code(), Some(0));
    let health = instance.runs("health");
    assert_eq!(health.status.code(), Some(0), "the control socket has stayed");
}

#[test]
fn both_logs_tell_of_it() {
    let upstream = upstream();
    let mut instance = Zerohop::start(&sections(&upstream));
    let heir = instance.standby("log-1");
    let old = succeed(&mut instance, heir, Signal::SIGTERM);
    insta::assert_snapshot!(messages(&old), @r"
    confined to what serving takes
    serving
    a standby has joined
    stopping: answering what is under way
    the standby serves
    stopped
    ");
    insta::assert_snapshot!(messages(&instance.process), @r"
    standing by
    taking over: told to
    confined to what serving takes
    serving
    ");
    let (heir, mut other) = (instance.standby("log-2"), instance.beside(&["run", "--join"], "log-3"));
    other.until_says("waiting behind it");
    other.stops();
    insta::assert_snapshot!(messages(&other), @r"
    another instance stands by: waiting behind it
    stopped: nobody needed us
    ");
    succeed(&mut instance, heir, Signal::SIGKILL);
    insta::assert_snapshot!(messages(&instance.process), @r"
    standing by
    taking over: the instance that served is gone
    confined to what serving takes
    serving
    ");
}
