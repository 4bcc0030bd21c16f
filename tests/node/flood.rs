//! A flood of mutated and random packets: each gets what it deserves, and nobody else notices.
//!
//! 2,000 packets over UDP and as many over TCP; 20,000 with `ZEROHOP_LONG=1` in the environment.
//! They are the same in every run.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Shutdown, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use hickory_proto::rr::{DNSClass, RecordType};
use nix::sys::signal::Signal;

use super::client::{Ask, Reply, connect, framed, read_framed, receive, socket};
use super::harness::Zerohop;
use super::load;
use super::oracle::{BADVERS, FORMERR, NOTIMP, REFUSED, Verdict, verdict};
use super::recorder::Recorder;

const SEED: u64 = 0x5eed_0f20_000f_100d;
/// Packets that are under way at once: fewer than the kernel keeps for a socket.
const BATCH: usize = 50;
/// The ID of the hit at the end of each batch; the packets before it count up from 0.
const LAST: u16 = 0xffff;
const OWN: &str = "hit.own.example.";
const CACHED: &str = "hot.example.";

fn packets() -> usize {
    if std::env::var_os("ZEROHOP_LONG").is_some() { 20_000 } else { 2_000 }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): the same numbers everywhere and for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() >> 33).unwrap() % limit.max(1)
    }

    fn octet(&mut self) -> u8 {
        self.roll().to_be_bytes()[0]
    }

    fn octets(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.octet()).collect()
    }

    /// The next packet: one in eight of chance alone, else a good one with up to six changes.
    fn packet(&mut self, good: &[Vec<u8>]) -> Vec<u8> {
        if self.below(8) == 0 {
            return self.octets(600);
        }
        let mut packet = good[self.below(good.len())].clone();
        for _ in 0..self.below(7) {
            let at = self.below(packet.len());
            // Most of what is read as a number or a length stands at the front.
            let at = if self.below(2) == 0 { at } else { at.min(2 + self.below(30)) };
            match self.below(8) {
                0..=2 if !packet.is_empty() => packet[at] = self.octet(),
                3 | 4 if !packet.is_empty() => packet[at] ^= 1 << self.below(8),
                5 => packet.truncate(at),
                6 => drop(packet.splice(at..at, self.octets(20))),
                _ => packet.extend(self.octets(40)),
            }
        }
        packet
    }

    /// Packets that can be told apart, wherever there is room for an ID.
    fn batch(&mut self, good: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let numbered = |number: usize| {
            let mut packet = self.packet(good);
            if let Some(id) = packet.first_chunk_mut() {
                *id = u16::try_from(number).unwrap().to_be_bytes();
            }
            packet
        };
        (0..BATCH).map(numbered).collect()
    }
}

/// Well-formed packets of many kinds.
fn good() -> Vec<Vec<u8>> {
    let types = [RecordType::A, RecordType::AAAA, RecordType::TXT, RecordType::SOA, RecordType::ANY, RecordType::AXFR];
    let names = [OWN, CACHED, "nobody.own.example.", "a.very.deep.name.of.other.example.", "."];
    let asks = names.iter().flat_map(|name| types.map(|rtype| Ask::new(name, rtype)));
    let kinds = asks.flat_map(|ask| {
        [
            ask.clone(),
            ask.clone().edns(1232),
            ask.clone().cookie(),
            ask.clone().edns_version(1),
            ask.class(DNSClass::CH),
        ]
    });
    kinds.map(|ask| ask.octets()).collect()
}

fn start() -> (Recorder, Zerohop) {
    let upstream = Recorder::answering([192, 0, 2, 1]);
    let zerohop = Zerohop::start(&format!(
        "[[zone]]\nname = \"own.example\"\nrecords = [\"hit A 10.0.0.1\"]\n{}",
        upstream.root_zone()
    ));
    hits(&zerohop);
    (upstream, zerohop)
}

/// Whoever asks something sensible hears as if nothing were going on.
fn hits(zerohop: &Zerohop) {
    assert_eq!(Ask::new(OWN, RecordType::A).edns(1232).udp(zerohop.address).data(RecordType::A), ["10.0.0.1"]);
    assert_eq!(Ask::new(CACHED, RecordType::A).tcp(zerohop.address).data(RecordType::A), ["192.0.2.1"]);
}

/// The hit that ends a batch: what has to be turned away at once has been when it is answered.
fn last() -> Vec<u8> {
    let mut packet = Ask::new(OWN, RecordType::A).octets();
    packet[..2].copy_from_slice(&LAST.to_be_bytes());
    packet
}

/// Takes replies until every packet of the batch and the last hit has its own.
fn check(batch: &[Vec<u8>], limit: usize, mut next: impl FnMut() -> Vec<u8>) {
    let deserves_reply = |packet: &&Vec<u8>| verdict(packet) != Verdict::Silence;
    let ids = batch.iter().filter(deserves_reply).map(|packet| u16::from_be_bytes([packet[0], packet[1]]));
    let mut open: Vec<u16> = ids.chain([LAST]).collect();
    while !open.is_empty() {
        let reply = Reply::new(next());
        let id = reply.message.metadata.id;
        let at = open.iter().position(|open| *open == id);
        let packet = batch.get(usize::from(id));
        open.remove(at.unwrap_or_else(|| panic!("a reply too many, to {packet:02x?}: {:02x?}", reply.octets)));
        if let Some(packet) = packet {
            check_reply(packet, &reply, limit);
        }
    }
}

