//! Packets that mean no good, from clients and from upstreams.

use hickory_proto::op::{Message, ResponseCode};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::world::{Act, World, packet, play, reply};

const CONFIG: &str = r"
[[zone]]
name = 'local.example'
records = ['api A 10.0.0.10', '*.apps A 10.0.0.20', 'web CNAME www.example.']
[[zone.match]]
pattern = '^ip-(\d+)\.local\.example$'
answer = ['A 10.1.0.$1']
[[zone]]
name = '.'
forward = ['10.0.0.1']
";

/// Octets changed, cut off, or put in.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, octet)| Edit::Set(at, octet)),
        1 => any::<Index>().prop_map(Edit::Cut),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, octets)| Edit::Insert(at, octets)),
    ];
    prop::collection::vec(edit, 1..6)
}

fn apply(mut octets: Vec<u8>, edits: Vec<Edit>) -> Vec<u8> {
    for edit in edits {
        if octets.is_empty() {
            break;
        }
        match edit {
            Edit::Set(at, octet) => {
                let at = at.index(octets.len());
                octets[at] = octet;
            }
            Edit::Cut(at) => octets.truncate(at.index(octets.len())),
            Edit::Insert(at, new) => {
                let at = at.index(octets.len());
                octets.splice(at..at, new);
            }
        }
    }
    octets
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_client_packet_makes_the_line_panic_or_lie(name in 0..6usize, edits in edits()) {
        let names = ["api.local.example. A", "x.apps.local.example. AAAA", "web.local.example. A", "ip-7.local.example. A",
            "www.example. A", "none.local.example. TXT"];
        let asked = apply(packet(names[name]), edits);
        play(|| async {
            let world = World::new(CONFIG);
            world.script(|_, question| match question {
                "www.example. A" => Act::data("www.example. 300 CNAME web.example.\nweb.example. 300 A 192.0.2.1"),
                // The stage can only build replies to names and types that read well.
                _ => Act::Unreachable,
            });
            // Cold and warm.
            for _ in 0..2 {
                if let Some(answer) = world.ask_worker(0, &asked).await {
                    assert_eq!(answer.octets[..2], asked[..2], "the ID");
                    assert!(answer.octets[2] & 0x80 != 0, "a response");
                    assert!(Message::from_vec(&answer.octets).is_ok(), "{:?}", answer.octets);
                }
            }
            assert_eq!(world.metric("zerohop_panics_total"), 0);
            assert_eq!(world.ask("api.local.example. A").await.data(), ["10.0.0.10"]);
        });
    }

    #[test]
    fn no_upstream_reply_makes_the_line_panic_or_pass_on_what_cannot_be_read(edits in edits()) {
        let records = "www.example. 300 CNAME web.example.\nweb.example. 300 A 192.0.2.1\nweb.example. 300 A 192.0.2.2\n--\n\
                       example. 300 SOA ns.example. host.example. 1 2 3 4 60\n--\nns.example. 300 A 192.0.2.3";
        let octets = apply(reply("www.example. A", ResponseCode::NoError, records), edits);
        play(|| async {
            let world = World::new(CONFIG);
            world.script(move |_, _| Act::Octets(octets.clone()));
            for _ in 0..2 {
                let answer = world.ask("www.example. A").await;
                assert!(Message::from_vec(&answer.octets).is_ok(), "{:?}", answer.octets);
            }
            assert_eq!(world.metric("zerohop_panics_total"), 0);
        });
    }
}

#[test]
fn a_panic_is_contained_counted_and_answered() {
    play(|| async {
        let world = World::new(CONFIG);
        world.break_tables(CONFIG);
        let answer = world.ask("api.local.example. A").await;
        assert_eq!((answer.rcode(), answer.extended_error()), (ResponseCode::ServFail, Some(0)));
        assert_eq!(answer.message().queries.len(), 1);
        assert_eq!(world.metric("zerohop_panics_total"), 1);
        world.reload(CONFIG);
        assert_eq!(world.ask("api.local.example. A").await.data(), ["10.0.0.10"]);
    });
}
