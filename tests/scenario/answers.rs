//! What an answer is, whatever it comes from.

use std::net::IpAddr;

use hickory_proto::op::ResponseCode;

use crate::world::{Act, World, packet, pass, play, seconds};

const LOCAL: &str = r#"
[[zone]]
name = "cluster.example"
ttl = 30
records = [
    "api      A     10.0.0.10",
    "*.apps   A     10.0.0.20",
    "web      CNAME www.other.",
    "near     CNAME api",
    "far      CNAME far.nowhere.",
    "a1 CNAME a2", "a2 CNAME a3", "a3 CNAME a4", "a4 CNAME a5", "a5 CNAME a6", "a6 CNAME a7", "a7 CNAME a8",
    "a8 CNAME api",
    "b1 CNAME a1",
    "loop     CNAME pool",
    "pool     CNAME loop",
]
[[zone]]
name = "other"
forward = ["10.0.0.1"]
"#;

#[test]
fn local_names_need_nobody_and_their_ttls_stand() {
    play(|| async {
        let world = World::new(LOCAL);
        for _ in 0..3 {
            let answer = world.ask("API.cluster.Example. A").await;
            assert_eq!(answer.lines(), ["API.cluster.Example. 30 IN A 10.0.0.10"]);
            assert!(answer.message().metadata.authoritative && answer.message().metadata.recursion_available);
            assert_eq!(world.ask("x.y.apps.cluster.example. A").await.data(), ["10.0.0.20"]);
            pass(seconds(7)).await;
        }
        let aaaa = world.ask("api.cluster.example. AAAA").await;
        assert_eq!((aaaa.rcode(), aaaa.negative_ttl()), (ResponseCode::NoError, Some(5)));
        let none = world.ask("none.cluster.example. A").await;
        assert_eq!((none.rcode(), none.negative_ttl()), (ResponseCode::NXDomain, Some(5)));
        assert_eq!(world.asked_count(), 0);
        assert_eq!(
            world.metric("zerohop_responses_total{zone=\"cluster.example.\",rcode=\"NOERROR\",source=\"local\"}"),
            7
        );
    });
}

#[test]
fn the_question_comes_back_octet_for_octet() {
    play(|| async {
        let world = World::new(LOCAL);
        world.script(|_, _| Act::data("www.other. 30 A 192.0.2.1"));
        for question in
            ["ApI.CLUSTER.example. A", "WwW.Other. A", "wWw.oTHER. A", "NoNe.Cluster.example. A", "Else.Where. A"]
        {
            let asked = packet(question);
            let answer = world.ask_worker(0, &asked).await.unwrap();
            let end = asked.len() - 11;
            assert_eq!(answer.octets[12..end], asked[12..end], "{question}");
            assert_eq!(answer.octets[..2], asked[..2], "{question}");
        }
    });
}

#[test]
fn an_alias_out_of_local_data_is_followed_through_this_server() {
    play(|| async {
        let world = World::new(LOCAL);
        world.script(|_, _| Act::data("www.other. 20 CNAME cdn.other.\ncdn.other. 10 A 192.0.2.1"));
        let expected = |age: u32| {
            vec![
                format!("web.cluster.example. {} IN CNAME www.other.", 30 - age),
                format!("www.other. {} IN CNAME cdn.other.", 20 - age),
                format!("cdn.other. {} IN A 192.0.2.1", 10 - age),
            ]
        };
        assert_eq!(world.ask("web.cluster.example. A").await.lines(), expected(0));
        pass(seconds(4)).await;
        assert_eq!(world.ask("web.cluster.example. A").await.lines(), expected(4));
        assert_eq!(world.asked_count(), 1);
        pass(seconds(7)).await;
        world.ask("web.cluster.example. A").await;
        assert_eq!(world.asked_count(), 1, "asked again when the target has run out");
        assert_eq!(world.ask("web.cluster.example. CNAME").await.data(), ["www.other."]);
        // The alias stands for 30 s, what it leads to for longer: neither outlives its own TTL.
        world.script(|_, _| Act::data("www.other. 3600 A 192.0.2.1"));
        pass(seconds(60)).await;
        world.ask("web.cluster.example. A").await;
        pass(seconds(31)).await;
        let expected = ["web.cluster.example. 30 IN CNAME www.other.", "www.other. 3569 IN A 192.0.2.1"];
        assert_eq!(world.ask("web.cluster.example. A").await.lines(), expected);
        assert_eq!(world.asked_count(), 1);

        let near = world.ask("near.cluster.example. A").await;
        assert_eq!(
            near.lines(),
            ["near.cluster.example. 30 IN CNAME api.cluster.example.", "api.cluster.example. 30 IN A 10.0.0.10"]
        );
        assert!(near.message().metadata.authoritative);
        let nodata = world.ask("near.cluster.example. AAAA").await;
        assert_eq!((nodata.rcode(), nodata.lines().len(), nodata.negative_ttl()), (ResponseCode::NoError, 1, Some(5)));
    });
}

