//! TCP as RFC 7766 has it, and an end to whoever holds a connection without using it.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use RecordType::A;
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{RData, Record, RecordType};

use super::client::{Ask, connect, framed, read_framed};
use super::harness::Zerohop;
use super::recorder::{Asked, Recorder};
use super::wait::{now, until};

/// Octets of the longest answer that is kept, to a client without EDNS: room is left for an OPT
/// record.
const LONGEST: usize = 65_535 - 11;

/// Names ending in `slow.example.` are held until they are received from the channel.
fn slow_and_fast() -> (Recorder, Receiver<Asked>) {
    Recorder::holding(|asked| asked.name().ends_with("slow.example."))
}

fn zerohop(server: &str, upstream: &Recorder) -> Zerohop {
    let zone = "[[zone]]\nname = \"own.example\"\nrecords = [\"a A 10.0.0.1\", \"b A 10.0.0.2\"]";
    Zerohop::with_server(&format!("workers = 2\n{server}"), &format!("{zone}\n{}", upstream.root_zone()))
}

fn own(name: &str) -> Ask {
    Ask::new(&format!("{name}.own.example."), A)
}

/// The reply that comes next must be the one to this question.
fn next_answers(stream: &mut TcpStream, question: &Ask, address: &str) {
    let reply = question.check(read_framed(stream).expect("a reply"));
    assert_eq!(reply.data(A), [address]);
}

#[test]
fn questions_in_one_segment_are_all_answered() {
    let zerohop = zerohop("", &Recorder::black_hole());
    let mut stream = connect(zerohop.address);
    let questions: Vec<Ask> = (0..50).map(|number| own(if number % 2 == 0 { "a" } else { "b" })).collect();
    let segment: Vec<u8> = questions.iter().flat_map(Ask::framed).collect();
    stream.write_all(&segment).unwrap();
    for (number, question) in questions.iter().enumerate() {
        next_answers(&mut stream, question, if number % 2 == 0 { "10.0.0.1" } else { "10.0.0.2" });
    }
}

#[test]
fn a_message_may_come_in_any_pieces() {
    let zerohop = zerohop("", &Recorder::black_hole());
    let mut stream = connect(zerohop.address);
    let (first, second) = (own("a"), own("b"));
    let both = [first.framed(), second.framed()].concat();
    // Cut behind one octet of a length prefix, of the first message and of the second.
    let cut = first.framed().len() + 1;
    for piece in [&both[..1], &both[1..cut], &both[cut..cut + 9]] {
        stream.write_all(piece).unwrap();
    }
    next_answers(&mut stream, &first, "10.0.0.1");
    stream.write_all(&both[cut + 9..]).unwrap();
    next_answers(&mut stream, &second, "10.0.0.2");
    for octet in first.framed() {
        stream.write_all(&[octet]).unwrap();
    }
    next_answers(&mut stream, &first, "10.0.0.1");
}

#[test]
fn a_slow_answer_holds_no_other_up() {
    let (upstream, held) = slow_and_fast();
    let zerohop = zerohop("", &upstream);
    let mut stream = connect(zerohop.address);
    let (slow, fast, local) = (Ask::new("slow.example.", A), Ask::new("fast.example.", A), own("a"));
    stream.write_all(&slow.framed()).unwrap();
    let asked = held.recv().unwrap();
    stream.write_all(&[fast.framed(), local.framed()].concat()).unwrap();
    next_answers(&mut stream, &local, "10.0.0.1");
    next_answers(&mut stream, &fast, "192.0.2.1");
    asked.answer_a([192, 0, 2, 9], 300);
    next_answers(&mut stream, &slow, "192.0.2.9");
}

