//! How full things are can be seen while it lasts, and what was given up is counted and said.

use std::io::Write;

use hickory_proto::rr::RecordType::A;

use super::client::{Ask, connect, socket};
use super::harness::Zerohop;
use super::recorder::Recorder;
use super::wait::until;

fn start(server: &str, upstream: &Recorder) -> Zerohop {
    Zerohop::with_server(&format!("workers = 2\n{server}"), &upstream.root_zone())
}

fn question(number: usize) -> Ask {
    Ask::new(&format!("n{number}.example."), A)
}

#[test]
fn what_waits_is_seen_and_what_a_stop_gives_up_is_said() {
    let upstream = Recorder::black_hole();
    let mut zerohop = start("drain = 0", &upstream);
    let sockets: Vec<_> = (0..12).map(|_| socket()).collect();
    for (number, socket) in sockets.iter().enumerate() {
        socket.send_to(&question(number).octets(), zerohop.address).unwrap();
    }
    let gauges = ["zerohop_questions_waiting", "zerohop_zone_in_flight", "zerohop_upstream_in_flight"];
    until("all of them to be seen", || {
        let metrics = zerohop.metrics();
        gauges.iter().all(|gauge| metrics.sum(gauge, &[]) == 12).then_some(())
    });
    zerohop.process.stops();
    let output = zerohop.process.output();
    let given_up = output.split("\"unanswered\":").skip(1).map(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        digits.parse::<u32>().unwrap()
    });
    assert_eq!(given_up.sum::<u32>(), 12, "{output}");
}

#[test]
fn a_client_over_tcp_with_too_many_questions_is_not_read_from_for_a_while_and_that_is_counted() {
    let upstream = Recorder::black_hole();
    let zerohop = start("", &upstream);
    let mut stream = connect(zerohop.address);
    let full = || zerohop.metrics().sum("zerohop_tcp_pipelines_full_total", &[]);
    stream.write_all(&(0..127).flat_map(|number| question(number).framed()).collect::<Vec<u8>>()).unwrap();
    until("127 to wait", || (zerohop.metrics().sum("zerohop_questions_waiting", &[]) == 127).then_some(()));
    assert_eq!(full(), 0);
    stream.write_all(&(127..200).flat_map(|number| question(number).framed()).collect::<Vec<u8>>()).unwrap();
    until("the connection to be full", || (full() > 0).then_some(()));
}
