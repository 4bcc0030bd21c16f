//! Hot answers are refreshed before they run out, and nobody notices.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::time::{Instant, sleep};

use crate::world::{Act, World, millis, packet, pass, play, seconds};

const FORWARD: &str = "[[zone]]\nname = '.'\nforward = ['10.0.0.1']\n";
const NAME: &str = "www.example. A";
const UP: &str = "zerohop_upstream_up{upstream=\"10.0.0.1\",server=\"10.0.0.1:53\"}";

/// A world in which [`NAME`] was learnt with this TTL and found so many times since.
async fn found(toml: &str, ttl: u64, times: usize) -> World {
    let world = World::new(toml);
    world.script(move |_, _| Act::data(&format!("www.example. {ttl} A 192.0.2.1")));
    world.ask(NAME).await;
    // On its way into the cache it is found by nobody's count.
    world.settle();
    for _ in 0..times {
        world.ask(NAME).await;
    }
    world.asked();
    world
}

/// Lets tasks that wait for nobody do what they can.
async fn breathe() {
    sleep(millis(3)).await;
}

/// How many refreshes it begins that the name is asked for now.
async fn refreshes(world: &World) -> usize {
    world.ask(NAME).await;
    breathe().await;
    world.asked_count()
}

#[test]
fn a_name_that_is_asked_for_all_the_time_is_never_waited_for() {
    for ttl in [5, 30, 300] {
        play(|| async move {
            let world = found(FORWARD, ttl, 0).await;
            world.script(move |_, _| Act::data(&format!("www.example. {ttl} A 192.0.2.2")).late(millis(200)));
            let (began, mut asked) = (Instant::now(), 0);
            while began.elapsed() < seconds(ttl * 10) {
                sleep(millis(100)).await;
                // The thread that writes to the cache lives in real time.
                world.settle();
                let sent = Instant::now();
                let answer = world.ask(NAME).await;
                assert_eq!((sent.elapsed(), answer.extended_error()), (Duration::ZERO, None));
                assert_eq!(answer.lines().len(), 1);
                asked += world.asked_count();
            }
            assert_eq!(world.ask(NAME).await.data(), ["192.0.2.2"]);
            assert!((9..=12).contains(&asked), "{asked} refreshes in ten lives of {ttl} s");
        });
    }
}

#[test]
fn one_refresh_is_in_flight_however_many_ask_of_whatever_worker() {
    play(|| async {
        let world = World::with_workers(FORWARD, 4);
        world.script(|_, _| Act::data("www.example. 100 A 192.0.2.1"));
        for worker in [0, 1, 2, 3, 0, 1, 2, 3] {
            world.ask_worker(worker, &packet(NAME)).await.unwrap();
        }
        world.settle();
        world.asked();
        world.script(|_, _| Act::data("www.example. 100 A 192.0.2.2").late(millis(390)));
        pass(millis(90_100)).await;
        for round in 0..40 {
            world.ask_worker(round % 4, &packet(NAME)).await.unwrap();
            sleep(millis(20)).await;
        }
        assert_eq!(world.asked_count(), 1);
        // The old one is given for as long as it holds, and then the new one.
        pass(seconds(10)).await;
        for worker in 0..4 {
            assert_eq!(world.ask_worker(worker, &packet(NAME)).await.unwrap().data(), ["192.0.2.2"]);
        }
        assert_eq!(world.asked_count(), 0);
    });
}

#[test]
fn the_third_time_in_its_life_makes_a_name_hot_and_the_last_tenth_makes_it_due() {
    play(|| async {
        let world = found(FORWARD, 100, 1).await;
        pass(seconds(91)).await;
        assert_eq!(refreshes(&world).await, 0, "found twice");
        pass(millis(200)).await;
        assert_eq!(refreshes(&world).await, 1, "found three times");
        let world = found(FORWARD, 100, 50).await;
        pass(seconds(89)).await;
        assert_eq!(refreshes(&world).await, 0, "not due");
    });
}

#[test]
fn finds_of_all_workers_count() {
    play(|| async {
        let world = World::with_workers(FORWARD, 3);
        world.script(|_, _| Act::data("www.example. 100 A 192.0.2.1"));
        world.ask_worker(0, &packet(NAME)).await.unwrap();
        world.settle();
        world.asked();
        pass(seconds(91)).await;
        for (worker, asked) in [(0, 0), (1, 0), (2, 1)] {
            world.ask_worker(worker, &packet(NAME)).await.unwrap();
            breathe().await;
            assert_eq!(world.asked_count(), asked, "worker {worker}");
        }
    });
}

