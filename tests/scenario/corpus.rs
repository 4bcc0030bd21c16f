//! Every packet of `tests/malformed`, run through the line: what its file expects happens, and
//! nothing else.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::Record;
use tokio::time::Instant;
use zerohop::dns::message::WireName;
use zerohop::dns::query::write_upstream_query;
use zerohop::dns::{Name, Protocol, Question, RecordType};

use crate::corpus_file::{Malformed, read_all};
use crate::world::{Act, Answer, ID, World, millis, play, reply};

/// Fewer files than this means that some are not found.
const LEAST_FILES: usize = 200;
/// One local zone, one that two servers are asked for, and a third server for all that is foreign.
const CONFIG: &str = r"
[[upstream]]
name = 'two'
servers = ['10.0.0.1', '10.0.0.2']
[[zone]]
name = 'local.example'
records = ['api A 10.0.0.10']
[[zone]]
name = 'example.com'
forward = ['two']
[[zone]]
name = '.'
forward = ['10.0.0.3']
";
/// Names that packets of the corpus try to plant something under.
const VICTIMS: [&str; 5] = ["victim.example.com", "victim.example.net", "example.com", "ns.example.com", "example.net"];
const TYPES: [RecordType; 7] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::NS,
    RecordType::CNAME,
    RecordType::SOA,
    RecordType::MX,
    RecordType::DNAME,
];

#[test]
fn the_corpus_is_found() {
    let count = read_all("query").len() + read_all("reply").len();
    assert!(count >= LEAST_FILES, "{count} files");
    for directory in ["query", "reply"] {
        let mut packets = BTreeSet::new();
        for file in read_all(directory) {
            assert!(packets.insert((file.asked, file.octets)), "{}: the same as another", file.name);
        }
    }
}

#[test]
fn every_malformed_query_gets_what_its_file_expects_and_the_next_client_its_answer() {
    try_all("query", |file| {
        play(|| async {
            let world = World::new(CONFIG);
            for protocol in [Protocol::Udp, Protocol::Tcp] {
                let reply = world.ask_over(protocol, 0, &file.octets).await;
                check_reaction(file, reply.as_ref());
                assert_eq!(world.asked_count(), 0, "{}: an upstream was asked", file.name);
                assert_eq!(world.ask("api.local.example. A").await.data(), ["10.0.0.10"], "{}", file.name);
            }
            assert_eq!(world.metric("zerohop_panics_total"), 0);
        });
    });
}

/// Tries every file, so that one run tells of all that are wrong.
fn try_all(directory: &str, test: impl Fn(&Malformed)) {
    let mut files = read_all(directory);
    files.retain(|file| catch_unwind(AssertUnwindSafe(|| test(file))).is_err());
    let failed: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    assert!(failed.is_empty(), "{}: {failed:#?}", failed.len());
}

fn check_reaction(file: &Malformed, reply: Option<&Answer>) {
    let name = &file.name;
    let expected = match file.expect.as_str() {
        "no reply" => return assert!(reply.is_none(), "{name}: {:02x?}", reply.map(|reply| &reply.octets)),
        "answered" => ResponseCode::NoError,
        "FORMERR" => ResponseCode::FormErr,
        "NOTIMP" => ResponseCode::NotImp,
        "REFUSED" => ResponseCode::Refused,
        "BADVERS" => ResponseCode::BADVERS,
        other => panic!("{name}: nobody knows what `expect: {other}` is"),
    };
    let reply = reply.unwrap_or_else(|| panic!("{name}: no reply"));
    assert_eq!(u16::from(reply.rcode()), u16::from(expected), "{name}");
    assert_eq!(reply.octets[..2], file.octets[..2], "{name}: the ID");
    assert_eq!(reply.octets[2] & 0xf8, (file.octets[2] | 0x80) & 0xf8, "{name}: QR and opcode");
    let data = if expected == ResponseCode::NoError { vec!["10.0.0.10"] } else { Vec::new() };
    assert_eq!(reply.data(), data, "{name}");
}

#[test]
fn every_malformed_reply_gets_what_its_file_expects_and_plants_nothing() {
    try_all("reply", |file| {
        let (expect, is_kept) = match file.expect.strip_suffix(", not kept") {
            Some(expect) => (expect, false),
            None => (file.expect.as_str(), true),
        };
        match expect {
            "dropped (waits on)" => waits_on(file),
            "answered" => is_answered(file, ResponseCode::NoError, is_kept),
            "NODATA" => {
                assert!(file.records[0].is_empty(), "{}: NODATA with data", file.name);
                is_answered(file, ResponseCode::NoError, is_kept);
            }
            "NXDOMAIN" => is_answered(file, ResponseCode::NXDomain, is_kept),
            "asked over TCP, else next server" => {
                play(|| async { goes_on_over_tcp(file).await });
                moves_on(file, ResponseCode::ServFail);
            }
            "next server, else SERVFAIL" => moves_on(file, ResponseCode::ServFail),
            "next server, else FORMERR" => moves_on(file, ResponseCode::FormErr),
            "next server, else NOTIMP" => moves_on(file, ResponseCode::NotImp),
            "next server, else REFUSED" => moves_on(file, ResponseCode::Refused),
            other => panic!("{}: nobody knows what `expect: {other}` is", file.name),
        }
    });
}

