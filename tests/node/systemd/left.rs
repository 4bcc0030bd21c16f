//! What a process leaves to the next one: questions that were asked, and the sockets with those behind them.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use hickory_proto::rr::RecordType::A;
use nix::sys::signal::Signal;

use super::super::client::{Ask, receive, socket};
use super::super::harness::messages;
use super::super::load::{Load, Seen, run_while};
use super::super::process::find;
use super::super::recorder::Recorder;
use super::super::service_manager::ServiceManager;
use super::service::{Managed, Service, forwarding};

/// How long the upstream takes for an answer.
const UPSTREAM: Duration = Duration::from_millis(30);
/// Questions a second of each kind: answered here, and asked upstream.
const RATE: u32 = 500;

/// Both kinds of questions at once, while something happens.
fn under_both(server: SocketAddr, [hits, misses]: &[Load; 2], happens: impl FnOnce()) -> [Seen; 2] {
    run_while(server, [(hits, "own.example."), (misses, "forwarded.example.")], happens)
}

#[test]
fn twenty_restarts_under_load_lose_no_question() {
    let upstream = Recorder::slow(UPSTREAM, [192, 0, 2, 1]);
    let Some(mut managed) = Managed::ready(&forwarding(&upstream)) else { return };
    let (count, restarts) = (4000, 20);
    let loads = [Load::new(count, RATE), Load::new(count, RATE)];
    let mut logs = String::new();
    let seen = under_both(managed.service.address, &loads, || {
        for turn in 1..=restarts {
            loads[1].until_sent(turn * ((count - 200) / restarts));
            // It knows by now that there is a store.
            managed.manager.until_told("READY=1", turn.into());
            managed.process.stops();
            logs += &managed.process.output();
            managed.start_again();
        }
    });
    seen.iter().for_each(|seen| seen.lost_nothing(count));
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
    let upstream = Recorder::slow(UPSTREAM, [192, 0, 2, 1]);
    let Some(mut managed) = Managed::ready(&forwarding(&upstream)) else { return };
    let loads = [Load::new(1000, RATE), Load::new(1000, RATE)];
    let mut sent = [0, 0];
    let seen = under_both(managed.service.address, &loads, || {
        loads[1].until_sent(500);
        managed.process.signal(Signal::SIGKILL);
        managed.process.exit();
        sent = [loads[0].sent(), loads[1].sent()];
        // While nobody serves.
        loads[1].until_sent(600);
        managed.start_again();
    });
    for (seen, sent) in seen.iter().zip(sent) {
        for lost in &seen.failed {
            assert!(Seen::number(lost) <= sent, "{lost} came when nobody could have read it");
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
        let (upstream, held) = Recorder::held();
        let service = Service::new("");
        let listen =
            if is_wildcard { format!("0.0.0.0:{}", service.address.port()) } else { service.address.to_string() };
        service.write(&listen, &forwarding(&upstream));
        let mut managed = Managed::below(manager, service, &[]);
        let listeners = managed.manager.kept();
        let (client, question) = (socket(), Ask::new("Held.example.", A).edns(1400));
        // Only what comes from there arrives.
        client.connect(managed.service.address).unwrap();
        client.send(&question.octets()).unwrap();
        let first = held.recv().unwrap();
        managed.process.stops();
        let kept = managed.manager.kept();
        assert_eq!(kept.iter().filter(|name| *name == "questions").count(), 1, "{kept:?}");
        let left = messages(&managed.process);
        managed.start_again();
        let second = held.recv().unwrap();
        assert_eq!(managed.manager.kept(), listeners, "what was read is not kept");
        first.answer_a([192, 0, 2, 1], 300);
        second.answer_a([192, 0, 2, 2], 300);
        assert_eq!(question.check(receive(&client)).data(A), ["192.0.2.2"]);
        managed.process.until_says("\"questions\":1");
        logs = [left, messages(&managed.process)];
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
        let (upstream, held) = Recorder::held();
        let service = Service::new(&forwarding(&upstream));
        let mut managed = Managed::below(manager, service, &[]);
        let Managed { process, service, manager } = &mut managed;
        let (client, question) = (socket(), Ask::new("held.example.", A));
        client.send_to(&question.octets(), service.address).unwrap();
        let asked = held.recv().unwrap();
        if !is_told {
            manager.until_told("FDSTOREREMOVE=1\nFDNAME=probe", 1);
        }
        process.signal(Signal::SIGTERM);
        process.until_says("stopping: answering what is under way");
        asked.answer_a([192, 0, 2, 1], 300);
        assert_eq!(question.check(receive(&client)).data(A), ["192.0.2.1"]);
        assert_eq!(process.exit_code(), Some(0));
    }
}

#[test]
fn a_stop_waits_for_a_manager_that_does_not_settle_but_not_for_long() {
    let upstream = Recorder::black_hole();
    let Some(mut managed) = Managed::ready(&forwarding(&upstream)) else { return };
    managed.manager.hold_barriers();
    managed.process.stops();
    insta::assert_snapshot!(messages(&managed.process), @r"
    confined to what serving takes
    serving
    stopping: the next process goes on with it
    the service manager does not say that it has seen to what it was told
    questions and sockets are left to the next process
    stopped
    ");
}

#[test]
fn questions_that_find_no_room_are_said_to_be_lost() {
    let Some(prlimit) = find("prlimit", "util-linux") else { return };
    let (upstream, held) = Recorder::held();
    let Some(mut managed) = Managed::ready(&forwarding(&upstream)) else { return };
    let client = socket();
    client.send_to(&Ask::new("held.example.", A).octets(), managed.service.address).unwrap();
    let _asked = held.recv().unwrap();
    // No more descriptors than it has.
    let pid = managed.process.pid().to_string();
    assert!(Command::new(prlimit).args(["--pid", &pid, "--nofile=3:3"]).status().unwrap().success());
    managed.process.stops();
    insta::assert_snapshot!(messages(&managed.process), @r"
    confined to what serving takes
    serving
    stopping: the next process goes on with it
    the service manager was not told STOPPING=1: Too many open files (os error 24); nor what follows, until it listens
    the cache does not go to the next process: Too many open files (os error 24)
    questions cannot be left to the next process
    questions and sockets are left to the next process
    stopped
    ");
}
