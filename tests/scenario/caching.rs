//! How long what upstreams said is believed.

use hickory_proto::op::ResponseCode;

use crate::world::{Act, World, millis, packet, pass, play, seconds};

const FORWARD: &str = "[[zone]]\nname = '.'\nforward = ['10.0.0.1']\n";
const SOA: &str = "example. 300 SOA ns.example. host.example. 1 2 3 4 60";

#[test]
fn an_answer_counts_down_and_is_asked_for_again_when_it_has_run_out() {
    play(|| async {
        let world = World::new(FORWARD);
        world.script(|_, _| Act::data("www.example. 30 A 192.0.2.1"));
        assert_eq!(world.ask("www.example. A").await.lines(), ["www.example. 30 IN A 192.0.2.1"]);
        pass(seconds(10)).await;
        assert_eq!(world.ask("www.example. A").await.lines(), ["www.example. 20 IN A 192.0.2.1"]);
        pass(millis(19_990)).await;
        assert_eq!(world.ask("www.example. A").await.lines(), ["www.example. 1 IN A 192.0.2.1"]);
        assert_eq!(world.asked_count(), 1);
        pass(millis(20)).await;
        assert_eq!(world.ask("www.example. A").await.lines(), ["www.example. 30 IN A 192.0.2.1"]);
        assert_eq!(world.asked_count(), 1);
        assert_eq!(world.metric("zerohop_cache_hits_total{zone=\".\"}"), 2);
        assert_eq!(world.metric("zerohop_cache_misses_total{zone=\".\"}"), 2);
    });
}

#[test]
fn a_denial_lives_for_the_lowest_of_soa_ttl_minimum_and_cap() {
    let cases = [
        ("example. 300 SOA ns.example. host.example. 1 2 3 4 60", "", 60),
        ("example. 20 SOA ns.example. host.example. 1 2 3 4 60", "", 20),
        ("example. 300 SOA ns.example. host.example. 1 2 3 4 60", "negative-max-ttl = 5\n", 5),
    ];
    for (soa, rule, lifetime) in cases {
        play(|| async {
            let world = World::new(&format!("{FORWARD}{rule}"));
            world.script(move |_, _| Act::nxdomain(soa));
            let first = world.ask("no.example. A").await;
            assert_eq!((first.rcode(), first.negative_ttl()), (ResponseCode::NXDomain, Some(lifetime)));
            pass(seconds(u64::from(lifetime)) - millis(10)).await;
            assert_eq!(world.ask("no.example. A").await.rcode(), ResponseCode::NXDomain);
            assert_eq!(world.asked_count(), 1, "{soa}");
            pass(millis(20)).await;
            world.ask("no.example. A").await;
            assert_eq!(world.asked_count(), 1, "{soa}");
        });
    }
}

#[test]
fn a_denial_without_soa_lives_five_seconds() {
    play(|| async {
        let world = World::new(FORWARD);
        world.script(|_, _| Act::nxdomain(""));
        assert_eq!(world.ask("no.example. A").await.rcode(), ResponseCode::NXDomain);
        pass(millis(4_990)).await;
        assert_eq!(world.ask("no.example. A").await.rcode(), ResponseCode::NXDomain);
        assert_eq!(world.asked_count(), 1);
        pass(millis(20)).await;
        world.ask("no.example. A").await;
        assert_eq!(world.asked_count(), 1);
    });
}

#[test]
fn ttl_zero_is_for_one_use_whatever_the_least_ttl() {
    play(|| async {
        let world = World::new(&format!("{FORWARD}min-ttl = 60\n"));
        world.script(|_, _| Act::data("www.example. 0 A 192.0.2.1"));
        for _ in 0..3 {
            assert_eq!(world.ask("www.example. A").await.lines(), ["www.example. 0 IN A 192.0.2.1"]);
        }
        assert_eq!(world.asked_count(), 3);
    });
}

#[test]
fn ttls_are_lifted_and_capped_by_the_zones_rules() {
    play(|| async {
        let world = World::new(&format!("{FORWARD}min-ttl = 10\nmax-ttl = 100\n"));
        world.script(|_, _| Act::data("www.example. 3 CNAME web.example.\nweb.example. 9000 A 192.0.2.1"));
        let lines = world.ask("www.example. A").await.lines();
        assert_eq!(lines, ["www.example. 10 IN CNAME web.example.", "web.example. 100 IN A 192.0.2.1"]);
        pass(millis(10_010)).await;
        world.ask("www.example. A").await;
        assert_eq!(world.asked_count(), 2, "the entry ends with its first record");
    });
}