#[test]
fn who_has_said_everything_still_gets_every_answer() {
    let (upstream, held) = slow_and_fast();
    let zerohop = zerohop("", &upstream);
    let mut stream = connect(zerohop.address);
    let names = ["1.slow.example.", "2.slow.example."];
    let questions = names.map(|name| Ask::new(name, A));
    stream.write_all(&[questions[0].framed(), questions[1].framed()].concat()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let asked = [held.recv().unwrap(), held.recv().unwrap()];
    // One is answered before the other is let go, so that the order is known.
    for (name, question) in names.iter().zip(&questions) {
        asked.iter().find(|asked| asked.name() == *name).unwrap().answer_a([192, 0, 2, 9], 300);
        next_answers(&mut stream, question, "192.0.2.9");
    }
    assert!(read_framed(&mut stream).is_none(), "and then the connection ends");
}

#[test]
fn an_idle_connection_is_closed_and_one_that_waits_is_not() {
    let (upstream, held) = slow_and_fast();
    let zerohop = zerohop("tcp-idle = \"1s\"", &upstream);
    let (mut idle, mut waiting) = (connect(zerohop.address), connect(zerohop.address));
    let (question, slow) = (own("a"), Ask::new("slow.example.", A));
    waiting.write_all(&slow.framed()).unwrap();
    let asked = held.recv().unwrap();
    let began = now();
    idle.write_all(&question.framed()).unwrap();
    next_answers(&mut idle, &question, "10.0.0.1");
    assert!(read_framed(&mut idle).is_none());
    assert!(began.elapsed() >= Duration::from_secs(1));
    asked.answer_a([192, 0, 2, 9], 300);
    next_answers(&mut waiting, &slow, "192.0.2.9");
    waiting.write_all(&question.framed()).unwrap();
    next_answers(&mut waiting, &question, "10.0.0.1");
    assert_eq!(zerohop.metrics().sum("zerohop_tcp_timeouts_total", &[]), 1);
}

#[test]
fn a_client_that_is_slow_with_a_message_is_cut_off() {
    let zerohop = zerohop("tcp-read = \"200ms\"", &Recorder::black_hole());
    let mut stream = connect(zerohop.address);
    let began = now();
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    // An octet every 20 ms keeps the connection busy; the message would take 20 s.
    stream.write_all(&1000_u16.to_be_bytes()).unwrap();
    until("the end of the connection", || {
        let written = stream.write_all(&[0]);
        match stream.read(&mut [0; 1]) {
            Ok(0) => Some(()),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => Some(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                written.err().map(drop)
            }
            other => panic!("{other:?}"),
        }
    });
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(zerohop.metrics().sum("zerohop_tcp_timeouts_total", &[]), 1);
    own("a").tcp(zerohop.address);
}

#[test]
fn a_client_that_waits_for_us_is_not_called_slow() {
    // Answers when it is asked again, and so later than `tcp-read`.
    let mut once = HashSet::new();
    let upstream = Recorder::scripted(move |asked| {
        if !once.insert(asked.name()) {
            asked.answer_a([192, 0, 2, 1], 300);
        }
    });
    let zerohop = zerohop("tcp-read = \"100ms\"", &upstream);
    let mut stream = connect(zerohop.address);
    // More than are taken in before the first is answered, with a message cut where reading stops.
    let questions: Vec<Ask> = (0..300).map(|number| Ask::new(&format!("{number}.example."), A)).collect();
    let segment: Vec<u8> = questions.iter().flat_map(Ask::framed).collect();
    stream.write_all(&segment).unwrap();
    for number in 0..questions.len() {
        assert!(read_framed(&mut stream).is_some(), "closed after {number} replies");
    }
    assert_eq!(zerohop.metrics().sum("zerohop_tcp_timeouts_total", &[]), 0);
}

#[test]
fn connections_beyond_the_limit_are_turned_away_until_one_ends() {
    let zerohop = zerohop("tcp-connections = 2", &Recorder::black_hole());
    let mut open: Vec<TcpStream> = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(zerohop.address);
        let question = own("a");
        stream.write_all(&question.framed()).unwrap();
        next_answers(&mut stream, &question, "10.0.0.1");
        open.push(stream);
    }
    assert!(read_framed(&mut connect(zerohop.address)).is_none());
    let metrics = zerohop.metrics();
    assert_eq!(metrics.sum("zerohop_tcp_refused_total", &[]), 1);
    assert_eq!(metrics.sum("zerohop_tcp_connections_total", &[]), 2);
    assert_eq!(metrics.sum("zerohop_tcp_connections_open", &[]), 2);
    own("b").udp(zerohop.address);
    open.clear();
    until("the connections to end", || (zerohop.metrics().sum("zerohop_tcp_connections_open", &[]) == 0).then_some(()));
    own("a").tcp(zerohop.address);
}

#[test]
fn an_answer_may_be_as_long_as_we_keep_any() {
    let upstream = Recorder::scripted(|asked| {
        let mut reply = asked.reply();
        reply.metadata.truncation = !asked.is_tcp();
        if asked.is_tcp() {
            // Behind a pointer to the owner, type, class, TTL and length.
            let room = LONGEST - reply.to_vec().unwrap().len() - 12;
            // Strings of 255 octets and their lengths, and one that is shorter.
            let mut strings = vec!["x".repeat(255); room / 256];
            strings.push("y".repeat(room % 256 - 1));
            let name = asked.query.queries[0].name().clone();
            reply.add_answer(Record::from_rdata(name, 300, RData::TXT(TXT::new(strings))));
        }
        asked.send(&reply);
    });
    let zerohop = zerohop("", &upstream);
    for _hot in [false, true] {
        let reply = Ask::new("large.example.", RecordType::TXT).tcp(zerohop.address);
        assert_eq!((reply.octets.len(), reply.message.answers.len(), reply.truncated()), (LONGEST, 1, false));
    }
    assert_eq!(upstream.packets(), 2);
}

#[test]
fn a_client_that_asks_for_much_and_reads_nothing_costs_little_memory() {
    const QUESTIONS: usize = 2000;
    let text = "x".repeat(200);
    let records: Vec<String> = (0..250).map(|number| format!("\"big TXT {number} {text}\"")).collect();
    let zone = format!("[[zone]]\nname = \"own.example\"\nrecords = [{}]", records.join(", "));
    let zerohop = Zerohop::start(&zone);
    let question = Ask::new("big.own.example.", RecordType::TXT);
    let memory = || zerohop.metrics().sum("process_resident_memory_bytes", &[]);
    let before = memory();
    let mut stream = connect(zerohop.address);
    // A long message makes the receive buffer grow; this one is a reply, and is dropped.
    stream.write_all(&framed(&[0x80; 65_000])).unwrap();
    stream.write_all(&question.framed().repeat(QUESTIONS)).unwrap();
    // A hundred megabytes of answers, of which the kernel takes a few.
    let asked = || zerohop.metrics().sum("zerohop_requests_total", &[("zone", "own.example."), ("type", "TXT")]);
    let mut last = 0;
    until("the worker to write and nothing else", || {
        let stands = last > 0 && asked() == last;
        last = asked();
        stands.then_some(())
    });
    let held = memory() - before;
    assert!(held < 16 << 20, "{held} octets are held");
    for _ in 0..QUESTIONS {
        let reply = question.check(read_framed(&mut stream).expect("every answer"));
        assert_eq!(reply.answers().len(), 250);
    }
    assert_eq!(asked(), QUESTIONS as u64);
}
