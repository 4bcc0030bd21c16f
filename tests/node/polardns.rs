//! PolarDNS, a server made for lying, as the upstream: what reaches a client is well-formed, ours,
//! and in time, whatever it says.
//!
//! It comes from PyPI, and its silence takes time: `ci/test --all` asks for it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::panic::catch_unwind;
use std::thread;
use std::time::Duration;

use RecordType::{A, AAAA, CNAME, HTTPS, MX, NS, SRV, SVCB, TXT};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::client::{Ask, Reply, ask, receive, socket};
use super::harness::Zerohop;
use super::polardns_server::PolarDns;
use super::recorder::Recorder;
use super::wait::now;

/// hickory has no name for it.
const DNAME: RecordType = RecordType::Unknown(39);
/// The zone that PolarDNS answers for.
const ZONE: &str = "yourdomain.com.";
/// The budget for one question, and a little for a loaded machine.
const LATEST: Duration = Duration::from_millis(4800);
/// Questions under way at once.
const CLIENTS: usize = 16;

/// Features (see the catalogue of PolarDNS), by the type that they are asked with.
const FEATURES: &[(RecordType, &str)] = &[
    (A, "a ac0a80001 ac0a80001.10 always.10 self count.always1 wild1.foo.bar size size.256 size.1000 nsgluetest0.sub"),
    (A, "alias.5 cnalias.5 chain100 cnchain100 cnloop.5.5 loop.5 inja123 inja123.3rp inja123.3rp.rev inja123.rpq"),
    (A, "afuzz1.0 afuzz1.255 afuzz2.10 afuzz2.256 badcompress1.0 badcompress1.3 badcompress1.12 badcompress1.100"),
    (A, "badcompress2.0 badcompress2.3 badcompress2.12 badcompress2.100 badcompressfwptr1 badcompressfwptr2"),
    (A, "badcompressloop1 badcompressloop2 badcompressloop3 badcompressloop4 badcompressloop5 badcompressmid1"),
    (
        A,
        "empty2 empty2.100 empty3.100 empty4.100 empty5 empty5.100 empty6 empty7 always.cut1 always.cut16 always.cut30",
    ),
    (A, "always.cut4.add4.0xff always.add10 always.add500.255 always.anrr0 always.anrr2 always.anrr100 always.aurr1"),
    (A, "always.aurr100 always.adrr1 always.adrr100 always.flgs0x8403 always.flgs33795 always.flgs0xffff always.flgsr"),
    (
        A,
        "always.rc1 always.rc2 always.rc3 always.rc4 always.rc5 always.rc6 always.rc9 always.rc15 always.noq always.nc",
    ),
    (
        A,
        "always.fc size.300.nc size.300.fc always.tc size.1000.tc always.ttl0 always.ttl2147483648 always.ttl4294967295",
    ),
    (A, "always.slp1000 always.tc.len0 always.tc.len20 always.tc.len45 always.tc.len100 always.10.cnk10.slp20.tc"),
    (A, "always.tc.cut16 always.tc.cut16.rl always.tc.add10.rl always.tc.anrr9 always.tc.flgs0x8600 rrfz rrfz.b1"),
    (A, "rrfz.l3.d3 rrfz.l4.d5 rrfz.2.l4.d5 alias.5.nfz0 alias.5.nfz0.s3.m0.2 alias.5.nfz1 alias.5.nfz2 alias.5.nfz3"),
    (A, "alias.5.nfz0.s3.m1 alias.5.nfz0.s3.m2 alias.5.nfz0.s3.m3 alias.5.nfz0.s3.m4 alias.5.nfz0.s3.m5 alias.5.nfz7"),
    (A, "alias.5.nfz0.s3.m6 alias.5.nfz0.s3.m7 alias.5.nfz0.s3.m8 alias.5.nfz0.s3.m9.3.0 alias.5.nfz9 alias.5.nfz15"),
    (AAAA, "always size.256 alias.5 injaaaa123 injaaaa123.3rp rrfz afuzz1.7"),
    (CNAME, "alias.5 cnalias.5 injcname123 injcname123.3rp.rev badcompress2.5 rrfz alias.2.nfz0.s3.m2"),
    (DNAME, "alias.5 dnalias.5 dnchain100 dnloop.5.5 injdname123 injdname123.3rp"),
    (HTTPS, "alias.5 htalias.5 htchain100 htloop.5.5 htalias.5.nfz0.s3.m2 htalias.5.cut7"),
    (SVCB, "alias.5 svalias.5 svchain100 svloop.5.5 svalias.5.nfz0.s3.m3 svalias.5.add7.255"),
    (MX, "alias.5 mxalias.5 mxchain100 mxloop.5.5 injmx123 injmx123.3rp mxalias.5.nfz0.s3.m4"),
    (NS, "alias.5 nsalias.5 nschain100 nsloop.5.5 injns123 injns123.3rp"),
    (SRV, "sralias.5 _http._tcp.srchain100 srloop.5.5 sralias.5.nfz0.s3.m5"),
    (TXT, "bigtxt.10.20 bigtxt.255.255 bigbintxt.10.20 bigbintxt.255.1 manytxt.10.30 manytxt.10.300 manybintxt.10.300"),
    (TXT, "spfalias1.5 spfalias2.11 spfchain100 spfloop.5.5 self rrfz rrfz.l3.d3 bigtxt.10.20.cut7 bigtxt.9.9.add9.7"),
];

/// Features that say nothing that could be taken for a reply.
const SILENT: &str = "timeout always.newid always.flgs0x0100 always.qurr0 always.qurr2 always.qurr3 always.noq.nc.qurr0 \
                      always.slp6000 queryback1 queryback2 empty1 close always.cut100";

