//! What a client is told is true: TTLs, spelling, EDNS, and nothing from a reply that cannot be
//! trusted.

use RecordType::{A, AAAA, ANY, AXFR, TXT};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, Name, RecordType};

use super::client::{Ask, COOKIE, Reply, ask};
use super::harness::Zerohop;
use super::recorder::{Asked, Recorder};
use super::wait::until;

/// Everything goes to this upstream.
pub(super) fn forwarding_to(upstream: &Recorder) -> Zerohop {
    let address = upstream.address;
    Zerohop::start(&format!("[[zone]]\nname = \".\"\nforward = [\"{address}\"]\nmin-ttl = 60\nnegative-max-ttl = 50"))
}

#[test]
fn ttls_count_down_on_the_wire() {
    let upstream = Recorder::answering([192, 0, 2, 1]);
    let zerohop = forwarding_to(&upstream);
    assert_eq!(ask(zerohop.address, "a.example.", A).ttl(), 300);
    let later = until("a second to pass", || {
        let ttl = ask(zerohop.address, "a.example.", A).ttl();
        (ttl != 300).then_some(ttl)
    });
    assert_eq!(later, 299);
    assert_eq!(upstream.packets(), 1);
}

#[test]
fn a_denial_holds_for_the_least_of_soa_ttl_minimum_and_cap() {
    let upstream = Recorder::scripted(|asked| match asked.name().as_str() {
        "soa.example." => asked.deny(ResponseCode::NXDomain, 10, 40),
        "minimum.example." => asked.deny(ResponseCode::NXDomain, 40, 20),
        "nodata.example." => asked.deny(ResponseCode::NoError, 40, 30),
        _ => asked.deny(ResponseCode::NXDomain, 900, 900),
    });
    let zerohop = forwarding_to(&upstream);
    for (name, rcode, ttl) in [
        ("soa.example.", ResponseCode::NXDomain, 10),
        ("minimum.example.", ResponseCode::NXDomain, 20),
        ("nodata.example.", ResponseCode::NoError, 30),
        ("cap.example.", ResponseCode::NXDomain, 50),
    ] {
        let reply = ask(zerohop.address, name, A);
        assert_eq!((reply.rcode(), reply.ttl()), (rcode, ttl), "{name}");
        let hot = ask(zerohop.address, name, A);
        assert_eq!(hot.rcode(), rcode, "{name}");
        assert!([ttl, ttl - 1].contains(&hot.ttl()), "{name} {}", hot.ttl());
    }
    assert_eq!(upstream.packets(), 4);
}

#[test]
fn ttl_0_is_never_cached() {
    let upstream = Recorder::scripted(|asked| asked.answer_a([192, 0, 2, 1], 0));
    let zerohop = forwarding_to(&upstream);
    for packets in 1..=3 {
        assert_eq!(ask(zerohop.address, "a.example.", A).ttl(), 0, "min-ttl does not raise it");
        assert_eq!(upstream.packets(), packets);
    }
}

/// One question for each way in which an answer can come about, with what it comes to.
pub(super) fn every_outcome() -> Vec<(Ask, ResponseCode)> {
    use ResponseCode::{NXDomain, NoError, NotImp, Refused, ServFail};
    let table = [
        ("hElLo.OwN.Example.", A, NoError),
        ("hello.own.EXAMPLE.", AAAA, NoError),
        ("NoBody.own.example.", A, NXDomain),
        ("x.WILD.own.example.", A, NoError),
        ("Host-7.own.example.", A, NoError),
        ("aLiAs.own.example.", A, NoError),
        ("hello.own.Example.", ANY, NoError),
        ("DaTa.fwd.example.", A, NoError),
        ("NoData.fwd.example.", AAAA, NoError),
        ("nXdomain.fwd.example.", A, NXDomain),
        ("servFail.fwd.example.", A, ServFail),
        ("reFused.fwd.example.", A, Refused),
        ("fwd.Example.", AXFR, Refused),
        ("Nobody.Else.", A, Refused),
    ];
    let plain = table.map(|(name, rtype, rcode)| (Ask::new(name, rtype), rcode));
    let chaos = (Ask::new("Version.Bind.", TXT).class(DNSClass::CH), Refused);
    let status = (Ask::new("hello.Own.example.", A).opcode(OpCode::Status), NotImp);
    plain.into_iter().chain([chaos, status]).collect()
}

/// A server with all of those outcomes, and an upstream that adds options of its own.
pub(super) fn all_outcomes() -> (Recorder, Zerohop) {
    let upstream = Recorder::scripted(|asked| {
        let mut reply = asked.reply();
        match asked.name().as_str() {
            "nodata.fwd.example." => return asked.deny(ResponseCode::NoError, 60, 60),
            "nxdomain.fwd.example." => return asked.deny(ResponseCode::NXDomain, 60, 60),
            "servfail.fwd.example." => reply.metadata.response_code = ResponseCode::ServFail,
            "refused.fwd.example." => reply.metadata.response_code = ResponseCode::Refused,
            _ => drop(reply.add_answer(asked.a([192, 0, 2, 1], 300))),
        }
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Unknown(COOKIE, vec![7; 16]));
        reply.set_edns(edns);
        asked.send(&reply);
    });
    let zerohop = Zerohop::start(&format!(
        r#"
        [[zone]]
        name = "own.example"
        records = ["hello A 10.0.0.1", "*.wild A 10.0.0.2", "alias CNAME data.fwd.example."]
        [[zone.match]]
        pattern = '^host-(\d+)\.own\.example$'
        answer = ["A 10.0.0.$1"]
        [[zone]]
        name = "fwd.example"
        forward = ["{}"]
        "#,
        upstream.address
    ));
    (upstream, zerohop)
}

