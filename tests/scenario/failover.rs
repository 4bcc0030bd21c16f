//! What clients see of servers that are silent, gone, or of no help.

use std::cell::Cell;
use std::net::SocketAddr;

use hickory_proto::op::ResponseCode;
use tokio::time::Instant;

use crate::world::{Act, World, millis, packet, play, seconds};

const TWO: &str =
    "[[upstream]]\nname = 'two'\nservers = ['10.0.0.1', '10.0.0.2']\n[[zone]]\nname = '.'\nforward = ['two']\n";
const DATA: &str = "www.example. 30 A 192.0.2.1";

fn is_first(server: SocketAddr) -> bool {
    server.ip().to_string() == "10.0.0.1"
}

#[test]
fn a_silent_server_costs_its_patience_and_no_more() {
    play(|| async {
        let world = World::new(TWO);
        world.script(|server, _| if is_first(server) { Act::Silence } else { Act::data(DATA) });
        let began = Instant::now();
        assert_eq!(world.ask("www.example. A").await.data(), ["192.0.2.1"]);
        assert!(began.elapsed() <= millis(402), "{:?}", began.elapsed());
        let series = "zerohop_upstream_attempts_total{upstream=\"two\",server=\"10.0.0.1:53\",outcome=\"timeout\"}";
        assert_eq!(world.metric(series), 1);
    });
}

#[test]
fn an_answer_that_is_late_is_still_taken() {
    play(|| async {
        let world = World::new(TWO);
        world.script(|server, _| if is_first(server) { Act::data(DATA).late(millis(900)) } else { Act::Silence });
        let began = Instant::now();
        assert_eq!(world.ask("www.example. A").await.data(), ["192.0.2.1"]);
        assert_eq!(began.elapsed().as_millis(), 900);
    });
}

#[test]
fn a_server_that_is_gone_or_of_no_help_costs_no_time() {
    let failures = [
        Act::Unreachable,
        Act::Garbage,
        Act::rcode(ResponseCode::ServFail),
        Act::rcode(ResponseCode::Refused),
        Act::rcode(ResponseCode::NotImp),
        Act::rcode(ResponseCode::FormErr),
        Act::data("--\nexample. 300 NS ns.example."),
    ];
    for (number, failure) in failures.into_iter().enumerate() {
        play(|| async move {
            let world = World::new(TWO);
            world.script(move |server, _| if is_first(server) { failure.clone() } else { Act::data(DATA) });
            let began = Instant::now();
            assert_eq!(world.ask("www.example. A").await.data(), ["192.0.2.1"], "{number}");
            assert!(began.elapsed() <= millis(3), "{number}: {:?}", began.elapsed());
            assert_eq!(world.asked_anew(), 2, "{number}");
        });
    }
}

#[test]
fn with_all_servers_silent_the_client_hears_within_the_budget() {
    play(|| async {
        let world = World::new(TWO);
        let began = Instant::now();
        let answer = world.ask("www.example. A").await;
        assert_eq!((answer.rcode(), answer.extended_error()), (ResponseCode::ServFail, Some(22)));
        assert!(began.elapsed() <= millis(4501), "{:?}", began.elapsed());
        let asked = world.asked();
        let first = asked.iter().filter(|(server, _)| is_first(*server)).count();
        assert!(first <= 3 && asked.len() - first <= 3, "RFC 9520, section 3.1: {asked:?}");
        assert_eq!((asked.len(), world.streamed()), (6, 2), "the last together with a stream");
    });
}

#[test]
fn with_all_servers_gone_the_client_hears_at_once() {
    play(|| async {
        let world = World::new(TWO);
        world.script(|_, _| Act::Unreachable);
        let began = Instant::now();
        let answer = world.ask("www.example. A").await;
        assert_eq!((answer.rcode(), answer.extended_error()), (ResponseCode::ServFail, Some(23)));
        assert!(began.elapsed() <= millis(2));
    });
}

#[test]
fn a_code_that_is_no_answer_is_passed_on_when_nobody_knows_better() {
    play(|| async {
        let world = World::new(TWO);
        world.script(|_, _| Act::rcode(ResponseCode::Refused));
        assert_eq!(world.ask("www.example. A").await.rcode(), ResponseCode::Refused);
        assert_eq!(world.asked_count(), 2);
    });
}

#[test]
fn a_group_without_servers_fails_at_once() {
    play(|| async {
        let world = World::new("[[zone]]\nname = '.'\nforward = ['resolv-conf:/nonexistent']\n");
        let began = Instant::now();
        let answer = world.ask("www.example. A").await;
        assert_eq!((answer.rcode(), answer.extended_error()), (ResponseCode::ServFail, Some(22)));
        assert!(began.elapsed() < seconds(1));
    });
}

#[test]
fn once_every_server_has_failed_nothing_is_waited_for() {
    play(|| async {
        let world = World::new("[[zone]]\nname = '.'\nforward = ['10.0.0.1']\n");
        let sends = Cell::new(0);
        world.script(move |_, _| {
            sends.set(sends.get() + 1);
            if sends.get() == 1 { Act::rcode(ResponseCode::ServFail).late(millis(450)) } else { Act::Silence }
        });
        let began = Instant::now();
        assert_eq!(world.ask("www.example. A").await.rcode(), ResponseCode::ServFail);
        assert_eq!((began.elapsed().as_millis(), world.asked_count()), (450, 2));
    });
}

#[test]
fn an_error_that_leaves_the_question_out_is_the_error_it_is() {
    play(|| async {
        let world = World::new(TWO);
        let refused = [0, 0, 0x81, 0x85, 0, 0, 0, 0, 0, 0, 0, 0];
        let with_opt = [&refused[..11], &[1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]].concat();
        for octets in [refused.to_vec(), with_opt] {
            world.script(move |server, _| if is_first(server) { Act::Octets(octets.clone()) } else { Act::data(DATA) });
            world.reload(TWO);
            assert_eq!(world.ask("www.example. A").await.data(), ["192.0.2.1"]);
            world.script(move |_, _| Act::Octets(refused.to_vec()));
            assert_eq!(world.ask("refused.example. A").await.rcode(), ResponseCode::Refused);
        }
    });
}

#[test]
fn so_many_questions_may_wait_and_the_next_is_refused() {
    play(|| async {
        let world = World::new(TWO);
        let waiting: Vec<_> = (0..4096).map(|number| world.defer(&packet(&format!("n{number}.example. A")))).collect();
        let answer = world.ask("one-more.example. A").await;
        assert_eq!(answer.rcode(), ResponseCode::Refused);
        assert_eq!(answer.extra_text(), "too many questions wait for upstreams");
        assert_eq!(world.metric("zerohop_overflows_total"), 1);
        drop(waiting);
        world.script(|_, _| Act::data("one-more.example. 30 A 192.0.2.1"));
        assert_eq!(world.ask("one-more.example. A").await.data(), ["192.0.2.1"]);
    });
}
