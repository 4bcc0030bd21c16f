//! Names that never leave the node (RFC 6761), and those of private addresses (RFC 6303).

use hickory_proto::op::ResponseCode;

use crate::world::{Act, World, play};

const FORWARD: &str = "[[zone]]\nname = '.'\nforward = ['10.0.0.1']\n";

/// What a question is answered without anybody being asked.
#[derive(Debug, PartialEq)]
enum Said {
    Data(Vec<String>),
    Nodata,
    Nxdomain,
    /// It went upstream.
    Left,
}

async fn said(world: &World, question: &str) -> Said {
    world.script(|_, _| Act::nxdomain(". 60 SOA a. b. 1 2 3 4 60"));
    let answer = world.ask(question).await;
    if world.asked_count() > 0 {
        return Said::Left;
    }
    assert!(answer.message().metadata.authoritative, "{question}");
    match (answer.rcode(), answer.negative_ttl()) {
        (ResponseCode::NXDomain, Some(5)) => Said::Nxdomain,
        (ResponseCode::NoError, Some(5)) => Said::Nodata,
        (ResponseCode::NoError, None) => Said::Data(answer.data()),
        other => panic!("{question}: {other:?}"),
    }
}

fn data(data: &str) -> Said {
    Said::Data(vec![data.to_owned()])
}

#[test]
fn special_names_stay_here_and_names_like_them_do_not() {
    play(|| async {
        let world = World::new(FORWARD);
        let expected = [
            ("localhost. A", data("127.0.0.1")),
            ("LocalHost. AAAA", data("::1")),
            ("a.b.localhost. A", data("127.0.0.1")),
            ("localhost. MX", Said::Nodata),
            ("a.localhost. TXT", Said::Nodata),
            ("invalid. A", Said::Nodata),
            ("a.invalid. A", Said::Nxdomain),
            ("a.test. AAAA", Said::Nxdomain),
            ("a.b.onion. A", Said::Nxdomain),
            ("_dns.resolver.arpa. SVCB", Said::Nodata),
            ("other.resolver.arpa. A", Said::Nodata),
            ("test. DS", Said::Nodata),
            ("a.local. A", Said::Left),
            ("a.example. A", Said::Left),
            ("notlocalhost. A", Said::Left),
            ("localhost.example. A", Said::Left),
            ("1.0.0.10.in-addr.arpa. PTR", Said::Left),
        ];
        for (question, expected) in expected {
            assert_eq!(said(&world, question).await, expected, "{question}");
        }
        let nxdomain = "zerohop_responses_total{zone=\"special\",rcode=\"NXDOMAIN\",source=\"local\"}";
        assert_eq!(world.metric(nxdomain), 3);
    });
}

#[test]
fn they_stay_here_without_a_root_zone_too() {
    play(|| async {
        let world = World::new("");
        assert_eq!(said(&world, "localhost. A").await, data("127.0.0.1"));
        assert_eq!(world.ask("a.example. A").await.rcode(), ResponseCode::Refused);
    });
}

#[test]
fn a_configured_zone_has_its_own_way_with_them() {
    play(|| async {
        let world = World::new(&format!("{FORWARD}[[zone]]\nnames = ['test', 'a.onion']\nforward = ['10.0.0.2']\n"));
        assert_eq!(said(&world, "www.test. A").await, Said::Left);
        assert_eq!(said(&world, "www.a.onion. A").await, Said::Left);
        assert_eq!(said(&world, "b.onion. A").await, Said::Nxdomain);
        assert_eq!(said(&world, "a.onion. DS").await, Said::Nxdomain);
        // A reload changes them like everything else.
        world.reload(FORWARD);
        assert_eq!(said(&world, "www.test. A").await, Said::Nxdomain);
    });
}

#[test]
fn private_reverse_names_are_answered_here_only_when_told_to() {
    let local = format!("private-reverse = 'local'\n{FORWARD}");
    play(|| async {
        let world = World::new(&local);
        let expected = [
            ("1.0.0.10.in-addr.arpa. PTR", Said::Nxdomain),
            ("1.0.16.172.in-addr.arpa. PTR", Said::Nxdomain),
            ("1.0.31.172.in-addr.arpa. PTR", Said::Nxdomain),
            ("1.0.32.172.in-addr.arpa. PTR", Said::Left),
            ("1.1.168.192.in-addr.arpa. PTR", Said::Nxdomain),
            ("1.0.64.100.in-addr.arpa. PTR", Said::Nxdomain),
            ("1.0.127.100.in-addr.arpa. PTR", Said::Nxdomain),
            ("1.0.128.100.in-addr.arpa. PTR", Said::Left),
            ("8.8.8.8.in-addr.arpa. PTR", Said::Left),
            ("1.0.0.127.in-addr.arpa. PTR", data("localhost.")),
            ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. PTR", Said::Nxdomain),
            ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa. PTR", data("localhost.")),
        ];
        for (question, expected) in expected {
            assert_eq!(said(&world, question).await, expected, "{question}");
        }
    });
    play(|| async {
        // Whoever knows some of them is asked all the same, and `ptr` finds its place.
        let records = "[[zone]]\nname = 'a'\nptr = true\nrecords = ['x A 10.0.0.1', 'y A 10.1.0.1']\n";
        let cluster = "[[zone]]\nname = '0.10.in-addr.arpa'\nforward = ['10.0.0.2']\n";
        let world = World::new(&format!("{local}{records}{cluster}"));
        assert_eq!(said(&world, "1.0.0.10.in-addr.arpa. PTR").await, data("x.a."));
        assert_eq!(said(&world, "2.0.0.10.in-addr.arpa. PTR").await, Said::Left);
        assert_eq!(said(&world, "1.0.1.10.in-addr.arpa. PTR").await, data("y.a."));
        assert_eq!(said(&world, "2.0.1.10.in-addr.arpa. PTR").await, Said::Nxdomain);
    });
}