/// Names that PolarDNS tries to plant something under.
const VICTIMS: [&str; 5] = [
    "injected.yourdomain.com.",
    "injected123.yourdomain.com.",
    "injected.a3rdparty.net.",
    "injected123.a3rdparty.net.",
    "a3rdparty.net.",
];

#[test]
#[ignore = "from PyPI, and long: run by ci/test --all"]
fn whatever_polardns_says_clients_hear_well_formed_answers_in_time() {
    let Some(polardns) = PolarDns::start() else { return };
    let elsewhere = Recorder::answering([192, 0, 2, 1]);
    let mut zerohop = Zerohop::start(&format!(
        "[[zone]]\nname = \"own.example\"\nrecords = [\"hit A 10.0.0.1\"]\n[[zone]]\nname = \"{ZONE}\"\n\
         forward = [\"{}\"]\n[[zone]]\nname = \".\"\nforward = [\"{}\"]",
        polardns.address, elsewhere.address
    ));
    let features = FEATURES.iter().flat_map(|(rtype, names)| names.split(' ').map(|name| (*rtype, name, false)));
    let questions: Vec<_> = features.chain(SILENT.split_whitespace().map(|name| (A, name, true))).collect();
    assert_eq!(questions.iter().collect::<HashSet<_>>().len(), questions.len(), "a feature is listed twice");
    let before = always(zerohop.address, "before");
    let failed: Vec<String> = thread::scope(|scope| {
        let client = |number| {
            let mine = questions.iter().skip(number).step_by(CLIENTS);
            let address = zerohop.address;
            scope.spawn(move || {
                let fails = |&(rtype, name, is_silent): &(RecordType, &str, bool)| {
                    catch_unwind(|| check(address, &format!("{name}.{ZONE}"), rtype, is_silent)).is_err()
                };
                mine.filter(|question| fails(question)).map(|question| format!("{question:?}")).collect::<Vec<_>>()
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "{} of {}: {failed:#?}", failed.len(), questions.len());

    for victim in VICTIMS {
        for rtype in [A, AAAA, CNAME, MX, NS] {
            is_not_planted(zerohop.address, victim, rtype);
        }
    }
    assert_eq!(ask(zerohop.address, "injected123.a3rdparty.net.", A).data(A), ["192.0.2.1"]);
    assert_eq!(ask(zerohop.address, "hit.own.example.", A).data(A), ["10.0.0.1"]);
    assert_eq!(always(zerohop.address, "after"), before);
    assert_eq!(zerohop.metrics().sum("zerohop_panics_total", &[]), 0);
    assert!(zerohop.process.ended().is_none());
}

/// A name of PolarDNS that resolves as it should.
fn always(server: SocketAddr, when: &str) -> Vec<String> {
    let data = ask(server, &format!("always.{when}.{ZONE}"), A).data(A);
    assert_eq!(data.len(), 1, "{when}");
    data
}

/// One question over UDP, and over TCP if the reply says so.
fn check(server: SocketAddr, name: &str, rtype: RecordType, is_silent: bool) {
    let asked = Ask::new(name, rtype).edns(1232);
    let began = now();
    let mut reply = asked.udp(server);
    if reply.truncated() {
        check_reply(name, &reply);
        reply = asked.tcp(server);
        assert!(!reply.truncated(), "{name} {rtype}: TC over TCP");
    }
    let elapsed = began.elapsed();
    assert!(elapsed <= LATEST, "{name} {rtype}: {elapsed:?}");
    check_reply(name, &reply);
    if is_silent {
        // The option is the last thing in the message: EXTENDED-DNS-ERROR, two octets.
        let option = &reply.octets[reply.octets.len() - 6..];
        assert_eq!(reply.rcode(), ResponseCode::ServFail, "{name} {rtype}");
        assert!(matches!(option, [0, 15, 0, 2, 0, 22 | 23]), "{name} {rtype}: {option:?}");
    }
}

/// Strictly read, and nothing in it but the chain from the name that was asked, and its own zone.
fn check_reply(name: &str, reply: &Reply) {
    let mut decoder = BinDecoder::new(&reply.octets);
    Message::read(&mut decoder).unwrap();
    assert!(decoder.is_empty(), "{name}: octets behind the message");
    let (mut owner, zone) = (Name::from_ascii(name).unwrap(), Name::from_ascii(ZONE).unwrap());
    for record in &reply.message.answers {
        assert!(record.ttl <= 86_400, "{name}: {record}");
        // A DNAME stands before the CNAME that was made from it.
        let is_dname = record.record_type() == DNAME && record.name.zone_of(&owner);
        assert!(record.name == owner || is_dname, "{name}: foreign: {record}");
        if let RData::CNAME(target) = &record.data {
            owner = target.0.clone();
        }
    }
    for record in reply.message.authorities.iter().chain(&reply.message.additionals) {
        assert!(zone.zone_of(&record.name), "{name}: foreign: {record}");
        assert!(record.ttl <= 86_400, "{name}: {record}");
    }
}

/// Without RD only what is known is told: nothing.
fn is_not_planted(server: SocketAddr, victim: &str, rtype: RecordType) {
    let mut octets = Ask::new(victim, rtype).octets();
    octets[2] &= !1;
    let socket = socket();
    socket.send_to(&octets, server).unwrap();
    let reply = Reply::new(receive(&socket));
    assert_eq!(reply.rcode(), ResponseCode::Refused, "{victim} {rtype}: {:?}", reply.message);
    assert!(reply.message.answers.is_empty(), "{victim} {rtype}");
}