fn is_first(server: SocketAddr) -> bool {
    server.ip().to_string() == "10.0.0.1"
}

/// A denial whose SOA says which server it is of.
fn good(file: &Malformed, server: u32) -> Vec<u8> {
    let soa = format!("--\nexample.com. 60 SOA good. good. {server} 1 1 1 60");
    let mut octets = reply(&file.asked, ResponseCode::NoError, &soa);
    octets[..2].copy_from_slice(&ID.to_be_bytes());
    octets
}

fn is_good(file: &Malformed, answer: &Answer, server: u32) {
    let soa = format!("example.com. 60 IN SOA good. good. {server} 1 1 1 60");
    assert_eq!(texts(&answer.message()), [vec![], vec![soa], vec![]], "{}", file.name);
}

fn waits_on(file: &Malformed) {
    play(|| async {
        let world = World::new(CONFIG);
        let packets = vec![file.octets.clone(), good(file, 1)];
        world.script(move |_, _| Act::Packets(packets.clone()));
        is_good(file, &world.ask(&file.asked).await, 1);
        assert_eq!(world.asked_count(), 1, "{}", file.name);
        plants_nothing(file, &world).await;
    });
}

async fn goes_on_over_tcp(file: &Malformed) {
    let world = World::new(CONFIG);
    let packets = vec![file.octets.clone(), good(file, 1)];
    world.script(move |_, _| Act::Packets(packets.clone()));
    let began = Instant::now();
    is_good(file, &world.ask(&file.asked).await, 1);
    assert_eq!((world.asked_count(), began.elapsed()), (1, millis(100)), "{}", file.name);
}

/// The next server is asked at once; when all reply so, that is what the client hears of.
fn moves_on(file: &Malformed, rcode: ResponseCode) {
    play(|| async {
        let world = World::new(CONFIG);
        // The second time it comes over TCP, if the first time it was truncated.
        let (packets, next) = (vec![file.octets.clone(); 2], vec![good(file, 2)]);
        let script = packets.clone();
        world.script(move |server, _| Act::Packets(if is_first(server) { script.clone() } else { next.clone() }));
        let began = Instant::now();
        is_good(file, &world.ask(&file.asked).await, 2);
        assert_eq!(world.asked_anew(), 2, "{}", file.name);
        assert!(began.elapsed() <= millis(100), "{}: {:?}", file.name, began.elapsed());
        plants_nothing(file, &world).await;

        let world = World::new(CONFIG);
        world.script(move |_, _| Act::Packets(packets.clone()));
        let answer = world.ask(&file.asked).await;
        assert_eq!((answer.rcode(), world.asked_anew()), (rcode, 2), "{}", file.name);
        assert!(answer.lines().is_empty(), "{}", file.name);
        plants_nothing(file, &world).await;
    });
}

fn is_answered(file: &Malformed, rcode: ResponseCode, is_kept: bool) {
    play(|| async {
        let world = World::new(CONFIG);
        let packets = vec![file.octets.clone()];
        world.script(move |_, _| Act::Packets(packets.clone()));
        for asked in [1, usize::from(!is_kept)] {
            let answer = world.ask(&file.asked).await;
            assert_eq!(answer.rcode(), rcode, "{}", file.name);
            let mut sent = texts(&answer.message());
            // Addresses are rotated.
            sent[0].sort_by_key(|line| file.records[0].iter().position(|expected| expected == line));
            assert_eq!(sent, file.records, "{}", file.name);
            assert_eq!(world.asked_count(), asked, "{}: questions to upstreams", file.name);
        }
        plants_nothing(file, &world).await;
    });
}

/// Answer, authority and additional section, a line a record.
fn texts(message: &Message) -> [Vec<String>; 3] {
    let line = |record: &Record| record.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    [&message.answers, &message.authorities, &message.additionals].map(|records| records.iter().map(line).collect())
}

/// Whatever name can be read anywhere in the packet: only for the question itself may anything
/// have been learned.
async fn plants_nothing(file: &Malformed, world: &World) {
    let readable = (0..file.octets.len()).filter_map(|at| WireName::read(&file.octets, at).ok());
    let mut names: BTreeSet<Vec<u8>> = readable.map(|(name, _)| name.wire().to_ascii_lowercase()).collect();
    names.extend(VICTIMS.iter().map(|victim| Name::from_text(victim, &Name::root()).unwrap().wire().to_vec()));
    world.script(|_, _| Act::Unreachable);
    for name in names {
        for rtype in TYPES {
            let question = Question::new(&name, rtype, false, false).unwrap();
            if format!("{question:?}").eq_ignore_ascii_case(&file.asked) || name.ends_with(b"\x05local\x07example\x00")
            {
                continue;
            }
            let answer = world.ask_worker(0, &write_upstream_query(&question, ID, 1232)).await.unwrap();
            assert_eq!(answer.rcode(), ResponseCode::ServFail, "{}: {question:?} was planted", file.name);
            assert!(world.asked_count() > 0, "{}: {question:?} was planted", file.name);
        }
    }
    assert_eq!(world.metric("zerohop_panics_total"), 0, "{}", file.name);
}
