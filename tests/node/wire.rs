//! Small things in the octets that stub clients trip over.

use std::collections::BTreeSet;
use std::sync::mpsc::channel;

use hickory_proto::rr::RecordType::{A, AAAA, SRV};

use super::client::{Ask, Reply, receive, socket};
use super::harness::Zerohop;
use super::recorder::Recorder;
use super::truth::{all_outcomes, every_outcome, forwarding_to};

/// EDNS options CLIENT-SUBNET (RFC 7871) and TCP-KEEPALIVE (RFC 7828).
const CLIENT_SUBNET: u16 = 8;
const KEEPALIVE: u16 = 11;

/// Without RA, an answer without records reads as a referral that leads nowhere.
#[test]
fn every_reply_says_that_recursion_is_available() {
    let (_upstream, zerohop) = all_outcomes();
    for _hot in [false, true] {
        for (question, _) in every_outcome() {
            for reply in [question.udp(zerohop.address), question.tcp(zerohop.address)] {
                assert!(reply.message.metadata.recursion_available, "{:?}", reply.message);
            }
        }
    }
}

/// glibc and musl ask for both families back to back, and take neither when one does not come.
#[test]
fn neither_of_a_and_aaaa_on_one_socket_holds_the_other_up() {
    let (upstream, held) = Recorder::holding(|asked| {
        let is_a = asked.query.queries[0].query_type() == A;
        asked.name().starts_with("slow-a.") == is_a
    });
    let zerohop = forwarding_to(&upstream);
    for (label, slow, quick) in [("slow-a", A, AAAA), ("slow-aaaa", AAAA, A)] {
        for slow_first in [true, false] {
            let name = format!("{label}.{slow_first}.example.");
            let (slow, quick) = (Ask::new(&name, slow), Ask::new(&name, quick));
            let socket = socket();
            let both = if slow_first { [&slow, &quick] } else { [&quick, &slow] };
            let send = || {
                for ask in both {
                    socket.send_to(&ask.octets(), zerohop.address).unwrap();
                }
            };
            send();
            quick.check(receive(&socket));
            held.recv().unwrap().answer_a([192, 0, 2, 2], 300);
            slow.check(receive(&socket));
            send();
            let ids = |octets: &[u8]| [octets[0], octets[1]];
            let hot: BTreeSet<_> = [receive(&socket), receive(&socket)].iter().map(|reply| ids(reply)).collect();
            assert_eq!(hot, both.iter().map(|ask| ids(&ask.octets())).collect());
        }
    }
}

#[test]
fn a_clients_options_go_no_further() {
    let (tell, told) = channel();
    let upstream = Recorder::scripted(move |asked| {
        tell.send(asked.query.edns.clone()).unwrap();
        asked.answer_a([192, 0, 2, 1], 300);
    });
    let zerohop = forwarding_to(&upstream);
    let plain = Ask::new("a.example.", A);
    let laden =
        Ask::new("b.example.", A).cookie().option(CLIENT_SUBNET, &[0, 1, 24, 0, 10, 1, 2]).option(KEEPALIVE, &[]);
    for ask in [plain, laden] {
        ask.udp(zerohop.address);
        let edns = told.recv().unwrap().expect("our own OPT");
        assert_eq!((edns.version(), edns.max_payload()), (0, 1232));
        assert!(edns.options().as_ref().is_empty(), "{edns:?}");
    }
}

/// RFC 2782: clients of some age do not read a pointer there.
#[test]
fn the_target_of_srv_is_never_compressed() {
    let upstream = Recorder::scripted(|asked| {
        let mut octets = asked.reply().to_vec().unwrap();
        octets[7] = 1;
        // Owner, type, class, TTL and length; then the target with a pointer to `fwd.example.`.
        octets.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 1, 44, 0, 13, 0, 1, 0, 2, 0, 80]);
        octets.extend(b"\x04four\xc0\x14");
        asked.send_octets(&octets);
    });
    let zerohop = Zerohop::start(&format!(
        "[[zone]]\nname = 'own.example'\nrecords = ['four A 10.0.0.4', '_s._tcp SRV 1 2 80 four']\n\
         [[zone]]\nname = 'fwd.example'\nforward = ['{}']",
        upstream.address
    ));
    for zone in ["own", "fwd"] {
        let target = [b"\x00\x01\x00\x02\x00\x50\x04four\x03", zone.as_bytes(), b"\x07example\x00"].concat();
        let question = Ask::new(&format!("_s._tcp.{zone}.example."), SRV);
        for _hot in [false, true] {
            let with_opt: Reply = question.clone().edns(1232).udp(zerohop.address);
            for reply in [question.udp(zerohop.address), question.tcp(zerohop.address), with_opt] {
                assert!(reply.octets.windows(target.len()).any(|octets| octets == target), "{:02x?}", reply.octets);
                assert_eq!(reply.message.answers.len(), 1, "OPT is in no section but the last");
            }
        }
    }
}
