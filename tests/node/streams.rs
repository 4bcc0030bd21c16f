//! Connections to upstreams: few, shared, and none of their questions lost when they end.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hickory_proto::rr::RecordType::A;

use super::client::Ask;
use super::harness::Zerohop;
use super::recorder::{Asked, Recorder};
use super::wait::PATIENCE;

/// Workers of [`zerohop`].
const WORKERS: usize = 2;
/// Connections to one server that a worker may have.
const CONNECTIONS: usize = 4;
pub(crate) const QUESTIONS: usize = 500;
/// As many where each costs a handshake: a loaded machine does not do 500 within 4.5 seconds.
const QUESTIONS_WITH_HANDSHAKE: usize = 100;

fn zerohop(server: &str) -> Zerohop {
    Zerohop::with_server(&format!("workers = {WORKERS}"), &format!("[[zone]]\nname = \".\"\nforward = [\"{server}\"]"))
}

pub(crate) fn ask_at_once(zerohop: &Zerohop) {
    ask_as_many(zerohop, QUESTIONS);
}

/// The same of a server over TLS that answers so many questions on a connection.
pub(crate) fn ask_at_once_by(zerohop: &Zerohop, lifetime: usize) {
    ask_as_many(zerohop, if lifetime == 1 { QUESTIONS_WITH_HANDSHAKE } else { QUESTIONS });
}

/// Asks for as many names at once, from several ports so that both workers get some, and checks
/// every answer.
fn ask_as_many(zerohop: &Zerohop, count: usize) {
    let sockets: Vec<UdpSocket> = (0..20).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let questions: Vec<Ask> = (0..count).map(|number| Ask::new(&format!("n{number}.example."), A)).collect();
    for (question, socket) in questions.iter().zip(sockets.iter().cycle()) {
        socket.send_to(&question.octets(), zerohop.address).unwrap();
    }
    let mut buffer = [0; 1500];
    for socket in &sockets {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..count / sockets.len() {
            let length = socket.recv(&mut buffer).expect("every question is answered");
            assert_eq!((buffer[3] & 0x0f, buffer[7]), (0, 1), "an address: {:?}", &buffer[..length]);
        }
    }
}

fn answer(asked: &Asked) {
    asked.answer_a([192, 0, 2, 1], 300);
}

#[test]
fn many_questions_share_few_connections() {
    let upstream = Recorder::answering([192, 0, 2, 1]);
    let zerohop = zerohop(&format!("tcp://{}", upstream.address));
    ask_at_once(&zerohop);
    assert!((1..=WORKERS * CONNECTIONS).contains(&upstream.connections()), "{}", upstream.connections());
    // But for those that took 400 ms, on a machine with other work to do.
    let repeats = usize::try_from(zerohop.metrics().sum("zerohop_upstream_repeats_total", &[])).unwrap();
    let asked = upstream.questions().iter().filter(|name| name.contains(".example.")).count();
    assert_eq!(asked, QUESTIONS + repeats, "each is asked once");
}

#[test]
fn what_was_truncated_is_asked_over_few_connections() {
    let upstream = Recorder::scripted(|asked| {
        if asked.is_tcp() {
            return answer(&asked);
        }
        let mut reply = asked.reply();
        reply.metadata.truncation = true;
        asked.send(&reply);
    });
    ask_at_once(&zerohop(&upstream.address.to_string()));
    assert!((1..=WORKERS * CONNECTIONS).contains(&upstream.connections()), "{}", upstream.connections());
}

#[test]
fn a_server_that_hangs_up_in_between_loses_no_question() {
    for lifetime in [1, 25] {
        let count = AtomicUsize::new(0);
        let upstream = Recorder::scripted(move |asked| {
            answer(&asked);
            // Whatever connection it is: others have not been answered on it.
            if count.fetch_add(1, Relaxed) % lifetime == lifetime - 1 {
                asked.hang_up();
            }
        });
        let zerohop = zerohop(&format!("tcp://{}", upstream.address));
        ask_at_once(&zerohop);
        assert!(upstream.connections() > WORKERS * CONNECTIONS, "it did hang up");
    }
}
