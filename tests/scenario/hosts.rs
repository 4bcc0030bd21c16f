//! Where upstreams are that are known by name: asked of bootstrap servers, over and over.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::time::Instant;
use zerohop::clock::Clock;
use zerohop::dns::Name;
use zerohop::upstream::{Host, resolve};

use crate::world::{Act, World, millis, pass, play, seconds};

const NOWHERE: &str = "[[zone]]\nname = 'a'\nrecords = ['a A 10.0.0.1']\n";
const HOST: &str = "dns.b.example.";

/// A host that is looked after, and what came of it.
struct Watched {
    world: World,
    told: Rc<RefCell<Vec<String>>>,
}

impl Watched {
    fn new(script: impl Fn(SocketAddr, &str) -> Act + 'static) -> Self {
        let (world, told) = (World::new(NOWHERE), Rc::<RefCell<Vec<String>>>::default());
        world.script(script);
        let (exchange, heard) = (Rc::clone(&world.upstreams), Rc::clone(&told));
        tokio::task::spawn_local(async move {
            let name = Name::from_text(HOST, &Name::root()).unwrap();
            let bootstrap = ["10.0.0.1:53", "10.0.0.2:53"].map(|text| text.parse().unwrap()).to_vec();
            let found = |addresses: Vec<IpAddr>| {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                heard.borrow_mut().push(addresses.join(" "));
            };
            resolve(&*exchange, Clock::start(), &Host { name, bootstrap }, Vec::new(), found, |_| ()).await;
        });
        Self { world, told }
    }

    /// What was told since the last time.
    fn told(&self) -> Vec<String> {
        self.told.take()
    }

    /// How many seconds pass until it is asked for again, to the half.
    async fn rest(&self) -> u64 {
        self.world.asked();
        let began = Instant::now();
        loop {
            pass(millis(500)).await;
            if self.world.asked_count() > 0 {
                return began.elapsed().as_secs();
            }
        }
    }
}

fn is_first(server: SocketAddr) -> bool {
    server.ip().to_string() == "10.0.0.1"
}

fn address(ttl: u32) -> impl Fn(SocketAddr, &str) -> Act {
    move |_, question| match question {
        "dns.b.example. A" => Act::data(&format!("dns.b.example. {ttl} A 192.0.2.1")),
        _ => Act::data(""),
    }
}

#[test]
fn both_families_are_found_behind_aliases_and_foreign_records_are_not() {
    play(|| async {
        let host = Watched::new(|_, question| match question {
            "dns.b.example. A" => Act::data(
                "other.example. 60 A 192.0.2.66\ndns.b.example. 60 CNAME lb.example.\nlb.example. 60 A 192.0.2.2\nlb.example. 60 A 192.0.2.1\nlb.example. 60 A 0.0.0.0",
            ),
            "dns.b.example. AAAA" => Act::data("dns.b.example. 60 AAAA 2001:db8::1"),
            other => panic!("{other}"),
        });
        pass(millis(10)).await;
        assert_eq!(host.told(), ["192.0.2.1 192.0.2.2 2001:db8::1"]);
    });
}

#[test]
fn they_are_asked_for_again_when_they_run_out_within_bounds() {
    for (ttl, rest) in [(0, 5), (30, 30), (86_400, 3600)] {
        play(|| async move {
            let host = Watched::new(address(ttl));
            pass(millis(10)).await;
            assert_eq!(host.rest().await, rest);
            assert_eq!(host.told(), ["192.0.2.1"], "the same is not told again");
        });
    }
}

#[test]
fn the_lowest_ttl_counts_that_of_an_alias_too() {
    play(|| async {
        let host = Watched::new(|_, question| match question {
            "dns.b.example. A" => Act::data("dns.b.example. 20 CNAME lb.example.\nlb.example. 60 A 192.0.2.1"),
            _ => Act::data("dns.b.example. 40 AAAA 2001:db8::1"),
        });
        pass(millis(10)).await;
        assert_eq!(host.rest().await, 20);
    });
}

#[test]
fn the_last_good_ones_stay_while_nothing_better_comes() {
    let failures: [fn() -> Act; 6] = [
        || Act::Silence,
        || Act::Unreachable,
        || Act::Garbage,
        || Act::rcode(ResponseCode::ServFail),
        || Act::nxdomain("b.example. 60 SOA ns. root. 1 1 1 1 60"),
        || Act::data("--\nb.example. 60 SOA ns. root. 1 1 1 1 60"),
    ];
    for failure in failures {
        play(|| async move {
            let host = Watched::new(address(30));
            pass(seconds(1)).await;
            assert_eq!(host.told(), ["192.0.2.1"]);
            host.world.script(move |_, _| failure());
            pass(seconds(600)).await;
            assert_eq!(host.told(), [""; 0]);
            host.world.script(|_, _| Act::data("dns.b.example. 30 A 192.0.2.9"));
            pass(seconds(35)).await;
            assert_eq!(host.told(), ["192.0.2.9"]);
        });
    }
}

#[test]
fn failures_are_tried_again_ever_less_often() {
    play(|| async {
        let host = Watched::new(|_, _| Act::Unreachable);
        let mut pauses = Vec::new();
        pass(millis(10)).await;
        for _ in 0..7 {
            pauses.push(host.rest().await);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    });
}

#[test]
fn when_one_family_fails_the_other_is_used() {
    play(|| async {
        let host = Watched::new(|_, question| match question {
            "dns.b.example. A" => Act::data("dns.b.example. 300 A 192.0.2.1"),
            _ => Act::rcode(ResponseCode::ServFail),
        });
        pass(millis(10)).await;
        assert_eq!(host.told(), ["192.0.2.1"]);
        assert_eq!(host.rest().await, 1, "and the one that failed is tried again soon");
        host.world.script(|_, question| match question {
            "dns.b.example. A" => Act::Unreachable,
            _ => Act::data("dns.b.example. 300 AAAA 2001:db8::1"),
        });
        pass(seconds(30)).await;
        assert_eq!(host.told(), ["192.0.2.1 2001:db8::1"]);
    });
}

#[test]
fn the_next_bootstrap_server_is_asked_after_a_second() {
    play(|| async {
        let good = address(30);
        let host =
            Watched::new(move |server, question| if is_first(server) { Act::Silence } else { good(server, question) });
        pass(Duration::from_millis(999)).await;
        assert_eq!(host.told(), [""; 0]);
        pass(millis(10)).await;
        assert_eq!(host.told(), ["192.0.2.1"]);
    });
}
