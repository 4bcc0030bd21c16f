//! Identical questions in flight are one question, whoever asks and whichever worker hears it.

use std::net::UdpSocket;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use hickory_proto::rr::RecordType::A;

use super::client::{Ask, receive, socket};
use super::harness::Zerohop;
use super::recorder::{Asked, Recorder};
use super::wait::now;

const CLIENTS: usize = 200;
/// A silent server is asked again after 400 ms; the answer has to be held for less.
const HOLD: Duration = Duration::from_millis(300);
/// How often this machine may have been too slow for that.
const ATTEMPTS: usize = 10;

#[test]
fn two_hundred_at_once_are_one_query_with_one_worker() {
    are_one_query(1);
}

#[test]
fn two_hundred_at_once_are_one_query_with_four_workers() {
    are_one_query(4);
}

fn are_one_query(workers: usize) {
    let (upstream, holding) = Recorder::held();
    let zerohop = Zerohop::with_server(
        &format!("workers = {workers}"),
        &format!("[[zone]]\nname = \"own.example\"\nrecords = [\"a A 10.0.0.1\"]\n{}", upstream.root_zone()),
    );
    let in_time = (0..ATTEMPTS).any(|attempt| {
        let before = upstream.packets();
        let held = ask_all_and_hold(&zerohop, &holding, &format!("{attempt}.example."));
        if held < HOLD {
            assert_eq!(upstream.packets() - before, 1);
        }
        held < HOLD
    });
    assert!(in_time, "{CLIENTS} questions took longer than {HOLD:?}, {ATTEMPTS} times");
}

/// Has all clients ask for the name, answers when all of them have been heard, and returns how
/// long the upstream kept silent.
fn ask_all_and_hold(zerohop: &Zerohop, holding: &Receiver<Asked>, name: &str) -> Duration {
    let clients: Vec<(UdpSocket, Ask)> = (0..CLIENTS).map(|_| (socket(), Ask::new(name, A))).collect();
    let began = now();
    for (socket, question) in &clients {
        socket.send_to(&question.octets(), zerohop.address).unwrap();
    }
    // A worker takes in what one socket sent in its order: behind this, the question has been heard.
    for (socket, _) in &clients {
        Ask::new("a.own.example.", A).over(socket, zerohop.address);
    }
    let first = holding.recv().unwrap();
    let held = began.elapsed();
    first.answer_a([192, 0, 2, 1], 300);
    // What was asked again meanwhile is a case for the next attempt.
    let answer_rest = |asked: Asked| asked.answer_a([192, 0, 2, 1], 300);
    for (socket, question) in &clients {
        let reply = question.check(receive(socket));
        assert_eq!(reply.data(A), ["192.0.2.1"]);
    }
    holding.try_iter().for_each(answer_rest);
    held
}
