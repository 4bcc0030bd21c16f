//! What a zone keeps from its upstreams: names that cannot be there, and names that are not its own.

use hickory_proto::op::ResponseCode;

use crate::world::{Act, World, pass, play, seconds};

const SOA: &str = "cluster.local. 30 SOA ns.dns.cluster.local. host.cluster.local. 1 2 3 4 30";

const CUT: &str = "
[[zone]]
name = 'cluster.local'
forward = ['10.0.0.1']
nxdomain-cut = true
records = ['own.gone A 10.9.9.9']
[[zone]]
name = 'b.gone.cluster.local'
forward = ['10.0.0.2']
[[zone]]
name = '.'
forward = ['192.0.2.1']
";

fn cluster() -> World {
    let world = World::new(CUT);
    world.script(|server, question| match (server.ip().to_string().as_str(), question) {
        (_, "there.cluster.local. A") => Act::data("there.cluster.local. 30 A 10.0.0.7"),
        (_, "alias.cluster.local. A") => Act::nxdomain_behind("alias.cluster.local. 30 CNAME x.cluster.local.", SOA),
        ("10.0.0.1", _) => Act::nxdomain(SOA),
        (_, question) => Act::data(&format!("{} 30 A 192.0.2.9", question.split(' ').next().unwrap())),
    });
    world
}

#[test]
fn nothing_is_below_what_does_not_exist() {
    play(|| async {
        let world = cluster();
        assert_eq!(world.ask("gone.cluster.local. A").await.rcode(), ResponseCode::NXDomain);
        world.asked();
        pass(seconds(10)).await;
        for below in ["Gone.cluster.local. AAAA", "a.gone.cluster.local. A", "x.y.GONE.cluster.local. SRV"] {
            for _front in [false, true] {
                let answer = world.ask(below).await;
                assert_eq!((answer.rcode(), answer.negative_ttl()), (ResponseCode::NXDomain, Some(20)), "{below}");
                let message = answer.message();
                assert_eq!((message.answers.len(), message.authorities.len()), (0, 1), "{below}");
                assert_eq!(message.authorities[0].name.to_string(), "cluster.local.");
                assert!(!message.metadata.authoritative, "{below}");
            }
        }
        assert_eq!(world.asked_count(), 0);
        let cached = "zerohop_responses_total{zone=\"cluster.local.\",rcode=\"NXDOMAIN\",source=\"cache\"}";
        assert_eq!(world.metric(cached), 6);
        pass(seconds(20)).await;
        world.ask("a.gone.cluster.local. A").await;
        assert_eq!(world.asked_count(), 1, "it ends with the denial it comes from");
    });
}

#[test]
fn what_is_owned_or_of_another_zone_or_beside_is_not_cut() {
    play(|| async {
        let world = cluster();
        world.ask("gone.cluster.local. A").await;
        assert_eq!(world.ask("own.gone.cluster.local. A").await.data(), ["10.9.9.9"]);
        assert_eq!(world.ask("q.b.gone.cluster.local. A").await.data(), ["192.0.2.9"]);
        assert_eq!(world.ask("there.cluster.local. A").await.data(), ["10.0.0.7"]);
        world.asked();
        world.ask("notgone.cluster.local. A").await;
        assert_eq!(world.asked_count(), 1);
    });
}

#[test]
fn an_alias_to_nowhere_and_a_ds_that_is_not_there_cut_nothing() {
    play(|| async {
        let world = cluster();
        for (above, below) in [
            ("alias.cluster.local. A", "below.alias.cluster.local. A"),
            ("ds.cluster.local. DS", "below.ds.cluster.local. A"),
        ] {
            assert_eq!(world.ask(above).await.rcode(), ResponseCode::NXDomain, "{above}");
            world.asked();
            world.ask(below).await;
            assert_eq!(world.asked_count(), 1, "{below}");
        }
    });
}

#[test]
fn a_denial_is_not_spread_unless_the_zone_says_so() {
    play(|| async {
        let world = World::new("[[zone]]\nname = '.'\nforward = ['10.0.0.1']\n");
        world.script(|_, _| Act::nxdomain(SOA));
        for question in ["gone.cluster.local. A", "gone.cluster.local. AAAA", "a.gone.cluster.local. A"] {
            world.ask(question).await;
        }
        assert_eq!(world.asked_count(), 3);
    });
}

#[test]
fn a_name_that_is_too_deep_is_denied_here() {
    play(|| async {
        let world = World::new("[[zone]]\nname = 'cluster.local'\nforward = ['10.0.0.1']\nmax-labels = 4\n");
        world.script(|_, _| Act::nxdomain(SOA));
        let denied = world.ask("www.example.com.default.svc.cluster.local. A").await;
        assert_eq!((denied.rcode(), denied.negative_ttl()), (ResponseCode::NXDomain, Some(5)));
        assert!(denied.message().metadata.authoritative);
        assert_eq!(world.asked_count(), 0);
        let local = "zerohop_responses_total{zone=\"cluster.local.\",rcode=\"NXDOMAIN\",source=\"local\"}";
        assert_eq!(world.metric(local), 1);
        world.ask("example.com.default.svc.cluster.local. A").await;
        assert_eq!(world.asked_count(), 1, "a pod `example` of a service `com` could be there");
    });
}

#[test]
fn what_a_zone_excepts_is_asked_of_the_next() {
    play(|| async {
        let world = World::new(
            "[[zone]]\nname = 'corp'\nforward = ['10.0.0.1']\nexcept = ['public.corp']\n\
             [[zone]]\nname = '.'\nforward = ['192.0.2.1']\n",
        );
        world.script(|_, _| Act::nxdomain(SOA));
        for question in ["a.corp. A", "public.corp. A", "www.public.corp. A"] {
            world.ask(question).await;
        }
        let asked: Vec<String> = world.asked().into_iter().map(|(server, _)| server.ip().to_string()).collect();
        assert_eq!(asked, ["10.0.0.1", "192.0.2.1", "192.0.2.1"]);
        let alone = World::new("[[zone]]\nname = 'corp'\nforward = ['10.0.0.1']\nexcept = ['public.corp']\n");
        assert_eq!(alone.ask("www.public.corp. A").await.rcode(), ResponseCode::Refused);
    });
}
