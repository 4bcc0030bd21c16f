//! How many questions may wait for upstreams at once, by zone and by server.

use std::net::SocketAddr;
use std::rc::Rc;

use hickory_proto::op::ResponseCode;
use tokio::task::JoinHandle;

use crate::world::{Act, Answer, World, packet, pass, play, seconds};

const ZONES: &str = "[[zone]]\nname = 'slow.example'\nforward = ['10.0.0.1']\nin-flight = 3\n\
    [[zone]]\nname = '.'\nforward = ['10.0.0.2']\n";
const TWO_SERVERS: &str = "[[upstream]]\nname = 'two'\nservers = ['10.0.0.1', '10.0.0.2']\npolicy = 'sequential'\n\
    in-flight = 2\n[[zone]]\nname = '.'\nforward = ['two']\n";
const IN_FLIGHT: &str = "zerohop_zone_in_flight{zone=\"slow.example.\"}";
const OVERFLOWS: &str = "zerohop_zone_overflows_total{zone=\"slow.example.\"}";

fn is_first(server: SocketAddr) -> bool {
    server.ip().to_string() == "10.0.0.1"
}

fn data(question: &str) -> Act {
    Act::data(&question.replace(" A", " 5 A 192.0.2.1"))
}

fn server(family: &str, server: &str) -> String {
    format!("zerohop_upstream_{family}{{upstream=\"two\",server=\"{server}:53\"}}")
}

/// Asks without waiting, and lets the question get as far as it can.
async fn start(world: &Rc<World>, worker: usize, question: &str) -> JoinHandle<Option<Answer>> {
    let (world, packet) = (Rc::clone(world), packet(question));
    let asking = tokio::task::spawn_local(async move { world.ask_worker(worker, &packet).await });
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    asking
}

/// Questions of the zone that wait, as many as may.
async fn fill(world: &Rc<World>) -> Vec<JoinHandle<Option<Answer>>> {
    let mut waiting = Vec::new();
    for number in 0..3 {
        waiting.push(start(world, 0, &format!("n{number}.slow.example. A")).await);
    }
    waiting
}

#[test]
fn a_zone_that_is_full_turns_away_what_is_new_and_no_other_zone_notices() {
    play(|| async {
        let world = Rc::new(World::with_workers(ZONES, 2));
        world
            .script(|server, question| if is_first(server) { data(question).late(seconds(2)) } else { data(question) });
        let mut waiting = Vec::new();
        for (number, worker) in [(0, 0), (1, 1), (2, 0)] {
            waiting.push(start(&world, worker, &format!("n{number}.slow.example. A")).await);
        }
        assert_eq!((world.metric(IN_FLIGHT), world.metric(OVERFLOWS)), (3, 0));
        // Equal ones take no place, of whatever worker.
        waiting.push(start(&world, 1, "n0.slow.example. A").await);
        let refused = world.ask("n3.slow.example. A").await;
        assert_eq!(refused.rcode(), ResponseCode::Refused);
        assert_eq!(refused.extra_text(), "too many questions of this zone wait for upstreams");
        assert_eq!((world.metric(IN_FLIGHT), world.metric(OVERFLOWS)), (3, 1));
        assert_eq!(world.ask("www.example. A").await.data(), ["192.0.2.1"]);
        for asking in waiting {
            assert_eq!(asking.await.unwrap().unwrap().data(), ["192.0.2.1"]);
        }
        assert_eq!(world.metric(IN_FLIGHT), 0);
        assert_eq!(world.ask("n3.slow.example. A").await.data(), ["192.0.2.1"], "that it was full is not remembered");
    });
}

#[test]
fn a_zone_that_is_full_gives_what_is_stale() {
    play(|| async {
        let world = Rc::new(World::new(ZONES));
        world.script(|_, question| data(question));
        world.ask("old.slow.example. A").await;
        world.settle();
        pass(seconds(6)).await;
        world.script(|_, _| Act::Silence);
        let _waiting = fill(&world).await;
        let stale = world.ask("old.slow.example. A").await;
        assert_eq!((stale.data(), stale.extended_error()), (vec!["192.0.2.1".to_owned()], Some(3)));
        assert_eq!(world.metric(OVERFLOWS), 1);
    });
}

#[test]
fn a_zone_that_is_full_begins_no_refresh() {
    play(|| async {
        let world = Rc::new(World::new(ZONES));
        world.script(|_, _| Act::data("hot.slow.example. 100 A 192.0.2.1"));
        for _ in 0..5 {
            world.ask("hot.slow.example. A").await;
        }
        world.settle();
        pass(seconds(91)).await;
        world.script(|_, _| Act::Silence);
        let _waiting = fill(&world).await;
        assert_eq!(world.ask("hot.slow.example. A").await.data(), ["192.0.2.1"]);
        assert_eq!((world.shared.store.counts().prefetches.value(), world.metric(IN_FLIGHT)), (0, 3));
    });
}

#[test]
fn a_reload_changes_the_bound_and_keeps_the_count() {
    play(|| async {
        let world = Rc::new(World::new(ZONES));
        let mut waiting = fill(&world).await;
        world.reload(&ZONES.replace("in-flight = 3", "in-flight = 4"));
        waiting.push(start(&world, 0, "n3.slow.example. A").await);
        assert_eq!((world.metric(IN_FLIGHT), world.metric(OVERFLOWS)), (4, 0));
        assert_eq!(world.ask("n4.slow.example. A").await.rcode(), ResponseCode::Refused);
    });
}

#[test]
fn in_place_of_a_server_that_is_full_the_next_is_asked_and_only_then_the_question_fails() {
    play(|| async {
        let world = Rc::new(World::new(TWO_SERVERS));
        world.script(|_, question| data(question).late(seconds(2)));
        let mut waiting = Vec::new();
        for (number, asked) in [(0, "10.0.0.1:53"), (1, "10.0.0.1:53"), (2, "10.0.0.2:53"), (3, "10.0.0.2:53")] {
            let question = format!("n{number}.example. A");
            waiting.push(start(&world, 0, &question).await);
            assert_eq!(world.asked(), [(asked.parse().unwrap(), question)]);
        }
        let overflows = || ["10.0.0.1", "10.0.0.2"].map(|ip| world.metric(&server("overflows_total", ip)));
        let in_flight = || ["10.0.0.1", "10.0.0.2"].map(|ip| world.metric(&server("in_flight", ip)));
        assert_eq!((in_flight(), overflows()), ([2, 2], [2, 0]));
        let refused = world.ask("n4.example. A").await;
        assert_eq!(refused.rcode(), ResponseCode::Refused);
        assert_eq!(refused.extra_text(), "too many questions are out to the upstream servers");
        assert_eq!((in_flight(), overflows()), ([2, 2], [3, 1]));
        for asking in waiting {
            assert_eq!(asking.await.unwrap().unwrap().data(), ["192.0.2.1"]);
        }
        assert_eq!(in_flight(), [0, 0]);
        assert_eq!(world.ask("n4.example. A").await.data(), ["192.0.2.1"]);
    });
}
