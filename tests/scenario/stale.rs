//! Answers that have run out, while upstreams are dead (RFC 8767).

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join;
use hickory_proto::op::ResponseCode;
use tokio::time::Instant;

use crate::world::{Act, Answer, World, millis, packet, pass, play, seconds};

const FORWARD: &str = "[[zone]]\nname = '.'\nforward = ['10.0.0.1']\n";
const SOA: &str = "example. 5 SOA ns.example. host.example. 1 2 3 4 60";
const OLD: &str = "www.example. 5 A 192.0.2.1";
const NEW: &str = "www.example. 5 A 192.0.2.2";
/// What is there to be asked for when nothing else is said.
const NAME: &str = "www.example. A";

/// A world whose upstreams said this of [`NAME`] until its TTL of five seconds ran out.
async fn expired(toml: &str, said: Act) -> World {
    let world = World::new(toml);
    world.script(move |_, _| said.clone());
    world.ask(NAME).await;
    world.settle();
    pass(seconds(6)).await;
    world.asked();
    world
}

async fn timed(world: &World, question: &str) -> (Answer, Duration) {
    let began = Instant::now();
    (world.ask(question).await, began.elapsed())
}

fn assert_stale(answer: &Answer) {
    assert_eq!(answer.lines(), ["www.example. 30 IN A 192.0.2.1"]);
    assert_eq!((answer.rcode(), answer.extended_error()), (ResponseCode::NoError, Some(3)));
}

fn assert_failed(answer: &Answer) {
    assert_eq!((answer.rcode(), answer.lines().len()), (ResponseCode::ServFail, 0));
}

#[test]
fn silent_upstreams_are_waited_for_once_and_only_for_a_while() {
    play(|| async {
        let world = expired(FORWARD, Act::data(OLD)).await;
        world.script(|_, _| Act::Silence);
        let (answer, elapsed) = timed(&world, NAME).await;
        assert_stale(&answer);
        assert!(elapsed >= millis(1800) && elapsed <= millis(1802), "{elapsed:?}");
        assert_eq!(world.metric("zerohop_responses_total{zone=\".\",rcode=\"NOERROR\",source=\"stale\"}"), 1);
        // Asking has gone on behind the client's back, and has failed by now.
        pass(millis(2_750)).await;
        world.asked();
        let (answer, elapsed) = timed(&world, NAME).await;
        assert_stale(&answer);
        assert_eq!((elapsed, world.asked_count()), (Duration::ZERO, 0));
        // The failure does not count any more: it is asked again, and nobody waits for that.
        pass(millis(1_100)).await;
        for _ in 0..3 {
            let (answer, elapsed) = timed(&world, NAME).await;
            assert_stale(&answer);
            assert!(elapsed <= millis(2), "{elapsed:?}");
        }
        tokio::task::yield_now().await;
        assert_eq!(world.asked_count(), 1);
    });
}

#[test]
fn upstreams_that_fail_at_once_are_not_waited_for() {
    let failures = [
        Act::Unreachable,
        Act::Garbage,
        Act::rcode(ResponseCode::ServFail),
        Act::rcode(ResponseCode::Refused),
        Act::data("--\nexample. 300 NS ns.example."),
    ];
    for failure in failures {
        play(|| async {
            let world = expired(FORWARD, Act::data(OLD)).await;
            world.script(move |_, _| failure.clone());
            for asked in [1, 0] {
                let (answer, elapsed) = timed(&world, NAME).await;
                assert_stale(&answer);
                assert!(elapsed <= millis(2), "{elapsed:?}");
                assert_eq!(world.asked_count(), asked);
            }
        });
    }
}

#[test]
fn what_was_never_known_still_fails() {
    play(|| async {
        let world = expired(FORWARD, Act::data(OLD)).await;
        world.script(|_, _| Act::Silence);
        let (answer, elapsed) = timed(&world, "other.example. A").await;
        assert_failed(&answer);
        assert_eq!((answer.extended_error(), elapsed >= millis(4500)), (Some(22), true));
    });
}

