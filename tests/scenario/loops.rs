//! Servers that lead back to us are set aside, for the zones where they do and for as long.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use tokio::time::Instant;

use crate::world::{Act, World, millis, pass, play, seconds};

const GROUPS: &str = "[[zone]]\nname = '.'\nforward = ['10.0.0.1', '10.0.0.2']\n";
const ONE: &str = "[[zone]]\nname = '.'\nforward = ['10.0.0.1']\n";
const RETURNED: &str = "zerohop_loop_checks_returned_total";

fn data(question: &str) -> Act {
    Act::data(&question.replace(" A", " 5 A 192.0.2.1"))
}

/// A world whose servers answer everything, and of which one name was asked.
async fn used(toml: &str) -> World {
    let world = World::new(toml);
    world.script(|_, question| data(question));
    world.ask("first.example. A").await;
    world.asked();
    world
}

fn address(server: &str) -> SocketAddr {
    format!("{server}:53").parse().unwrap()
}

fn is_looping(world: &World, server: &str) -> bool {
    world.metric(&format!("zerohop_upstream_loop{{upstream=\"{server}\",server=\"{server}:53\"}}")) == 1
}

/// Hands the questions that are out to the first server to our own line, as a loop does, and returns
/// their names.
async fn return_checks(world: &World) -> Vec<String> {
    let mut names = Vec::new();
    for (_, query) in world.loop_checks().into_iter().filter(|(server, _)| *server == address("10.0.0.1")) {
        assert!(world.ask_worker(0, &query).await.is_none(), "no answer of ours may hide that there is no other");
        names.push(Message::from_vec(&query).unwrap().queries[0].name().to_string());
    }
    names
}

#[test]
fn whoever_leads_back_to_us_is_set_aside_and_used_again_when_the_loop_is_open() {
    play(|| async {
        let world = used(GROUPS).await;
        pass(millis(100)).await;
        let names = return_checks(&world).await;
        pass(seconds(3)).await;
        assert!(names.len() == 1 && names[0].ends_with(".zerohop-loop."), "only of whom is used: {names:?}");
        assert_eq!((is_looping(&world, "10.0.0.1"), is_looping(&world, "10.0.0.2")), (true, false));
        for number in 0..3 {
            assert_eq!(world.ask(&format!("n{number}.example. A")).await.data(), ["192.0.2.1"]);
            assert_eq!(world.asked().into_iter().map(|(server, _)| server).collect::<Vec<_>>(), [address("10.0.0.2")]);
        }
        // For as long as the loop is there.
        for _ in 0..60 {
            pass(seconds(1)).await;
            assert!(return_checks(&world).await.len() <= 1);
            assert!(is_looping(&world, "10.0.0.1"));
        }
        world.ask("still.example. A").await;
        assert_eq!(world.asked()[0].0, address("10.0.0.2"));
        // It is opened: the next question does not come back.
        pass(seconds(9)).await;
        assert!(!is_looping(&world, "10.0.0.1"));
        world.ask("open.example. A").await;
        assert_eq!(world.asked()[0].0, address("10.0.0.1"));
    });
}

#[test]
fn a_question_that_gets_lost_opens_a_loop_for_seconds_only() {
    play(|| async {
        let world = used(GROUPS).await;
        pass(millis(500)).await;
        return_checks(&world).await;
        pass(seconds(4)).await;
        assert!(is_looping(&world, "10.0.0.1"));
        // One is lost, and no other.
        while world.loop_checks().is_empty() {
            pass(millis(500)).await;
        }
        let began = Instant::now();
        while is_looping(&world, "10.0.0.1") {
            pass(millis(100)).await;
        }
        while !is_looping(&world, "10.0.0.1") {
            world.ask(&format!("n{}.example. A", began.elapsed().as_millis())).await;
            return_checks(&world).await;
            pass(millis(100)).await;
        }
        assert!(began.elapsed() < seconds(8), "{:?}", began.elapsed());
    });
}

#[test]
fn such_a_question_is_no_clients_and_goes_no_further() {
    play(|| async {
        let world = used(ONE).await;
        pass(millis(1100)).await;
        let requests = "zerohop_requests_total{zone=\".\",protocol=\"tcp\",type=\"TXT\"}";
        assert_eq!(return_checks(&world).await.len(), 1);
        assert_eq!((world.metric(requests), world.metric(RETURNED), world.asked_count()), (0, 1, 0));
        let queries = "zerohop_upstream_queries_total{upstream=\"10.0.0.1\",server=\"10.0.0.1:53\",protocol=\"udp\"}";
        let checks = "zerohop_upstream_loop_checks_total{upstream=\"10.0.0.1\",server=\"10.0.0.1:53\"}";
        assert_eq!((world.metric(queries), world.metric(checks)), (0, 1));
    });
}