#[test]
fn types_and_dnssec_flags_are_answers_of_their_own() {
    play(|| async {
        let world = World::new(FORWARD);
        world.script(|_, question| match question {
            "www.example. A" => Act::data("www.example. 30 A 192.0.2.1"),
            _ => Act::data("--\nexample. 300 SOA ns.example. host.example. 1 2 3 4 60"),
        });
        world.ask("www.example. A").await;
        let aaaa = world.ask("www.example. AAAA").await;
        assert_eq!((aaaa.rcode(), aaaa.lines().len()), (ResponseCode::NoError, 0));
        let mut with_do = packet("www.example. A");
        let flags = with_do.len() - 4;
        with_do[flags] = 0x80;
        let mut with_cd = packet("www.example. A");
        with_cd[3] |= 0x10;
        world.ask_worker(0, &with_do).await.unwrap();
        world.ask_worker(0, &with_cd).await.unwrap();
        assert_eq!(world.asked_count(), 4);
        for packet in [packet("www.example. A"), packet("www.example. AAAA"), with_do, with_cd] {
            world.ask_worker(0, &packet).await.unwrap();
        }
        assert_eq!(world.asked_count(), 0);
    });
}

#[test]
fn nxdomain_is_not_spread_to_other_types_or_names_below() {
    play(|| async {
        let world = World::new(FORWARD);
        world.script(|_, question| match question {
            "www.example. TXT" => Act::nxdomain(SOA),
            _ => Act::data("www.example. 30 A 192.0.2.1"),
        });
        assert_eq!(world.ask("www.example. TXT").await.rcode(), ResponseCode::NXDomain);
        assert_eq!(world.ask("www.example. A").await.lines().len(), 1);
    });
}

#[test]
fn a_cname_without_its_target_is_handed_on_and_not_kept() {
    play(|| async {
        let world = World::new(FORWARD);
        world.script(|_, _| Act::data("www.example. 30 CNAME web.other."));
        for _ in 0..2 {
            assert_eq!(world.ask("www.example. A").await.lines(), ["www.example. 30 IN CNAME web.other."]);
        }
        assert_eq!(world.asked_count(), 2);
    });
}

#[test]
fn a_failure_is_remembered_for_a_second_and_then_twice_as_long() {
    play(|| async {
        let world = World::new(FORWARD);
        world.script(|_, _| Act::rcode(ResponseCode::ServFail));
        for lifetime in [1, 2, 4, 5] {
            assert_eq!(world.ask("bad.example. A").await.rcode(), ResponseCode::ServFail);
            assert_eq!(world.asked_count(), 1, "{lifetime}");
            pass(seconds(lifetime) - millis(20)).await;
            assert_eq!(world.ask("bad.example. A").await.rcode(), ResponseCode::ServFail);
            assert_eq!(world.asked_count(), 0, "{lifetime}");
            pass(millis(40)).await;
        }
        world.script(|_, _| Act::data("bad.example. 30 A 192.0.2.1"));
        assert_eq!(world.ask("bad.example. A").await.lines().len(), 1);
    });
}

#[test]
fn identical_questions_in_flight_are_one_whoever_asks() {
    for workers in [1, 4] {
        play(|| async {
            let world = World::with_workers(FORWARD, workers);
            world.script(|_, _| Act::data("www.example. 30 A 192.0.2.1").late(millis(100)));
            let packets: Vec<Vec<u8>> = (0..200)
                .map(|number| packet(if number % 2 == 0 { "www.example. A" } else { "WWW.Example. A" }))
                .collect();
            let asking = packets.iter().enumerate().map(|(number, packet)| world.ask_worker(number % workers, packet));
            let answers = futures_util::future::join_all(asking).await;
            assert!(answers.iter().all(|answer| answer.as_ref().unwrap().data() == ["192.0.2.1"]));
            assert_eq!(world.asked_count(), 1, "{workers} workers");
            // What was in flight is now in the cache: no gap in between.
            for worker in 0..workers {
                world.ask_worker(worker, &packets[0]).await.unwrap();
            }
            assert_eq!(world.asked_count(), 0, "{workers} workers");
        });
    }
}

#[test]
fn a_flood_of_names_that_do_not_exist_pushes_out_none_that_do() {
    play(|| async {
        let world = World::with_store(FORWARD, 2, 1 << 20);
        world.script(|_, question| match question.starts_with("there-") {
            true => Act::data(&question.replace(" A", " 300 A 192.0.2.1")),
            false => Act::nxdomain(SOA),
        });
        for number in 0..500 {
            world.ask(&format!("there-{number}.example. A")).await;
        }
        for number in 0..3000 {
            world.ask(&format!("flood-{number}.example. A")).await;
            if number % 500 == 0 {
                world.settle();
            }
        }
        world.settle();
        world.asked();
        for number in 0..500 {
            // The other worker has nothing of its own.
            let asked = packet(&format!("there-{number}.example. A"));
            assert_eq!(world.ask_worker(1, &asked).await.unwrap().data(), ["192.0.2.1"]);
        }
        assert_eq!(world.asked_count(), 0);
    });
}