#[test]
fn who_comes_later_waits_for_the_same_asking_by_a_time_of_its_own() {
    play(|| async {
        let world = expired(FORWARD, Act::data(OLD)).await;
        world.script(|_, _| Act::Silence);
        let later = async {
            tokio::time::sleep(seconds(1)).await;
            world.asked();
            let timed = timed(&world, NAME).await;
            (timed, world.asked())
        };
        let ((first, first_took), ((second, second_took), asked)) = join(timed(&world, NAME), later).await;
        assert_stale(&first);
        assert_stale(&second);
        assert!(first_took <= millis(1802) && second_took >= millis(1800) && second_took <= millis(1802));
        assert!(asked.len() <= 1, "one question, sent again: {asked:?}");
    });
}

#[test]
fn an_answer_that_comes_late_replaces_the_stale_one() {
    play(|| async {
        let world = expired(FORWARD, Act::data(OLD)).await;
        // The server is asked three times in all, the first time answers last.
        world.script(|_, _| Act::data(NEW).late(millis(2500)));
        let (answer, elapsed) = timed(&world, NAME).await;
        assert_stale(&answer);
        assert!(elapsed <= millis(1802), "{elapsed:?}");
        pass(millis(1000)).await;
        world.asked();
        let (answer, elapsed) = timed(&world, NAME).await;
        assert_eq!((answer.data(), answer.extended_error(), elapsed), (vec!["192.0.2.2".into()], None, Duration::ZERO));
        assert_eq!(world.asked_count(), 0);
    });
}

#[test]
fn an_answer_that_comes_in_time_is_the_answer() {
    play(|| async {
        let world = expired(FORWARD, Act::data(OLD)).await;
        world.script(|_, _| Act::data(NEW).late(millis(1500)));
        let (answer, elapsed) = timed(&world, NAME).await;
        assert_eq!((answer.data(), answer.extended_error()), (vec!["192.0.2.2".into()], None));
        assert!(elapsed <= millis(1502), "{elapsed:?}");
    });
}

#[test]
fn upstreams_that_are_back_are_believed_at_once() {
    play(|| async {
        let world = expired(FORWARD, Act::data(OLD)).await;
        world.script(|_, _| Act::Unreachable);
        for _ in 0..5 {
            assert_stale(&world.ask(NAME).await);
            pass(seconds(7)).await;
        }
        world.script(|_, _| Act::data(NEW));
        pass(seconds(20)).await;
        assert_eq!(world.ask(NAME).await.data(), ["192.0.2.2"]);
        assert_eq!(world.ask(NAME).await.extended_error(), None);
    });
}

#[test]
fn a_denial_is_given_stale_as_well() {
    for (said, rcode, error) in
        [(Act::nxdomain(SOA), ResponseCode::NXDomain, 19), (Act::data(&format!("--\n{SOA}")), ResponseCode::NoError, 3)]
    {
        play(|| async {
            let world = expired(FORWARD, said).await;
            world.script(|_, _| Act::Unreachable);
            let answer = world.ask(NAME).await;
            assert_eq!((answer.rcode(), answer.extended_error()), (rcode, Some(error)));
            assert_eq!(answer.negative_ttl(), Some(30));
        });
    }
}

#[test]
fn the_zone_says_how_long_how_soon_and_with_what_ttl() {
    play(|| async {
        let rules = "serve-stale = { max-age = '1m', after = '400ms', ttl = 7 }\n";
        let world = expired(&format!("{FORWARD}{rules}"), Act::data(OLD)).await;
        world.script(|_, _| Act::Silence);
        let (answer, elapsed) = timed(&world, NAME).await;
        assert_eq!(answer.lines(), ["www.example. 7 IN A 192.0.2.1"]);
        assert!(elapsed >= millis(400) && elapsed <= millis(402), "{elapsed:?}");
        // It ran out a second before.
        pass(seconds(58)).await;
        assert_eq!(world.ask(NAME).await.lines().len(), 1);
        pass(seconds(5)).await;
        assert_failed(&world.ask(NAME).await);
    });
}