#[test]
fn with_nobody_else_to_ask_clients_hear_so_at_once_or_get_what_is_stale() {
    play(|| async {
        let world = used(ONE).await;
        world.settle();
        pass(millis(1100)).await;
        return_checks(&world).await;
        pass(seconds(4)).await;
        let began = Instant::now();
        let failed = world.ask("www.example. A").await;
        assert_eq!((failed.rcode(), failed.extended_error()), (ResponseCode::ServFail, Some(22)));
        let stale = world.ask("first.example. A").await;
        assert_eq!((stale.data(), stale.extended_error()), (vec!["192.0.2.1".to_owned()], Some(3)));
        assert_eq!((world.asked_count(), began.elapsed()), (0, Duration::ZERO));
        // The loop ends, and nothing of it is remembered.
        world.says_to_loop_checks(Some(ResponseCode::NXDomain));
        pass(seconds(6)).await;
        assert_eq!(world.ask("www.example. A").await.data(), ["192.0.2.1"]);
    });
}

#[test]
fn a_server_that_answers_all_the_same_has_another_way() {
    for (says, looping) in
        [(ResponseCode::NXDomain, false), (ResponseCode::NoError, false), (ResponseCode::ServFail, true)]
    {
        play(|| async {
            let world = used(ONE).await;
            world.says_to_loop_checks(Some(says));
            pass(seconds(100)).await;
            world.loop_checks();
            world.ask("www.example. A").await;
            pass(seconds(1)).await;
            assert_eq!(return_checks(&world).await.len(), 1);
            pass(seconds(1)).await;
            assert_eq!(is_looping(&world, "10.0.0.1"), looping, "{says}");
        });
    }
}

#[test]
fn a_server_may_lead_back_in_one_zone_and_answer_another() {
    play(|| async {
        let world = used(&format!("{ONE}[[zone]]\nname = 'cluster.local'\nforward = ['10.0.0.1']\n")).await;
        world.ask("a.cluster.local. A").await;
        // The two questions go out a second apart.
        let mut back = 0;
        for _ in 0..6 {
            pass(seconds(1)).await;
            for (_, query) in world.loop_checks() {
                let name = Message::from_vec(&query).unwrap().queries[0].name().to_string();
                if name.ends_with(".zerohop-loop.") {
                    back += 1;
                    world.ask_worker(0, &query).await;
                } else {
                    assert!(name.ends_with(".zerohop-loop.cluster.local."), "{name}");
                }
            }
        }
        assert!(back > 0 && is_looping(&world, "10.0.0.1"));
        assert_eq!(world.ask("b.cluster.local. A").await.data(), ["192.0.2.1"]);
        assert_eq!(world.ask("b.example. A").await.rcode(), ResponseCode::ServFail);
        // A zone that is not configured any more leaves nothing behind.
        world.reload("[[zone]]\nname = 'cluster.local'\nforward = ['10.0.0.1']\n#");
        pass(millis(1100)).await;
        assert!(!is_looping(&world, "10.0.0.1"));
    });
}

#[test]
fn who_is_not_used_is_asked_nothing_and_who_is_each_half_minute() {
    play(|| async {
        let world = World::new(ONE);
        world.script(|_, question| data(question));
        pass(seconds(600)).await;
        assert_eq!(world.loop_checks().len(), 0);
        for second in 0..300 {
            world.ask(&format!("n{second}.example. A")).await;
            pass(seconds(1)).await;
        }
        let checks = world.loop_checks().len();
        assert!((9..=11).contains(&checks), "{checks} in five minutes");
        pass(seconds(60)).await;
        world.loop_checks();
        pass(seconds(600)).await;
        assert_eq!(world.loop_checks().len(), 0);
    });
}

#[test]
fn however_many_zones_it_serves_a_server_gets_one_such_question_a_second_and_each_has_its_turn() {
    const ZONES: usize = 90;
    play(|| async {
        let zones: String =
            (0..ZONES).map(|zone| format!("[[zone]]\nname = 'z{zone}.test'\nforward = ['10.0.0.1']\n")).collect();
        let world = World::new(&zones);
        world.script(|_, question| data(question));
        let zone_of = |query: &[u8]| Message::from_vec(query).unwrap().queries[0].name().base_name().base_name();
        let mut names = BTreeSet::new();
        for second in 0..2 * ZONES {
            // Each zone is used every half minute.
            for number in 0..3 {
                world.ask(&format!("n{second}.z{}.test. A", (second * 3 + number) % ZONES)).await;
            }
            pass(millis(997)).await;
            let checks = world.loop_checks();
            // At the start there is a look at each end of the second.
            assert!(checks.len() <= if second == 0 { 2 } else { 1 }, "{} in second {second}", checks.len());
            names.extend(checks.iter().map(|(_, query)| zone_of(query)));
        }
        assert_eq!(names.len(), ZONES);
    });
}

#[test]
fn what_was_overheard_says_nothing_when_it_is_sent_again() {
    play(|| async {
        let world = used(ONE).await;
        pass(millis(1100)).await;
        let heard = world.loop_checks();
        // Not while it is out, but later, together with another that is out.
        pass(seconds(29)).await;
        for _ in 0..8 {
            world.ask("www.example. A").await;
            world.ask_worker(0, &heard[0].1).await;
            pass(seconds(1)).await;
        }
        assert_eq!(world.loop_checks().len(), 1);
        assert!(!is_looping(&world, "10.0.0.1"));
        assert_eq!(
            (world.metric(RETURNED), world.asked().iter().any(|(_, question)| question.contains("TXT"))),
            (8, false)
        );
    });
}
