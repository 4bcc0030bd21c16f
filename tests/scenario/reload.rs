//! What a reload changes at once, and what it leaves.

use hickory_proto::op::ResponseCode;

use crate::world::{Act, World, play};

const FORWARD: &str = "[[zone]]\nname = '.'\nforward = ['10.0.0.1']\n";

#[test]
fn an_edited_record_or_pattern_is_true_on_the_next_question() {
    play(|| async {
        let config = |address: &str, answer: &str| {
            format!(
                "[[zone]]\nname = 'example'\nrecords = ['api A {address}']\n\
                 [[zone.match]]\npattern = '^ip-(\\d+)\\.example$'\nanswer = ['{answer}']\n{FORWARD}"
            )
        };
        let world = World::new(&config("10.0.0.1", "A 10.1.0.$1"));
        for _ in 0..2 {
            assert_eq!(world.ask("api.example. A").await.data(), ["10.0.0.1"]);
            assert_eq!(world.ask("ip-7.example. A").await.data(), ["10.1.0.7"]);
        }
        world.reload(&config("10.0.0.2", "A 10.2.0.$1"));
        assert_eq!(world.ask("api.example. A").await.data(), ["10.0.0.2"]);
        assert_eq!(world.ask("ip-7.example. A").await.data(), ["10.2.0.7"]);
        world.reload(FORWARD);
        world.script(|_, _| Act::rcode(ResponseCode::NXDomain));
        assert_eq!(world.ask("api.example. A").await.rcode(), ResponseCode::NXDomain);
    });
}

#[test]
fn answers_of_the_old_forward_are_not_given_after_it_changed() {
    play(|| async {
        let world = World::new(FORWARD);
        world.script(|server, _| match server.ip().to_string().as_str() {
            "10.0.0.1" => Act::data("www.example. 300 A 192.0.2.1"),
            _ => Act::data("www.example. 300 A 192.0.2.2"),
        });
        assert_eq!(world.ask("www.example. A").await.data(), ["192.0.2.1"]);
        world.reload("[[zone]]\nname = '.'\nforward = ['10.0.0.2']\n");
        assert_eq!(world.ask("www.example. A").await.data(), ["192.0.2.2"]);
        world.reload(
            "[[zone]]\nname = '.'\nforward = ['10.0.0.2']\n[[zone]]\nname = 'example'\nforward = ['10.0.0.1']\n",
        );
        assert_eq!(world.ask("www.example. A").await.data(), ["192.0.2.1"]);
    });
}

#[test]
fn a_zone_that_did_not_change_keeps_its_cache_and_its_counters() {
    play(|| async {
        let world = World::new(FORWARD);
        world.script(|_, _| Act::data("www.example. 300 A 192.0.2.1"));
        world.ask("www.example. A").await;
        world.reload(&format!("[[zone]]\nname = 'local.test'\nrecords = ['a A 10.0.0.1']\n{FORWARD}"));
        world.asked_count();
        assert_eq!(world.ask("www.example. A").await.data(), ["192.0.2.1"]);
        assert_eq!(world.asked_count(), 0);
        assert_eq!(world.metric("zerohop_cache_hits_total{zone=\".\"}"), 1);
        assert_eq!(world.metric("zerohop_cache_misses_total{zone=\".\"}"), 1);
    });
}

#[test]
fn new_nameservers_in_a_file_are_asked_at_once() {
    play(|| async {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("resolv.conf");
        std::fs::write(&file, "nameserver 127.0.0.1\nnameserver 10.0.0.1\n").unwrap();
        let zone = format!("[[zone]]\nname = '.'\nforward = ['resolv-conf:{}']\n", file.display());
        let world = World::new(&zone);
        world.script(|server, _| Act::data(&format!("www.example. 300 A {}", server.ip())));
        assert_eq!(world.ask("www.example. A").await.data(), ["127.0.0.1"]);
        world.reload(&zone);
        assert_eq!(world.ask("www.example. A").await.data(), ["127.0.0.1"]);
        assert_eq!(world.asked_count(), 1, "the same servers: the cache holds");
        std::fs::write(&file, "nameserver 10.0.0.2\n").unwrap();
        world.reload(&zone);
        assert_eq!(world.ask("www.example. A").await.data(), ["10.0.0.2"]);
    });
}
