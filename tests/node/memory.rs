//! What an answer in the cache takes, and that the cache weighs it at no less.

use std::fs;

use hickory_proto::rr::RecordType::A;

use super::client::{Ask, socket};
use super::harness::Zerohop;
use super::recorder::Recorder;
use super::wait::until;

/// Questions that are out at once: fewer than a batch.
const AT_ONCE: usize = 50;
const NAMES: usize = 20_000;
/// Octets of memory that an A record for a name of some twenty octets takes in the cache, key and all.
const STATED: u64 = 640;

/// Resident memory, in octets.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn an_answer_takes_what_it_is_weighed_at_and_that_is_stated() {
    let upstream = Recorder::answering([192, 0, 2, 1]);
    let zerohop = Zerohop::with_server("workers = 1", &upstream.root_zone());
    let socket = socket();
    socket.connect(zerohop.address).unwrap();
    let learn = |from: usize, to: usize| {
        for first in (from..to).step_by(AT_ONCE) {
            for number in first..first + AT_ONCE {
                socket.send(&Ask::new(&format!("name{number:06}.bench.example."), A).octets()).unwrap();
            }
            (0..AT_ONCE).for_each(|_| assert!(socket.recv(&mut [0; 512]).unwrap() > 40));
        }
        let entries = || zerohop.metrics().sum("zerohop_cache_entries", &[]);
        until("all of them to be in the cache", || (entries() == to as u64).then_some(()));
        (resident(zerohop.process.pid()), zerohop.metrics().sum("zerohop_cache_bytes", &[]))
    };
    // What is needed once is there then.
    let (resident_before, weight_before) = learn(0, 5_000);
    let (resident_after, weight_after) = learn(5_000, 5_000 + NAMES);
    let taken = (resident_after - resident_before) / NAMES as u64;
    let weighed = (weight_after - weight_before) / NAMES as u64;
    assert!(taken <= weighed, "{taken} octets an answer, weighed at {weighed}");
    assert!(weighed <= STATED, "weighed at {weighed}");
    // No more than an eighth of the room is wasted by weighing too much.
    assert!(taken * 8 >= weighed * 7, "{taken} octets an answer, weighed at {weighed}");
}