#[test]
fn a_chain_ends_after_eight_aliases_a_loop_ends_and_a_target_outside_is_left_to_the_client() {
    play(|| async {
        let world = World::new(LOCAL);
        assert_eq!(world.ask("a1.cluster.example. A").await.lines().len(), 9);
        assert_eq!(world.ask("b1.cluster.example. A").await.rcode(), ResponseCode::ServFail);
        assert_eq!(world.ask("loop.cluster.example. A").await.rcode(), ResponseCode::ServFail);
        let far = world.ask("far.cluster.example. A").await;
        assert_eq!((far.rcode(), far.data()), (ResponseCode::NoError, vec!["far.nowhere.".to_owned()]));
    });
}

#[test]
fn addresses_take_turns_on_hits() {
    play(|| async {
        let world = World::new("[[zone]]\nname = '.'\nforward = ['10.0.0.1']\n");
        world.script(|_, _| {
            let addresses: Vec<String> = (1..=5).map(|last| format!("web.example. 300 A 192.0.2.{last}")).collect();
            Act::data(&format!("www.example. 300 CNAME web.example.\n{}", addresses.join("\n")))
        });
        let mut first = std::collections::BTreeMap::new();
        for _ in 0..1000 {
            let lines = world.ask("www.example. A").await.lines();
            assert_eq!((lines.len(), &*lines[0]), (6, "www.example. 300 IN CNAME web.example."));
            *first.entry(lines[1].clone()).or_insert(0) += 1;
        }
        assert!(first.len() == 5 && first.values().all(|&count| (190..=210).contains(&count)), "{first:?}");
    });
}

#[test]
fn what_is_no_business_of_a_forwarder_is_turned_away() {
    play(|| async {
        let world = World::new("[[zone]]\nname = 'example'\nrecords = ['a A 10.0.0.1']\n");
        let cases = [
            ("a.example. AXFR", ResponseCode::Refused, "transfer"),
            ("elsewhere. A", ResponseCode::Refused, "no_zone"),
        ];
        for (question, rcode, reason) in cases {
            assert_eq!(world.ask(question).await.rcode(), rcode, "{question}");
            assert_eq!(world.metric(&format!("zerohop_rejected_total{{reason=\"{reason}\"}}")), 1);
        }
        let edited = |at_end: usize, value: u8| {
            let mut packet = packet("a.example. A");
            let at = packet.len() - at_end;
            packet[at] = value;
            packet
        };
        let ask = |packet: Vec<u8>| {
            let world = &world;
            async move { world.ask_worker(0, &packet).await.map(|answer| u16::from(answer.rcode())) }
        };
        assert_eq!(ask(edited(12, 3)).await, Some(5), "class CHAOS");
        assert_eq!(ask(edited(5, 1)).await, Some(16), "EDNS version 1");
        let mut notify = packet("a.example. A");
        notify[2] |= 4 << 3;
        assert_eq!(ask(notify).await, Some(4));
        let mut response = packet("a.example. A");
        response[2] |= 0x80;
        assert_eq!(ask(response).await, None);
        assert_eq!(ask(packet("a.example. A")[..20].to_vec()).await, Some(1));
        assert_eq!(world.ask("a.example. ANY").await.message().answers[0].record_type().to_string(), "HINFO");
    });
}

#[test]
fn without_rd_nobody_is_asked() {
    play(|| async {
        let world = World::new("[[zone]]\nname = '.'\nforward = ['10.0.0.1']\n");
        world.script(|_, _| Act::data("www.example. 30 A 192.0.2.1"));
        let mut without = packet("www.example. A");
        without[2] &= !1;
        assert_eq!(world.ask_worker(0, &without).await.unwrap().rcode(), ResponseCode::Refused);
        assert_eq!(world.asked_count(), 0);
        world.ask("www.example. A").await;
        assert_eq!(world.ask_worker(0, &without).await.unwrap().data(), ["192.0.2.1"], "the cache may be shown");
    });
}

#[test]
fn without_rd_an_alias_is_shown_alone_and_not_remembered_so() {
    play(|| async {
        let world = World::new(LOCAL);
        world.script(|_, _| Act::data("www.other. 20 A 192.0.2.1"));
        let mut without = packet("web.cluster.example. A");
        without[2] &= !1;
        assert_eq!(world.ask_worker(0, &without).await.unwrap().data(), ["www.other."]);
        assert_eq!(world.asked_count(), 0);
        assert_eq!(world.ask("web.cluster.example. A").await.data(), ["192.0.2.1", "www.other."]);
        assert_eq!(world.ask_worker(0, &without).await.unwrap().data(), ["192.0.2.1", "www.other."]);
    });
}

#[test]
fn the_readiness_check_is_answered_whoever_may_ask() {
    play(|| async {
        let world = World::new("[[zone]]\nname = '.'\nforward = ['10.0.0.1']\n");
        let stranger = IpAddr::from([203, 0, 113, 1]);
        let rcode = |question: &str| world.ask_from(stranger, &packet(question)).rcode();
        assert_eq!(rcode("www.example. A"), ResponseCode::Refused);
        assert_eq!(rcode(&format!("{} TXT", world.ready)), ResponseCode::NoError);
        assert_eq!(world.metric("zerohop_rejected_total{reason=\"not_allowed\"}"), 1);
    });
}
