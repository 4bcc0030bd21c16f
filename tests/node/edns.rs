//! What goes out in the OPT record of a question, and what becomes of it where nobody knows EDNS.

use std::sync::{Arc, Mutex};

use hickory_proto::op::{Edns, ResponseCode};
use hickory_proto::rr::RecordType::A;

use super::client::{Ask, COOKIE};
use super::harness::Zerohop;
use super::recorder::Recorder;

/// EDNS option Client Subnet (RFC 7871).
const CLIENT_SUBNET: u16 = 8;
/// 192.0.2.0/24.
const SUBNET: [u8; 7] = [0, 1, 24, 0, 192, 0, 2];

fn forwarding_to(upstream: &Recorder) -> Zerohop {
    Zerohop::start(&upstream.root_zone())
}

/// The OPT record of each question that an upstream got.
type Seen = Arc<Mutex<Vec<Option<Edns>>>>;

#[test]
fn an_upstream_sees_our_own_opt_record_and_no_option_of_the_client() {
    let seen = Seen::default();
    let heard = Arc::clone(&seen);
    let upstream = Recorder::scripted(move |asked| {
        heard.lock().unwrap().push(asked.query.edns.clone());
        asked.answer_a([192, 0, 2, 1], 300);
    });
    let zerohop = forwarding_to(&upstream);
    let from = Ask::new("www.example.", A).edns(4096).option(CLIENT_SUBNET, &SUBNET).cookie();
    for reply in [from.udp(zerohop.address), from.tcp(zerohop.address)] {
        assert_eq!(reply.data(A), ["192.0.2.1"]);
        let opt = reply.message.edns.as_ref().unwrap();
        for option in [CLIENT_SUBNET, COOKIE] {
            assert!(opt.option(option.into()).is_none(), "{option}");
        }
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    let opt = seen[0].as_ref().unwrap();
    assert_eq!((opt.max_payload(), opt.version(), opt.options().as_ref().len()), (1232, 0, 0));
}

#[test]
fn a_server_without_edns_is_asked_without_a_dnssec_question_too() {
    let seen = Seen::default();
    let heard = Arc::clone(&seen);
    let upstream = Recorder::scripted(move |asked| {
        heard.lock().unwrap().push(asked.query.edns.clone());
        if asked.query.edns.is_some() {
            let mut reply = asked.reply();
            reply.metadata.response_code = ResponseCode::FormErr;
            asked.send(&reply);
        } else {
            asked.answer_a([192, 0, 2, 1], 300);
        }
    });
    let zerohop = forwarding_to(&upstream);
    for (name, dnssec) in [("a.example.", false), ("b.example.", true), ("c.example.", false)] {
        let question = Ask::new(name, A).edns(1232);
        let reply = if dnssec { question.dnssec() } else { question }.udp(zerohop.address);
        assert_eq!((reply.rcode(), reply.data(A)), (ResponseCode::NoError, vec!["192.0.2.1".to_owned()]), "{name}");
        assert!(reply.message.edns.is_some(), "to us the client speaks EDNS all the same");
    }
    let with_opt: Vec<bool> = seen.lock().unwrap().iter().map(Option::is_some).collect();
    assert_eq!(with_opt, [true, false, false, false], "one attempt with EDNS, remembered");
}