#[test]
fn a_max_age_of_zero_is_off_and_a_reload_can_say_so() {
    play(|| async {
        let off = format!("{FORWARD}serve-stale = {{ max-age = 0 }}\n");
        let world = expired(&off, Act::data(OLD)).await;
        world.script(|_, _| Act::Unreachable);
        assert_failed(&world.ask(NAME).await);
        let world = expired(FORWARD, Act::data(OLD)).await;
        world.script(|_, _| Act::Unreachable);
        assert_stale(&world.ask(NAME).await);
        world.reload(&off);
        assert_failed(&world.ask(NAME).await);
    });
}

#[test]
fn a_reload_that_asks_others_makes_it_a_miss() {
    play(|| async {
        let world = expired(FORWARD, Act::data(OLD)).await;
        world.script(|_, _| Act::Unreachable);
        world.reload("[[zone]]\nname = '.'\nforward = ['10.0.0.2']\n");
        assert_failed(&world.ask(NAME).await);
        world.reload(FORWARD);
        assert_stale(&world.ask(NAME).await);
    });
}

#[test]
fn data_for_one_use_is_never_given_again_nor_what_it_replaced() {
    play(|| async {
        let one_use = || Act::data("www.example. 0 A 192.0.2.3");
        let world = expired(FORWARD, one_use()).await;
        world.script(|_, _| Act::Unreachable);
        assert_failed(&world.ask(NAME).await);
        let world = expired(FORWARD, Act::data(OLD)).await;
        world.script(move |_, _| one_use());
        assert_eq!(world.ask(NAME).await.data(), ["192.0.2.3"]);
        world.settle();
        world.script(|_, _| Act::Unreachable);
        assert_failed(&world.ask(NAME).await);
    });
}

#[test]
fn a_doubtful_denial_gives_way_to_the_stale_answer() {
    play(|| async {
        let is_first = |server: SocketAddr| server.ip().to_string() == "10.0.0.1";
        let zone = "[[zone]]\nname = '.'\nforward = ['10.0.0.1', '10.0.0.2']\nnext-on = ['NXDOMAIN', 'TIMEOUT']\n";
        let world = expired(zone, Act::data(OLD)).await;
        world.script(move |server, _| if is_first(server) { Act::nxdomain(SOA) } else { Act::Unreachable });
        assert_stale(&world.ask(NAME).await);
        world.script(|_, _| Act::nxdomain(SOA));
        pass(seconds(2)).await;
        world.ask(NAME).await;
        tokio::time::sleep(millis(10)).await;
        assert_eq!(world.ask(NAME).await.rcode(), ResponseCode::NXDomain, "now all have said so");
    });
}

#[test]
fn an_alias_of_ours_leads_to_the_stale_answer() {
    play(|| async {
        let alias = "[[zone]]\nname = 'own.test'\nrecords = ['web CNAME www.example.']\n";
        let world = expired(&format!("{FORWARD}{alias}"), Act::data(OLD)).await;
        world.script(|_, _| Act::Unreachable);
        let answer = world.ask("web.own.test. A").await;
        assert_eq!(answer.lines(), ["web.own.test. 30 IN CNAME www.example.", "www.example. 30 IN A 192.0.2.1"]);
        assert_eq!(answer.extended_error(), Some(3));
        let series = "zerohop_responses_total{zone=\"own.test.\",rcode=\"NOERROR\",source=\"stale\"}";
        assert_eq!(world.metric(series), 1);
    });
}