#[test]
fn refreshes_that_fail_are_spaced_and_nobody_sees_them() {
    play(|| async {
        let world = found(FORWARD, 100, 3).await;
        world.script(|_, _| Act::rcode(ResponseCode::ServFail));
        pass(seconds(90)).await;
        let (began, mut asked) = (Instant::now(), Vec::new());
        while began.elapsed() < millis(9_800) {
            let answer = world.ask(NAME).await;
            assert_eq!((answer.data(), answer.extended_error()), (vec!["192.0.2.1".into()], None));
            breathe().await;
            asked.extend(world.asked().iter().map(|_| began.elapsed().as_secs()));
            sleep(millis(50)).await;
        }
        assert_eq!(asked, [0, 1, 3, 7], "after a second, two and four");
    });
}

#[test]
fn while_nobody_can_be_asked_nothing_is_begun() {
    play(|| async {
        let world = found(FORWARD, 100, 10).await;
        world.script(|_, _| Act::Silence);
        pass(seconds(85)).await;
        for number in 0..3 {
            let deferred = world.defer(&packet(&format!("n{number}.example. A")));
            tokio::task::spawn_local(async move { deferred.resolve().await });
        }
        pass(seconds(6)).await;
        let prefetches = || world.shared.store.counts().prefetches.value();
        assert_eq!((world.metric(UP), prefetches()), (0, 0));
        for _ in 0..5 {
            pass(millis(200)).await;
            assert_eq!(world.ask(NAME).await.data(), ["192.0.2.1"]);
        }
        assert_eq!(prefetches(), 0);
        // Back again, it is refreshed.
        world.script(|_, _| Act::data("www.example. 100 A 192.0.2.2"));
        pass(seconds(2)).await;
        world.ask(NAME).await;
        breathe().await;
        assert_eq!((world.metric(UP), prefetches()), (1, 1));
    });
}

#[test]
fn a_name_of_short_life_and_one_that_nobody_asks_for_are_left_to_run_out() {
    play(|| async {
        let world = found(FORWARD, 4, 10).await;
        pass(millis(3_900)).await;
        assert_eq!(refreshes(&world).await, 0, "four seconds");
        let world = found(FORWARD, 100, 10).await;
        pass(seconds(99)).await;
        breathe().await;
        assert_eq!(world.asked_count(), 0, "nobody asks");
    });
}

#[test]
fn it_can_be_turned_off_by_a_reload() {
    play(|| async {
        let off = format!("[cache]\nprefetch = false\n{FORWARD}");
        let world = found(&off, 100, 10).await;
        pass(seconds(95)).await;
        assert_eq!(refreshes(&world).await, 0);
        world.reload(FORWARD);
        assert_eq!(refreshes(&world).await, 1);
    });
}

#[test]
fn a_refresh_brings_what_is_true_now() {
    play(|| async {
        let world = found(FORWARD, 100, 10).await;
        world.script(|_, _| Act::nxdomain("example. 300 SOA ns.example. host.example. 1 2 3 4 60"));
        pass(seconds(95)).await;
        assert_eq!(world.ask(NAME).await.data(), ["192.0.2.1"]);
        breathe().await;
        world.settle();
        pass(seconds(5)).await;
        assert_eq!(world.ask(NAME).await.rcode(), ResponseCode::NXDomain);
        assert_eq!(world.asked_count(), 1);
    });
}

#[test]
fn what_an_alias_of_ours_leads_to_is_kept_hot_by_it() {
    play(|| async {
        let alias = "[[zone]]\nname = 'own.test'\nrecords = ['web 3600 CNAME www.example.']\n";
        let world = found(&format!("{FORWARD}{alias}"), 100, 0).await;
        for _ in 0..5 {
            assert_eq!(world.ask("web.own.test. A").await.lines().len(), 2);
        }
        pass(seconds(95)).await;
        world.ask("web.own.test. A").await;
        breathe().await;
        assert_eq!(world.asked(), [("10.0.0.1:53".parse().unwrap(), NAME.to_owned())]);
        world.settle();
        pass(seconds(5)).await;
        let sent = Instant::now();
        assert_eq!(world.ask("web.own.test. A").await.lines().len(), 2);
        assert_eq!((sent.elapsed(), world.asked_count()), (Duration::ZERO, 0));
    });
}
