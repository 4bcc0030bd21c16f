//! Several groups of servers for one zone.

use std::net::SocketAddr;

use hickory_proto::op::ResponseCode;
use tokio::time::Instant;

use crate::world::{Act, World, millis, pass, play, seconds};

const SOA: &str = "example. 300 SOA ns.example. host.example. 1 2 3 4 60";

fn zones(next_on: &str) -> String {
    format!("[[zone]]\nname = '.'\nforward = ['10.0.0.1', '10.0.0.2']\n{next_on}")
}

const ALL: &str = "next-on = ['NXDOMAIN', 'NODATA', 'SERVFAIL', 'REFUSED', 'TIMEOUT']\n";

fn is_first(server: SocketAddr) -> bool {
    server.ip().to_string() == "10.0.0.1"
}

#[test]
fn what_the_first_group_does_not_know_the_second_is_asked() {
    play(|| async {
        let world = World::new(&zones(ALL));
        world.script(|server, question| match (is_first(server), question) {
            (true, "private.example. A") => Act::data("private.example. 30 A 10.9.9.9"),
            (true, _) => Act::nxdomain(SOA),
            (false, _) => Act::data("public.example. 30 A 192.0.2.1"),
        });
        assert_eq!(world.ask("private.example. A").await.data(), ["10.9.9.9"]);
        assert_eq!(world.asked_count(), 1);
        assert_eq!(world.ask("public.example. A").await.data(), ["192.0.2.1"]);
        assert_eq!(world.asked_count(), 2);
    });
}

#[test]
fn without_next_on_a_denial_is_final_and_a_failure_is_not() {
    play(|| async {
        let world = World::new(&zones(""));
        world.script(
            |server, _| if is_first(server) { Act::nxdomain(SOA) } else { Act::data("a.example. 30 A 192.0.2.1") },
        );
        assert_eq!(world.ask("a.example. A").await.rcode(), ResponseCode::NXDomain);
        world.script(|server, _| match is_first(server) {
            true => Act::rcode(ResponseCode::ServFail),
            false => Act::data("b.example. 30 A 192.0.2.1"),
        });
        assert_eq!(world.ask("b.example. A").await.data(), ["192.0.2.1"]);
    });
}

#[test]
fn nodata_of_one_outweighs_nxdomain_of_the_other() {
    play(|| async {
        let world = World::new(&zones(ALL));
        world.script(|server, _| if is_first(server) { Act::data(&format!("--\n{SOA}")) } else { Act::nxdomain(SOA) });
        assert_eq!(world.ask("a.example. A").await.rcode(), ResponseCode::NoError);
    });
}

#[test]
fn a_denial_is_no_truth_while_another_group_is_silent() {
    play(|| async {
        let world = World::new(&zones(ALL));
        world.script(|server, _| if is_first(server) { Act::nxdomain(SOA) } else { Act::Silence });
        let began = Instant::now();
        let answer = world.ask("a.example. A").await;
        assert_eq!((answer.rcode(), answer.extended_error()), (ResponseCode::ServFail, Some(22)));
        assert!(began.elapsed() <= millis(4501));
        world.script(|server, _| match is_first(server) {
            true => Act::nxdomain(SOA),
            false => Act::data("a.example. 30 A 192.0.2.1"),
        });
        pass(millis(1001)).await;
        assert_eq!(world.ask("a.example. A").await.data(), ["192.0.2.1"], "the doubtful denial was not kept");
    });
}

#[test]
fn a_silent_group_leaves_half_the_time_to_the_next() {
    play(|| async {
        let world = World::new(&zones(""));
        world.script(|server, _| if is_first(server) { Act::Silence } else { Act::data("a.example. 30 A 192.0.2.1") });
        let began = Instant::now();
        assert_eq!(world.ask("a.example. A").await.data(), ["192.0.2.1"]);
        assert!(began.elapsed() <= millis(2255), "{:?}", began.elapsed());
    });
}

#[test]
fn an_answer_lives_from_its_arrival_however_long_the_next_group_took() {
    play(|| async {
        let world = World::new(&zones(ALL));
        let nodata = "--\nexample. 300 SOA ns.example. host.example. 1 2 3 4 5";
        world.script(move |server, _| match is_first(server) {
            true => Act::data(nodata),
            false => Act::nxdomain(SOA).late(seconds(2)),
        });
        world.ask("www.example. A").await;
        world.asked();
        pass(millis(2_990)).await;
        assert_eq!(world.ask("www.example. A").await.negative_ttl(), Some(1));
        assert_eq!(world.asked_count(), 0);
        pass(millis(20)).await;
        world.ask("www.example. A").await;
        assert!(world.asked_count() > 0);
    });
}
