//! A hundred reloads in ten seconds, told of in every way there is and a third of them refused, while clients
//! ask: they notice nothing, nothing piles up, and the last good configuration is what is served.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use hickory_proto::rr::RecordType::A;
use nix::sys::signal::Signal;

use super::client::ask;
use super::harness::Zerohop;
use super::load::{Load, OWN, run_while, stay_connected};
use super::memory::resident;
use super::process::free_address;
use super::recorder::Recorder;
use super::wait::{now, until};

const RELOADS: u32 = 100;
/// Between two of them.
const PACE: Duration = Duration::from_millis(100);
/// How long they may take, with all that tests do beside it.
const LONGEST: Duration = Duration::from_secs(60);
/// Those before the memory is looked at for the first time.
const FIRST: u32 = 20;
/// Questions of each kind, and how many a second: for two seconds more than that takes.
const QUESTIONS: u16 = 6000;
const RATE: u32 = 500;
/// What the 80 reloads behind those, and the 8,000 questions asked meanwhile, may add: 4,000 of these are
/// new answers in the cache of at most 640 octets (tests/node/memory.rs), 2.5 MB, and as much again is for
/// the allocator. With tables kept of 28 reloads, of 1,000 records each, it was 7.6 MB.
const MORE: u64 = 6 << 20;

/// A configuration of this number: a record tells which, 2,000 more make its tables large enough to be
/// missed, and every other one listens at one address more.
fn config(instance: &Zerohop, upstream: &Recorder, second: SocketAddr, number: u32) -> String {
    let many: Vec<String> = (0..2000).map(|name| format!("\"n{name} A 10.0.0.2\"")).collect();
    let sections = format!(
        "[[zone]]\nname = \"own.example\"\nrecords = [\"* A 10.0.0.1\", \"which A 10.1.1.{number}\"]\n\
         [[zone]]\nname = \"many.example\"\nrecords = [{}]\n\
         {}",
        many.join(", "),
        upstream.root_zone()
    );
    let addresses = [second, instance.address];
    let addresses = if number.is_multiple_of(2) { &addresses[..] } else { &addresses[1..] };
    let text = instance.config_listening(addresses, &sections);
    if number.is_multiple_of(3) { text.replace("forward =", "forwards =") } else { text }
}

/// Writes the configuration of this number, tells of it in one of the ways, and waits until it is served or
/// refused.
fn take_up(instance: &Zerohop, text: &str, number: u32) {
    let is_good = !number.is_multiple_of(3);
    let count = || if is_good { instance.reloads().0 } else { instance.reloads().1 };
    let before = count();
    std::fs::write(instance.config(), text).unwrap();
    match number % 10 {
        // Noticed by itself, which takes longest.
        0 | 5 => {}
        1 | 4 | 7 => instance.process.signal(Signal::SIGHUP),
        _ => {
            let asked = instance.runs("reload");
            assert_eq!(asked.status.code(), Some(i32::from(!is_good)), "{number}: {asked:?}");
        }
    }
    until(&format!("reload {number}"), || (count() > before).then_some(()));
    // Neighbours of a bad one are good: what is served is the one before it.
    is_served(instance, if is_good { number } else { number - 1 });
}

fn is_served(instance: &Zerohop, number: u32) {
    until(&format!("{number} to be served"), || {
        (ask(instance.address, "which.own.example.", A).data(A) == [format!("10.1.1.{number}")]).then_some(())
    });
}

#[test]
fn a_hundred_reloads_in_ten_seconds_cost_no_client_anything() {
    let upstream = Recorder::answering([192, 0, 2, 1]);
    let instance = Zerohop::start(&format!("{OWN}{}", upstream.root_zone()));
    let (second, pid) = (free_address(), instance.process.pid());
    let (hits, misses) = (Load::new(QUESTIONS, RATE), Load::new(QUESTIONS, RATE));
    let is_over = AtomicBool::new(false);
    let (mut early, mut late, mut took) = (0, 0, Duration::ZERO);
    thread::scope(|scope| {
        let client = || stay_connected(instance.address, Duration::from_millis(10), &is_over);
        let over_tcp = [(); 4].map(|()| scope.spawn(client));
        let seen = run_while(instance.address, [(&hits, "own.example."), (&misses, "example.")], || {
            let began = now();
            for number in 1..=RELOADS {
                take_up(&instance, &config(&instance, &upstream, second, number), number);
                thread::park_timeout((began + PACE * number).saturating_duration_since(now()));
                if number == FIRST {
                    early = resident(pid);
                }
            }
            (took, late) = (began.elapsed(), resident(pid));
        });
        for seen in seen {
            println!("p50 {:?}, p99 {:?}, longest {:?}", seen.percentile(50), seen.percentile(99), seen.max());
            seen.lost_nothing(QUESTIONS);
        }
        is_over.store(true, Relaxed);
        for client in over_tcp {
            assert!(client.join().unwrap() > 100);
        }
    });
    let (good, bad) = instance.reloads();
    println!("{good} reloads were good, {bad} were not, all within {took:?}");
    assert!(took < LONGEST, "{took:?}");
    // Each was taken up by itself; where it was told of when it had just been noticed, twice.
    assert!(good >= u64::from(RELOADS - RELOADS / 3) && bad >= u64::from(RELOADS / 3), "{good} good ones, {bad} bad");
    // The hundredth listens at both.
    assert_eq!(RELOADS % 3, 1);
    is_served(&instance, RELOADS);
    assert_eq!(ask(second, "which.own.example.", A).data(A), [format!("10.1.1.{RELOADS}")]);
    let metrics = instance.metrics();
    assert_eq!(metrics.sum("zerohop_config_current", &[]), 1);
    assert_eq!(metrics.sum("zerohop_worker_restarts_total", &[]), 0);
    let log = instance.process.output();
    let last = log.lines().rfind(|line| line.contains("\"message\":\"configuration reloaded\"")).unwrap().to_owned();
    assert!(last.contains(&format!("\"generation\":{},", good + 1)), "{last}");
    assert_eq!(upstream.packets(), usize::from(QUESTIONS), "nobody asked twice");
    println!("{early} octets after {FIRST} reloads, {late} after all");
    assert!(late < early + MORE, "{early} octets after {FIRST} reloads, {late} after all");
    // A broken one stays what is not served.
    std::fs::write(instance.config(), config(&instance, &upstream, second, 99)).unwrap();
    until("the broken one to be seen", || (instance.metrics().sum("zerohop_config_current", &[]) == 0).then_some(()));
    is_served(&instance, RELOADS);
}