#[test]
fn the_question_comes_back_as_it_was_spelled() {
    let (_upstream, zerohop) = all_outcomes();
    for _hot in [false, true] {
        for (question, rcode) in every_outcome() {
            // `check`, inside, compares the question octet for octet.
            for reply in [question.udp(zerohop.address), question.tcp(zerohop.address)] {
                assert_eq!(reply.rcode(), rcode, "{:?}", reply.message.queries);
                let asked = reply.message.queries[0].name();
                let same = |name: &Name| name.to_lowercase() == asked.to_lowercase();
                let owners = reply.message.answers.iter().map(|record| &record.name).filter(|name| same(name));
                owners.for_each(|owner| assert!(owner.eq_case(asked), "{owner} for {asked}"));
            }
        }
    }
}

#[test]
fn opt_is_in_the_reply_exactly_when_it_is_in_the_query_and_options_are_not_relayed() {
    let (_upstream, zerohop) = all_outcomes();
    for _hot in [false, true] {
        for (question, rcode) in every_outcome() {
            let reply = question.udp(zerohop.address);
            assert!(reply.message.edns.is_none(), "{:?}", reply.message);
            for question in [question.clone().edns(4096), question.edns(512).cookie()] {
                for reply in [question.udp(zerohop.address), question.tcp(zerohop.address)] {
                    assert_eq!(reply.rcode(), rcode, "{:?}", reply.message);
                    let edns = reply.message.edns.as_ref().expect("OPT in the reply");
                    assert_eq!((edns.version(), edns.max_payload()), (0, 1232));
                    assert!(edns.option(EdnsCode::Cookie).is_none(), "{:?}", reply.message);
                }
            }
        }
    }
}

#[test]
fn of_a_truncated_reply_nothing_is_kept() {
    let upstream = Recorder::scripted(|asked| {
        let mut reply = asked.reply();
        reply.metadata.truncation = !asked.is_tcp();
        let addresses: &[u8] = if asked.is_tcp() { &[1, 2, 3] } else { &[9] };
        reply.add_answers(addresses.iter().map(|&last| asked.a([192, 0, 2, last], 300)));
        asked.send(&reply);
    });
    let zerohop = forwarding_to(&upstream);
    for _hot in [false, true] {
        let reply = ask(zerohop.address, "a.example.", A);
        assert_eq!((reply.data(A).len(), reply.truncated()), (3, false));
        assert!(!reply.data(A).contains(&"192.0.2.9".to_owned()));
    }
    assert_eq!(upstream.packets(), 2, "one over UDP, one over TCP, and then the cache");
}

#[test]
fn of_a_reply_to_another_question_nothing_is_kept() {
    let upstream = Recorder::scripted(|asked| {
        let wrong = |edit: fn(&mut Message)| {
            let mut reply = asked.reply();
            reply.add_answer(asked.a([192, 0, 2, 66], 300));
            edit(&mut reply);
            asked.send(&reply);
        };
        wrong(|reply| reply.metadata.id ^= 1);
        wrong(|reply| reply.metadata.message_type = MessageType::Query);
        wrong(|reply| reply.queries[0].name = Name::from_ascii("x.example.").unwrap());
        wrong(|reply| reply.queries[0].query_type = TXT);
        wrong(|reply| reply.queries[0].query_class = DNSClass::CH);
        wrong(|reply| reply.queries.clear());
        asked.answer_a([192, 0, 2, 1], 300);
    });
    let zerohop = forwarding_to(&upstream);
    for name in ["a.example.", "a.example.", "b.example."] {
        assert_eq!(ask(zerohop.address, name, A).data(A), ["192.0.2.1"]);
    }
    assert_eq!(upstream.packets(), 2);
}

#[test]
fn records_of_another_name_are_neither_passed_on_nor_kept() {
    let upstream = Recorder::scripted(|asked| {
        let mut reply = asked.reply();
        reply.add_answer(asked.a([192, 0, 2, 1], 300));
        if asked.name() == "a.example." {
            let mut planted = asked.a([192, 0, 2, 66], 300);
            planted.name = Name::from_ascii("bank.example.").unwrap();
            reply.add_answer(planted.clone());
            reply.add_authority(planted.clone());
            reply.add_additional(planted);
        }
        asked.send(&reply);
    });
    let zerohop = forwarding_to(&upstream);
    for name in ["a.example.", "a.example.", "bank.example."] {
        let reply = ask(zerohop.address, name, A);
        assert_eq!((reply.data(A), reply.message.all_sections().count()), (vec!["192.0.2.1".to_owned()], 1), "{name}");
    }
    assert_eq!(upstream.packets(), 2);
}

#[test]
fn a_malformed_reply_is_a_failure_that_is_soon_forgotten() {
    let mut first = true;
    let upstream = Recorder::scripted(move |asked: Asked| {
        if std::mem::take(&mut first) {
            let mut reply = asked.reply();
            reply.add_answer(asked.a([192, 0, 2, 66], 300));
            let octets = reply.to_vec().unwrap();
            return asked.send_octets(&octets[..octets.len() - 2]);
        }
        asked.answer_a([192, 0, 2, 1], 300);
    });
    let zerohop = forwarding_to(&upstream);
    assert_eq!(ask(zerohop.address, "a.example.", A).rcode(), ResponseCode::ServFail);
    let reply = until("a second try", || {
        let reply: Reply = ask(zerohop.address, "a.example.", A);
        (reply.rcode() != ResponseCode::ServFail).then_some(reply)
    });
    assert_eq!((reply.data(A), upstream.packets()), (vec!["192.0.2.1".to_owned()], 2));
}