#[test]
fn a_client_that_wants_nobody_asked_gets_no_stale_answer() {
    play(|| async {
        let world = expired(FORWARD, Act::data(OLD)).await;
        let mut asked = packet(NAME);
        asked[2] &= !1;
        assert_eq!(world.ask_worker(0, &asked).await.unwrap().rcode(), ResponseCode::Refused);
        assert_eq!(world.asked_count(), 0);
    });
}

#[test]
fn whoever_finds_no_room_to_wait_gets_the_stale_answer() {
    play(|| async {
        let world = expired(FORWARD, Act::data(OLD)).await;
        let _waiting: Vec<_> = (0..4096).map(|n| world.defer(&packet(&format!("n{n}.example. A")))).collect();
        assert_stale(&world.ask(NAME).await);
        assert_eq!(world.metric("zerohop_overflows_total"), 0);
        assert_eq!(world.ask("other.example. A").await.rcode(), ResponseCode::Refused);
        assert_eq!(world.metric("zerohop_overflows_total"), 1);
    });
}

#[test]
fn so_many_questions_are_asked_behind_the_clients_backs_and_no_more() {
    play(|| async {
        let world = World::new(&format!("{FORWARD}serve-stale = {{ after = 0 }}\n"));
        world.script(|_, question| Act::data(&question.replace(" A", " 5 A 192.0.2.1")));
        for number in 0..1100 {
            world.ask(&format!("n{number}.example. A")).await;
        }
        world.settle();
        pass(seconds(6)).await;
        world.asked();
        world.script(|_, _| Act::Silence);
        for number in 0..1100 {
            let answer = world.ask(&format!("n{number}.example. A")).await;
            assert_eq!((answer.data().len(), answer.extended_error()), (1, Some(3)), "{number}");
        }
        tokio::time::sleep(millis(5)).await;
        let names: std::collections::BTreeSet<String> = world.asked().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names.len(), 1024);
    });
}

#[test]
fn with_every_server_set_aside_nobody_waits_at_all() {
    play(|| async {
        let world = World::new(FORWARD);
        world.script(|_, question| Act::data(&question.replace(" A", " 5 A 192.0.2.1")));
        let names: Vec<String> = (0..6).map(|number| format!("n{number}.example. A")).collect();
        for name in &names {
            world.ask(name).await;
        }
        world.settle();
        pass(seconds(6)).await;
        world.script(|_, _| Act::Silence);
        futures_util::future::join_all(names[..5].iter().map(|name| world.ask(name))).await;
        let (answer, elapsed) = timed(&world, &names[5]).await;
        assert_eq!((answer.data().len(), answer.extended_error()), (1, Some(3)));
        assert!(elapsed <= millis(2), "{elapsed:?}");
    });
}

#[test]
fn so_many_are_asked_behind_clients_backs_and_the_next_gets_the_stale_answer_at_once() {
    play(|| async {
        let world = Rc::new(World::new(FORWARD));
        world.script(|_, question| Act::data(&format!("{} 5 A 192.0.2.1", question.trim_end_matches(" A"))));
        let names: Vec<String> = (0..=1024).map(|number| format!("n{number}.example. A")).collect();
        for name in &names {
            world.ask(name).await;
        }
        world.settle();
        pass(seconds(6)).await;
        world.asked();
        world.script(|_, _| Act::Silence);
        let mut waiting = tokio::task::JoinSet::new();
        for name in names.clone().into_iter().take(1024) {
            let world = Rc::clone(&world);
            waiting.spawn_local(async move { world.ask(&name).await.data() });
        }
        pass(millis(1)).await;
        assert_eq!(world.asked_count(), 1024);
        let (answer, took) = timed(&world, &names[1024]).await;
        assert_eq!((answer.data(), answer.extended_error(), took), (vec!["192.0.2.1".to_owned()], Some(3), seconds(0)));
        assert_eq!((world.asked_count(), world.shared.store.counts().background_overflows.value()), (0, 1));
        while let Some(data) = waiting.join_next().await {
            assert_eq!(data.unwrap(), ["192.0.2.1"]);
        }
    });
}
