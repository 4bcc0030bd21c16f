//! After a reload the very next answer is the new one; with a fault in the file, nothing changes.

use std::net::SocketAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::A;

use super::client::ask;
use super::harness::Zerohop;
use super::recorder::Recorder;

/// Asked often enough, from other ports each time, that every worker has been asked.
const ROUNDS: usize = 16;

/// A record, a pattern and a forward, each with a value to be changed.
fn sections(record: &str, pattern: &str, upstream: SocketAddr) -> String {
    format!(
        r#"
        [[zone]]
        name = "own.example"
        records = ["api A {record}"]
        [[zone.match]]
        pattern = '^node-\d+\.own\.example$'
        answer = ["A {pattern}"]
        [[zone]]
        name = "."
        forward = ["{upstream}"]
        "#
    )
}

fn all_say(zerohop: &Zerohop, name: &str, address: &str) {
    for round in 0..ROUNDS {
        assert_eq!(ask(zerohop.address, name, A).data(A), [address], "{name}, round {round}");
    }
}

#[test]
fn an_edited_record_pattern_or_forward_is_true_on_the_next_query() {
    let (old, new) = (Recorder::answering([192, 0, 2, 1]), Recorder::answering([192, 0, 2, 2]));
    let zerohop = Zerohop::with_server("workers = 4", &sections("10.0.0.1", "10.0.1.1", old.address));
    let expect = |record, pattern, forward| {
        all_say(&zerohop, "api.own.example.", record);
        all_say(&zerohop, "node-7.own.example.", pattern);
        all_say(&zerohop, "www.example.", forward);
    };
    expect("10.0.0.1", "10.0.1.1", "192.0.2.1");
    zerohop.reload(&sections("10.0.0.2", "10.0.1.1", old.address));
    expect("10.0.0.2", "10.0.1.1", "192.0.2.1");
    zerohop.reload(&sections("10.0.0.2", "10.0.1.2", old.address));
    expect("10.0.0.2", "10.0.1.2", "192.0.2.1");
    assert_eq!(old.packets(), 1, "what did not change stays in the cache");
    zerohop.reload(&sections("10.0.0.2", "10.0.1.2", new.address));
    expect("10.0.0.2", "10.0.1.2", "192.0.2.2");
    assert_eq!((old.packets(), new.packets()), (1, 1));
    let metrics = zerohop.metrics();
    assert_eq!(metrics.sum("zerohop_reloads_total", &[("result", "success")]), 3);
    assert_eq!(metrics.sum("zerohop_config_current", &[]), 1);
}

#[test]
fn zones_and_names_come_and_go() {
    let upstream = Recorder::answering([192, 0, 2, 1]);
    let before = sections("10.0.0.1", "10.0.1.1", upstream.address);
    let zerohop = Zerohop::start(&before);
    assert_eq!(ask(zerohop.address, "api.new.example.", A).data(A), ["192.0.2.1"]);
    zerohop.reload(&format!("{before}\n[[zone]]\nname = \"new.example\"\nrecords = [\"api A 10.0.2.1\"]"));
    all_say(&zerohop, "api.new.example.", "10.0.2.1");
    assert_eq!(ask(zerohop.address, "other.new.example.", A).rcode(), ResponseCode::NXDomain);
    zerohop.reload(&before);
    all_say(&zerohop, "api.new.example.", "192.0.2.1");
}

#[test]
fn a_file_with_faults_changes_nothing_and_every_fault_is_said() {
    let upstream = Recorder::answering([192, 0, 2, 1]);
    let good = sections("10.0.0.1", "10.0.1.1", upstream.address);
    let zerohop = Zerohop::start(&good);
    all_say(&zerohop, "www.example.", "192.0.2.1");
    let broken = sections("10.0.0.999", "10.0.1.2", upstream.address).replace("forward", "forwards");
    zerohop.reload(&broken);
    for fault in ["10.0.0.999", "forwards"] {
        let line = zerohop.log_line(&["ERROR", fault]);
        assert!(line.contains("zerohop.toml:"), "says where: {line}");
    }
    zerohop.log_line(&["ERROR", "not reloaded"]);
    let metrics = zerohop.metrics();
    assert_eq!(metrics.sum("zerohop_reloads_total", &[("result", "failure")]), 1);
    assert_eq!(metrics.sum("zerohop_reloads_total", &[("result", "success")]), 0);
    assert_eq!(metrics.sum("zerohop_config_current", &[]), 0);
    all_say(&zerohop, "api.own.example.", "10.0.0.1");
    all_say(&zerohop, "node-7.own.example.", "10.0.1.1");
    all_say(&zerohop, "www.example.", "192.0.2.1");
    assert_eq!(upstream.packets(), 1);
    zerohop.reload(&good);
    assert_eq!(zerohop.metrics().sum("zerohop_config_current", &[]), 1);
}