fn check_reply(packet: &[u8], reply: &Reply, limit: usize) {
    let (expected, rcode) = (verdict(packet), u16::from(reply.rcode()));
    let (asked, got) = (format!("{packet:02x?}"), &reply.octets);
    match expected {
        Verdict::Silence => panic!("no reply is due to {asked}: {got:02x?}"),
        Verdict::Code(code) => {
            assert_eq!(rcode, code, "{asked}: {got:02x?}");
            assert!(reply.message.answers.is_empty(), "{asked}: {got:02x?}");
        }
        Verdict::Answer => assert!(matches!(rcode, 0 | 2 | 3 | 5), "{asked}: {rcode}: {got:02x?}"),
    }
    assert_eq!(got[2] & 0x78, packet[2] & 0x78, "the opcode of {asked}: {got:02x?}");
    assert!(got.len() <= limit, "{asked}: {} octets", got.len());
    // Behind the header the question comes back as it was.
    let question = if got.len() > 12 { reply.question() } else { &[] };
    assert!(packet[12..].starts_with(question), "the question of {asked}: {got:02x?}");
}

/// Every packet was counted as what it is, and none did any harm.
fn check_end(mut zerohop: Zerohop, counted: &BTreeMap<&str, u64>) {
    hits(&zerohop);
    let metrics = zerohop.metrics();
    assert_eq!(metrics.sum("zerohop_panics_total", &[]), 0);
    for reason in ["no_query", "malformed", "edns_version"] {
        let count = counted.get(reason).copied().unwrap_or(0);
        assert!(count > 0, "the flood has no packets that are {reason}");
        assert_eq!(metrics.sum("zerohop_rejected_total", &[("reason", reason)]), count, "{reason}");
    }
    assert!(zerohop.process.ended().is_none());
    assert!(!zerohop.process.output().contains("panicked"), "{}", zerohop.process.output());
}

fn count(counted: &mut BTreeMap<&str, u64>, batch: &[Vec<u8>]) {
    for packet in batch {
        let reason = match verdict(packet) {
            Verdict::Silence => "no_query",
            FORMERR => "malformed",
            BADVERS => "edns_version",
            NOTIMP => "not_implemented",
            REFUSED => "refused",
            Verdict::Code(_) | Verdict::Answer => "answered",
        };
        *counted.entry(reason).or_default() += 1;
    }
}

#[test]
fn every_packet_of_a_flood_over_udp_gets_what_it_deserves() {
    let (_upstream, zerohop) = start();
    let (good, mut dice, mut counted) = (good(), Dice(SEED), BTreeMap::new());
    for _ in 0..packets() / BATCH {
        let batch = dice.batch(&good);
        count(&mut counted, &batch);
        let socket: UdpSocket = socket();
        for packet in batch.iter().chain([&last()]) {
            socket.send_to(packet, zerohop.address).unwrap();
        }
        check(&batch, 1232, || receive(&socket));
        hits(&zerohop);
    }
    check_end(zerohop, &counted);
}

#[test]
fn every_message_of_a_flood_over_tcp_gets_what_it_deserves() {
    let (_upstream, zerohop) = start();
    let (good, mut dice, mut counted) = (good(), Dice(!SEED), BTreeMap::new());
    for _ in 0..packets() / BATCH {
        let batch = dice.batch(&good);
        count(&mut counted, &batch);
        let mut stream = connect(zerohop.address);
        let segment: Vec<u8> = batch.iter().chain([&last()]).flat_map(|packet| framed(packet)).collect();
        stream.write_all(&segment).unwrap();
        check(&batch, 65_535, || read_framed(&mut stream).expect("the connection goes on"));
        // A length that is never kept: nothing to reply to, and nothing to wait for.
        let length = u16::try_from(1000 + dice.below(60_000)).unwrap();
        stream.write_all(&[&length.to_be_bytes()[..], &dice.octets(900)].concat()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(read_framed(&mut stream).is_none());
        hits(&zerohop);
    }
    check_end(zerohop, &counted);
}

/// Sent while nobody reads, so that batch after batch is full.
#[test]
fn questions_that_fill_every_batch_keep_no_reply_of_an_upstream_from_its_client() {
    let upstream = Recorder::answering([192, 0, 2, 1]);
    let zerohop = Zerohop::with_server("workers = 1", &[load::OWN, &upstream.root_zone()].concat());
    let (waiting, flooding, answered) = (socket(), socket(), AtomicUsize::new(0));
    flooding.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    zerohop.process.signal(Signal::SIGSTOP);
    let (miss, hit) = (Ask::new("www.example.", RecordType::A), Ask::new("a.own.example.", RecordType::A));
    waiting.send_to(&miss.octets(), zerohop.address).unwrap();
    for _ in 0..5000 {
        flooding.send_to(&hit.octets(), zerohop.address).unwrap();
    }
    let before = thread::scope(|scope| {
        scope.spawn(|| {
            while flooding.recv(&mut [0; 512]).is_ok() {
                answered.fetch_add(1, Relaxed);
            }
        });
        zerohop.process.signal(Signal::SIGCONT);
        miss.check(receive(&waiting));
        answered.load(Relaxed)
    });
    let all = answered.into_inner();
    // With the kernel's usual buffers, 270 of them are there.
    assert!(all > 200 && before < all / 2, "{before} of {all} were answered first");
}
